"""Registries of classes and functions by name, and building objects from a config's `{type: NAME, option: value}`."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Mapping
from typing import Any, Callable, TypeVar, Union

from facekp.errors import UserError

T = TypeVar("T")

#: How a config specifies an entry of a registry: its name, or a mapping of `type` and options.
Spec = Union[str, Mapping[str, Any]]


def type_name(spec: Spec) -> Any:
    """Return the name in a spec.

    Example:
        >>> type_name("l1"), type_name({"type": "wing", "width": 3})
        ('l1', 'wing')
    """
    return spec.get("type") if isinstance(spec, Mapping) else spec


def check_name(registry: Mapping[str, Any], spec: Spec, what: str) -> str:
    """Return the name in a spec, if it is in the registry.

    Raises:
        UserError: It is not; the message lists the known names.
    """
    name = type_name(spec)
    if not isinstance(name, str) or name not in registry:
        raise UserError(f"unknown {what} {str(name)[:60]!r}; known are {', '.join(registry)}")
    return name


def options_in(spec: Spec, valid: Collection[str], what: str) -> dict[str, Any]:
    """Return the options in a spec, if all are known.

    Args:
        spec: See `build`.
        valid: Names of the known options.
        what: What the spec describes, for the message, such as "loss wing".

    Raises:
        UserError: An option is unknown; the message lists the known ones.

    Example:
        >>> options_in({"type": "wing", "width": 3}, ["width", "curvature"], "loss wing")
        {'width': 3}
    """
    options = {key: value for key, value in spec.items() if key != "type"} if isinstance(spec, Mapping) else {}
    for option in options:
        if option not in valid:
            raise UserError(f"{what}: unknown option {str(option)[:60]!r}; known are {', '.join(valid) or 'none'}")
    return options


def build(registry: Mapping[str, Callable[..., T]], spec: Spec, what: str, **context: Any) -> T:
    """Build the object that a spec describes.

    Args:
        registry: Name -> a class or function.
        spec: The name, or a mapping of `type` and options.
        what: What the registry holds, for messages, such as "loss".
        **context: Arguments that configs do not set; each is passed if there is a parameter of its name.

    Returns:
        The object that the class or function returns.

    Raises:
        UserError: The name or an option is unknown, with the valid ones in the message, or a value is wrong.

    Example:
        >>> build({"pair": lambda a, size: (a, size)}, {"type": "pair", "a": 1}, "example", size=2)
        (1, 2)
    """
    name = check_name(registry, spec, what)
    parameters = inspect.signature(registry[name]).parameters
    given = {key: value for key, value in context.items() if key in parameters}
    options = options_in(spec, [key for key in parameters if key not in context], f"{what} {name}")
    try:
        return registry[name](**options, **given)
    except (ArithmeticError, AssertionError, IndexError, MemoryError, TypeError, ValueError) as error:
        raise UserError(f"{what} {name}: an option has a wrong value ({' '.join(str(error).split())[:200]})") from error

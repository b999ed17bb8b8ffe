"""Registries: name -> what builds it. A config's `{type: NAME, option: value}` becomes an object here."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, Callable, TypeVar, Union

from facekp.errors import UserError

T = TypeVar("T")

#: What a config says of something registered: its name, or a mapping of `type` and options.
Spec = Union[str, Mapping[str, Any]]


def type_name(spec: Spec) -> Any:
    """The name in a spec.

    Example:
        >>> type_name("l1"), type_name({"type": "wing", "width": 3})
        ('l1', 'wing')
    """
    return spec.get("type") if isinstance(spec, Mapping) else spec


def check_name(registry: Mapping[str, Any], spec: Spec, what: str) -> str:
    """The name in a spec, if the registry has it.

    Raises:
        UserError: It has not; the message lists what it has.
    """
    name = type_name(spec)
    if not isinstance(name, str) or name not in registry:
        raise UserError(f"unknown {what} {str(name)[:60]!r}; known are {', '.join(registry)}")
    return name


def build(registry: Mapping[str, Callable[..., T]], spec: Spec, what: str, **context: Any) -> T:
    """Build what a spec names.

    Args:
        registry: Name -> a class or function.
        spec: The name, or a mapping of `type` and options.
        what: What the registry holds, for messages: "loss".
        **context: Arguments that no config gives; each is passed to those that have a parameter of its name.

    Returns:
        What the class or function returns.

    Raises:
        UserError: Unknown name or option, which lists the valid ones, or a wrong value.

    Example:
        >>> build({"pair": lambda a, size: (a, size)}, {"type": "pair", "a": 1}, "example", size=2)
        (1, 2)
    """
    name = check_name(registry, spec, what)
    options = {key: value for key, value in spec.items() if key != "type"} if isinstance(spec, Mapping) else {}
    parameters = inspect.signature(registry[name]).parameters
    given = {key: value for key, value in context.items() if key in parameters}
    valid = [key for key in parameters if key not in context]
    for option in options:
        if option not in valid:
            raise UserError(
                f"{what} {name}: unknown option {str(option)[:60]!r}; known are {', '.join(valid) or 'none'}"
            )
    try:
        return registry[name](**options, **given)
    except (ArithmeticError, AssertionError, IndexError, TypeError, ValueError) as error:
        raise UserError(f"{what} {name}: an option has a wrong value ({str(error)[:200]})") from error

"""YAML without duplicate keys."""

from __future__ import annotations

from typing import Any

import yaml


class UniqueKeys:
    """Mixin for PyYAML's loaders: a duplicate key is an error. PyYAML silently uses the last one.

    Example:
        >>> class Loader(UniqueKeys, yaml.SafeLoader):
        ...     pass
        >>> yaml.load("{a: 1, a: 2}", Loader)
        Traceback (most recent call last):
            ...
        yaml.constructor.ConstructorError: the key 'a' occurs twice
          in "<unicode string>", line 1, column 8:
            {a: 1, a: 2}
                   ^
    """

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        """See PyYAML."""
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if (key.tag, key.value) in seen:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"the key {key.value!r} occurs twice", key.start_mark
                    )
                seen.add((key.tag, key.value))
        return super().construct_mapping(node, deep)  # type: ignore[misc]

"""What must not leave the process by name: replaced before it becomes an attribute."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fnmatch import translate
from typing import Final

from inferspan import semconv
from inferspan.attributes import ITEMS_MAX

Redaction = Iterable[str] | Callable[[str, object], object]
"""Patterns of names (`*card*`, any case), or a hook: name, value → what may be recorded."""

PLACEHOLDER: Final = "__REDACTED__"
DEPTH_MAX: Final = 4
"""Mappings and sequences inside each other that are looked into; deeper ones are not written."""
_NESTING: Final = (dict, list, tuple)


@dataclass(frozen=True, slots=True)
class Redactor:
    """Replaces values by their name, at the top and inside plain dicts, lists and tuples."""

    patterns: tuple[str, ...] = ()
    hook: Callable[[str, object], object] | None = None

    @classmethod
    def of(cls, option: Redaction | None) -> Redactor | None:
        """Read the option `redact`.

        Raises:
            ValueError: neither a list of patterns nor a callable.
        """
        if option is None:
            return None
        if callable(option):
            return cls(hook=option)
        if isinstance(option, str):
            raise ValueError(f"redact={option!r}: must be a list of patterns; write [{option!r}]")
        patterns = tuple(option)
        if not all(isinstance(pattern, str) and pattern for pattern in patterns):
            raise ValueError(f"redact={patterns!r:.80}: must hold patterns such as '*card*'")
        return cls(patterns)

    def apply(self, name: str, value: object, depth: int = 0) -> object:
        """What may be recorded of a value; the value itself is left as it is.

        A hook that raises redacts: what cannot be judged is not sent.
        """
        if self.hook is not None:
            try:
                value = self.hook(name, value)
            except Exception:
                return PLACEHOLDER
        elif _matches(self.patterns, name):
            return PLACEHOLDER
        return self.inside(value, depth)

    def inside(self, value: object, depth: int = 0) -> object:
        """What may be recorded of the members of a plain dict, list or tuple; others stay.

        Only the items of a sequence that are ever shown are looked into.
        """
        if depth >= DEPTH_MAX:
            return value
        if type(value) is dict:
            return {key: self._member(key, member, depth + 1) for key, member in value.items()}
        if type(value) in (list, tuple):
            shown = value[:ITEMS_MAX]  # type: ignore[index]
            if any(type(item) in _NESTING for item in shown):
                judged = [self.inside(item, depth + 1) for item in shown]
                return [*judged, *value[ITEMS_MAX:]]  # type: ignore[index]
        return value

    def _member(self, key: object, member: object, depth: int) -> object:
        name = key if type(key) is str else semconv.class_text(key)
        return self.inside(member, depth) if name is None else self.apply(name, member, depth)


def _matches(patterns: tuple[str, ...], name: str) -> bool:
    folded = name.casefold()
    return any(re.match(translate(pattern.casefold()), folded) for pattern in patterns)

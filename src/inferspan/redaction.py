"""What must not leave the process by name: replaced before it becomes an attribute."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fnmatch import translate
from typing import Final

Redaction = Iterable[str] | Callable[[str, object], object]
"""Patterns of names (`*card*`, any case), or a hook: name, value → what may be recorded."""

PLACEHOLDER: Final = "__REDACTED__"
DEPTH_MAX: Final = 4
"""Mappings inside mappings that are looked into; deeper ones are not written at all."""


@dataclass(frozen=True, slots=True)
class Redactor:
    """Replaces values by their name, at the top and inside plain dicts."""

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
        if type(value) is dict and depth < DEPTH_MAX:
            return {
                key: self.apply(key, member, depth + 1) if type(key) is str else member
                for key, member in value.items()
            }
        return value


def _matches(patterns: tuple[str, ...], name: str) -> bool:
    folded = name.casefold()
    return any(re.match(translate(pattern.casefold()), folded) for pattern in patterns)

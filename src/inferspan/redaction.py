"""What must not leave the process by name: dropped or hashed before it becomes an attribute."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from fnmatch import translate
from typing import Final
from uuid import UUID

from inferspan import foreign, semconv, settings
from inferspan.containment import from_outside
from inferspan.features import as_column
from inferspan.foreign import is_missing
from inferspan.frozen import frozen
from inferspan.json_values import names_of
from inferspan.output_columns import ROWS_MAX

Hook = Callable[[str, object], object]
"""Name and native value → what may be recorded."""
Redaction = Iterable[str] | Mapping[str, "str | Hook"] | Hook
"""Patterns of names (`*card*`, any case) to drop; or pattern → action; or one hook."""

PLACEHOLDER: Final = "__REDACTED__"
ACTIONS: Final = ("drop", "hash", "keep")
"""What a pattern may say: leave the placeholder, a keyed hash, or the value."""


@frozen
class Redactor:
    """Judges values by their names: arguments, and all that has a name inside of them."""

    rules: tuple[tuple[re.Pattern[str], str | Hook], ...] = ()
    """The first whose pattern matches decides; what none matches is kept."""
    hook: Hook | None = None
    ids: frozenset[str] = frozenset()
    """Casefolded names of the prediction's id, which is shown as it is sent, or dropped."""

    @classmethod
    def of(cls, option: Redaction | None) -> Redactor | None:
        """Read the option `redact`.

        Raises:
            ValueError: neither patterns, a mapping of patterns to actions, nor a callable.
        """
        if option is None:
            return None
        if callable(option):
            return cls(hook=option)
        if isinstance(option, str):
            raise ValueError(f"redact={option!r}: must be a list of patterns; write [{option!r}]")
        if not isinstance(option, Iterable):
            raise ValueError(f"redact={option!r:.80}: must be patterns, a mapping or a callable")
        items = option.items() if isinstance(option, Mapping) else [(p, "drop") for p in option]
        return cls(tuple((_compiled(pattern), _action(action)) for pattern, action in items))

    def apply(self, name: str, value: object) -> object:
        """What may be recorded of a value; the value itself is left as it is.

        Of one value only, not of what it holds: `json_object` asks for each member that it shows.
        A hook that raises redacts: what cannot be judged is not sent.
        """
        return self.judge((name,), value)

    def judge(self, names: Iterable[str], value: object) -> object:
        """What may be recorded of a value that has several names, and a series' own name besides.

        Each is judged: one that drops it is enough; callables get what the one before returned.
        """
        try:
            if (own_name := foreign.name_of(value)) is not None:
                names = (*names, *names_of(own_name))
            return self._judge(dict.fromkeys(names), value)
        except Exception as error:
            if from_outside(error):
                raise
            return PLACEHOLDER

    def _judge(self, names: Iterable[str], value: object) -> object:
        judged, is_hashed, is_id = value, False, False
        for name in names:
            folded = name.casefold()
            is_id = is_id or folded in self.ids
            decided: str | Hook | None = self.hook
            if decided is None:
                matching = (act for pattern, act in self.rules if pattern.match(folded))
                decided = next(matching, "keep")
            if decided == "drop":
                return PLACEHOLDER
            if not isinstance(decided, str):
                judged = decided(name, judged)
                if judged is PLACEHOLDER:
                    return PLACEHOLDER
            elif decided == "hash":
                is_hashed = True
        if is_id:
            return _hashed(value, _sent_id)
        return _hashed(judged, _hash) if is_hashed else judged


def _compiled(pattern: object) -> re.Pattern[str]:
    if not isinstance(pattern, str) or not pattern:
        raise ValueError(f"redact holds {pattern!r:.80}: must hold patterns such as '*card*'")
    return re.compile(translate(pattern.casefold()))


def _action(action: object) -> str | Hook:
    if isinstance(action, str) and action in ACTIONS:
        return action
    if callable(action):
        return action
    raise ValueError(
        f"redact says {action!r:.80}: must be one of {', '.join(ACTIONS)}, or a callable of name "
        "and value"
    )


def _hashed(value: object, hashed: Callable[[object, bytes | None], object]) -> object:
    """The hash of a text, number or id; of a column that of each entry; else the placeholder."""
    key = settings.current().id_key
    column = as_column(value, ROWS_MAX)
    if column is None:
        return hashed(value, key)
    return [hashed(item, key) for item in column]


def _hash(value: object, key: bytes | None) -> object:
    if is_missing(value):
        return None
    text = str(value) if type(value) is UUID else semconv.class_text(value)
    return PLACEHOLDER if text is None else semconv.hash_text(text, key)


def _sent_id(value: object, key: bytes | None) -> object:
    if is_missing(value):
        return None
    return semconv.prediction_id_text(value, key) or PLACEHOLDER

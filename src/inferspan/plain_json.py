"""The values of most calls → the JSON object that `json_values` makes of them, at a quarter of its
price; nothing of any other value.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from inferspan.attributes import ITEMS_MAX, TEXT_LENGTH_MAX
from inferspan.json_leaves import KEY_LENGTH_MAX, json_text, quoted, size_of

_KEYS_MAX: Final = 1024
_KEYS: Final[dict[str, str]] = {}
"""Names of members that were written before, as JSON, with the colon."""
_digits: Final = float.__repr__


def plain_object(members: Iterable[tuple[Any, Any]], bytes_max: int) -> str | None:
    """What `json_object` makes of members that most calls have, at a quarter of its price.

    Args:
        members: names and values, at most `ITEMS_MAX`.
        bytes_max: as of `json_object`.

    Returns:
        The text; None where a value is no number, text of ASCII or list of floats, or too long.
    """
    parts: list[str] = []
    for name, value in members:
        kind = type(value)
        if kind is float:
            if value - value != 0.0:  # NaN or infinite
                return None
            written = repr(value)
        elif kind is str:
            if len(value) > TEXT_LENGTH_MAX or not value.isascii():
                return None
            written = quoted(value)
        elif kind is list:
            digits = _vector(value)
            if digits is None:
                return None
            written = f"[{digits}]"
        elif kind is int and value.bit_length() < 64:
            written = repr(value)
        else:
            return None
        if type(name) is not str:
            return None
        parts.append((_KEYS.get(name) or _key_of(name)) + written)
    whole = f"{{{','.join(parts)}}}"
    return whole if len(whole) * 4 <= bytes_max or size_of(whole) <= bytes_max else None


def plain_vector(name: str, value: list[Any], bytes_max: int) -> str | None:
    """What `plain_object` makes of one list alone, without its loop."""
    digits = _vector(value)
    if digits is None:
        return None
    whole = f"{{{_KEYS.get(name) or _key_of(name)}[{digits}]}}"
    return whole if len(whole) * 4 <= bytes_max or size_of(whole) <= bytes_max else None


def _vector(value: list[Any]) -> str | None:
    """Numbers as they stand in a JSON array; None where one is no float, or not finite."""
    if not 0 < len(value) <= ITEMS_MAX:
        return None
    try:
        # Of floats, and types derived from it, the digits; others have no such method.
        digits = ",".join(map(_digits, value))
    except TypeError:
        return None
    return None if "n" in digits else digits


def _key_of(name: str) -> str:
    key = json_text(name, KEY_LENGTH_MAX) + ":"
    if len(_KEYS) < _KEYS_MAX:
        _KEYS[name] = key
    return key


def plain_answer(
    answer: dict[Any, Any], label: str | None, score: float | None, bytes_max: int
) -> str | None:
    """What `plain_object` makes of an answer, at half its price where it is the usual pair.

    Args:
        answer: what was returned.
        label: the class that was read of it, of ASCII; None = none.
        score: likewise, and finite.
        bytes_max: as of `json_object`.
    """
    if len(answer) == 2 and label is not None and score is not None:
        # Both were read of it, so there is nothing else; in which order is to be seen.
        first = next(iter(answer))
        fits = len(label) <= TEXT_LENGTH_MAX and 6 * len(label) + 64 <= bytes_max
        if first == "label" and fits and type(answer["label"]) is str:
            return f'{{"label":{quoted(label)},"score":{score!r}}}'
    return plain_object(answer.items(), bytes_max) if len(answer) <= ITEMS_MAX else None

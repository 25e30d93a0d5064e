"""Attributes of one record, read by type: what has the wrong one refuses its record alone."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from inferspan import semconv

TEXT_LENGTH_MAX: Final = 1024
"""Characters of a class, a name or a slice value. Longer ids are hashed; content has a limit of its
own."""
CLASSES_LENGTH_MAX: Final = 1_048_576
"""Characters of classes as one text: as values they may take twenty times the room."""

_ID: Final = semconv.PREDICTION_ID_LENGTH_MAX
_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f]")

Value = str | bool | int | float | bytes | list["Value"] | None


class RefusedRecord(Exception):
    """This record cannot be used; `reason` is a code of a fixed set, the message one clear line."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def python_value(value: AnyValue) -> Value:
    """The Python value of an attribute. A map has no meaning here and reads as None."""
    kind = value.WhichOneof("value")
    if kind is None or kind == "kvlist_value":
        return None
    if kind == "array_value":
        return [python_value(item) for item in value.array_value.values]
    scalar: Value = getattr(value, kind)
    return scalar


def shown(value: object) -> str:
    """A value as an error message shows it: short, whatever came in."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


@dataclass(frozen=True, slots=True)
class Entries:
    """The texts of a list, each checked by itself."""

    texts: list[str | None]
    """None where an entry is absent, or unfit."""
    unfit: Mapping[int, RefusedRecord]
    """Place → why that entry cannot be kept."""

    @classmethod
    def of(cls, values: Iterable[Value], check: Callable[[Value], str | None]) -> Entries:
        """Check each value."""
        texts: list[str | None] = []
        unfit: dict[int, RefusedRecord] = {}
        for place, value in enumerate(values):
            try:
                texts.append(check(value))
            except RefusedRecord as fault:
                texts.append(None)
                unfit[place] = fault
        return cls(texts, unfit)

    def all(self) -> list[str | None]:
        """The texts of a list that is kept as a whole.

        Raises:
            RefusedRecord: an entry is unfit.
        """
        for fault in self.unfit.values():
            raise fault
        return self.texts


class Attributes:
    """The attributes of one record, by name; of a name given twice the last counts.

    Readers return None where the attribute is absent and raise `RefusedRecord` where it has
    the wrong type or breaks a limit.
    """

    __slots__ = ("_values",)

    def __init__(self, pairs: Iterable[KeyValue]) -> None:
        self._values = {pair.key: pair.value for pair in pairs}

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def value(self, name: str) -> Value:
        """The value as it came."""
        found = self._values.get(name)
        return None if found is None else python_value(found)

    def holds_bytes(self, name: str) -> bool:
        """Whether the value came as bytes."""
        found = self._values.get(name)
        return found is not None and found.WhichOneof("value") == "bytes_value"

    def text(self, name: str) -> str | None:
        """A name; integers and booleans, which some senders write for one, read as texts too.

        An empty text counts as absent.
        """
        return checked_name(name, self.value(name))

    def id_text(self, name: str) -> str | None:
        """An id, as `checked_id` writes it."""
        return checked_id(name, self.value(name))

    def class_text(self, name: str) -> str | None:
        """A class, normalised as labels are; NaN and infinities read as absent."""
        return _class_text(name, self.value(name))

    def number(self, name: str) -> float:
        """A number; NaN where it is absent or not finite."""
        return _finite(name, self.value(name))

    def integer(self, name: str) -> int | None:
        """An integer."""
        value = self.value(name)
        return None if value is None else _integer(name, value)

    def class_entries(self, name: str) -> Entries | None:
        """A list of classes; absent entries are None."""
        return self._entries(name, lambda value: _class_text(name, value))

    def class_texts(self, name: str) -> list[str | None] | None:
        """The same, where no entry may be unfit."""
        entries = self.class_entries(name)
        return None if entries is None else entries.all()

    def named_classes(self, name: str) -> list[str | None] | None:
        """Classes as one text, a JSON array, or as a list.

        Returns:
            The classes, empty where the attribute is absent; None where the text begins as an array
            and is none, as after a limit on texts cut it, or is longer than `CLASSES_LENGTH_MAX`.

        Raises:
            RefusedRecord: it is anything else, or an entry is no class.
        """
        told = self.value(name)
        if not isinstance(told, str):
            return self.class_texts(name) or []
        listed = json_array(told)
        if listed is not None:
            return [_class_text(name, one) for one in listed]
        if told.startswith("["):
            return None
        raise RefusedRecord(
            "bad_type", f"{name} = {shown(told)} is not a JSON array of classes; send one"
        )

    def id_entries(self, name: str) -> Entries | None:
        """A list of ids, as `checked_id` writes them; absent entries are None."""
        found = self._values.get(name)
        if found is not None and found.WhichOneof("value") == "array_value":
            texts = [item.string_value for item in found.array_value.values]
            # What nearly all ids are needs no look at each of them; what is no text reads as empty.
            if all(texts) and "".join(texts).isascii() and max(map(len, texts), default=0) <= _ID:
                return Entries([*texts], {})
        return self._entries(name, lambda value: checked_id(name, value))

    def id_texts(self, name: str) -> list[str | None] | None:
        """The same, where no entry may be unfit."""
        entries = self.id_entries(name)
        return None if entries is None else entries.all()

    def name_entries(self, name: str) -> Entries | None:
        """A list of names; absent entries are None."""
        return self._entries(name, lambda value: checked_name(name, value))

    def numbers(self, name: str) -> list[float] | None:
        """A list of numbers; absent entries and those not finite are NaN."""
        values = self._list(name)
        return None if values is None else [_finite(name, value) for value in values]

    def integers(self, name: str) -> list[int] | None:
        """A list of integers."""
        values = self._list(name)
        return None if values is None else [_integer(name, value) for value in values]

    def _entries(self, name: str, check: Callable[[Value], str | None]) -> Entries | None:
        values = self._list(name)
        return None if values is None else Entries.of(values, check)

    def _list(self, name: str) -> list[Value] | None:
        value = self.value(name)
        if value is None or isinstance(value, list):
            return value
        raise RefusedRecord(
            "bad_type", f"{name} = {shown(value)} is not a list; send one entry per row"
        )


def checked_id(name: str, value: object) -> str | None:
    """An id as predictions and labels are joined by it, None where it is absent or empty.

    One longer than `semconv.PREDICTION_ID_LENGTH_MAX` is replaced by its hash, as the SDK does
    before it sends: whoever sends the same id means the same prediction.

    Raises:
        RefusedRecord: neither text, integer nor boolean.
    """
    return semconv.prediction_id_text(checked_text(name, value, length_max=None))


def checked_name(name: str, value: object) -> str | None:
    """A text that stands in a path, a list or a log: as `checked_text`, on one line.

    Raises:
        RefusedRecord: as `checked_text`, or it holds a control character.
    """
    text = checked_text(name, value)
    if text is not None and _CONTROL.search(text):
        raise RefusedRecord(
            "bad_text",
            f"{name} = {shown(text)} holds a control character, such as a line break; leave it out",
        )
    return text


def json_array(text: object) -> list[Any] | None:
    """A JSON array's entries; None where a text is none, or longer than `CLASSES_LENGTH_MAX`."""
    if not isinstance(text, str) or len(text) > CLASSES_LENGTH_MAX:
        return None
    try:
        listed = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return listed if isinstance(listed, list) else None


def checked_text(name: str, value: object, length_max: int | None = TEXT_LENGTH_MAX) -> str | None:
    """A text of limited length, None where it is absent or empty.

    Raises:
        RefusedRecord: neither text, integer nor boolean, or too long.
    """
    if value is None or value == "":
        return None
    if isinstance(value, int):
        value = semconv.class_text(value)
    if not isinstance(value, str):
        raise RefusedRecord("bad_type", f"{name} = {shown(value)} is not a text; send a string")
    if length_max is not None and len(value) > length_max:
        raise RefusedRecord(
            "text_too_long",
            f"{name} = {shown(value)} has {len(value)} characters; at most {length_max} are kept: "
            "send a shorter one (a hash, say)",
        )
    if not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
        raise RefusedRecord(
            "bad_text", f"{name} = {value!a:.80} holds half a surrogate pair; send valid Unicode"
        )
    return value


def _class_text(name: str, value: Value) -> str | None:
    if isinstance(value, float):
        return semconv.class_text(value)
    text = checked_text(name, value)
    return None if text is None else semconv.class_text(text)


def _finite(name: str, value: Value) -> float:
    if value is None:
        return math.nan
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise RefusedRecord("bad_type", f"{name} = {shown(value)} is not a number; send a double")
    number = float(value)
    return number if math.isfinite(number) else math.nan


def _integer(name: str, value: Value) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise RefusedRecord("bad_type", f"{name} = {shown(value)} is not an integer; send one")
    return value

"""NDJSON or JSON → checked labels, line by line. Pure."""

from __future__ import annotations

import codecs
import difflib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NoReturn

from inferspan_collector.decode import PASSING, UNDECODABLE
from inferspan_collector.decode.attributes import RefusedRecord, shown
from inferspan_collector.decode.columns import LabelRow
from inferspan_collector.decode.label_records import read_label
from inferspan_collector.decode.wire import JSON_VALUES_MAX, json_values_at_most
from inferspan_collector.label_fields import FIELDS

LINES_MAX: Final = 100_000
"""Labels of one request: each one is answered, and an answer may be longer than its line."""
EARLIEST_NUMBER: Final = 10**17
"""Numbers below (March 1973 in ns) are seconds, milli- or microseconds taken for nanoseconds."""
_ROW_VALUES: Final = 2
"""So many values of JSON take as much, as objects of Python, as a row is reckoned with."""
_SPELLED: Final = {field: field for field in FIELDS}
_MEAN_CLASS: Final = ("actual", "expected", "ground_truth", "label", "truth", "y_true")
"""What other systems call the truth."""
_RFC_3339: Final = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d{1,9})\d*)?([Zz]|[+-]\d\d:\d\d)?", re.ASCII
)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class TooManyLines(ValueError):
    """The request holds more than `LINES_MAX` labels."""


class NotLabels(ValueError):
    """The body as a whole is not JSON, or holds too much of it."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the input: a label, or why it is none."""

    number: int
    """From 1, blank lines included; of a JSON array, the position."""
    label_id: str | None
    label: LabelRow | None
    reason: str = ""
    """As `Refusal.reason`."""
    error: str = ""
    defect: Exception | None = None
    """What our own code failed with at this line, if it did."""

    def undecodable(self, defect: Exception) -> Line:
        """The same line, refused for that."""
        message = (
            f"the line cannot be read: {type(defect).__name__}; this is a defect of the collector, "
            "whose log says more: report it, and send this label in another form"
        )
        return replace(self, label=None, reason=UNDECODABLE, error=message, defect=defect)


def rows_at_most(body: bytes) -> int:
    """As how many rows the lines of a body are to be reckoned with, before they are read."""
    return max(body.count(b"\n") + 1, json_values_at_most(body) // _ROW_VALUES)


def read_lines(body: bytes, *, ndjson: bool, received_ns: int) -> list[Line]:
    """Read labels.

    Args:
        body: the request's body, decompressed.
        ndjson: one object a line; else one JSON document, an object or an array of them.
        received_ns: the time of receipt, Unix ns.

    Raises:
        TooManyLines: too many at once.
        NotLabels: the one JSON document cannot be read, or holds over `JSON_VALUES_MAX` values.
    """
    lines: list[Line] = []
    body = body.removeprefix(codecs.BOM_UTF8)
    for number, read in _ndjson(body) if ndjson else _document(body):
        if len(lines) == LINES_MAX:
            raise TooManyLines(f"the body holds more than {LINES_MAX} labels")
        lines.append(_line(number, read, received_ns))
    return lines


def _ndjson(body: bytes) -> Iterator[tuple[int, object]]:
    start = 0
    number = 0
    while start < len(body):
        number += 1
        end = body.find(b"\n", start)
        end = len(body) if end < 0 else end
        text = body[start:end].strip()
        start = end + 1
        if text:
            yield number, text


def _document(body: bytes) -> Iterator[tuple[int, object]]:
    if not body.strip():
        return
    if _is_dear(body):
        raise NotLabels(f"the body holds over {JSON_VALUES_MAX} JSON values; send smaller batches")
    try:
        document = _loads(body)
    except ValueError as error:
        raise NotLabels(f"the body is not JSON: {error}") from error
    yield from enumerate(document if isinstance(document, list) else [document], start=1)


def _line(number: int, read: object, received_ns: int) -> Line:
    label_id = None
    try:
        fields = _fields(read)
        given = fields.get("id")
        label_id = given if isinstance(given, str) else None
        label = read_label(fields, _SPELLED, received_ns)
    except RefusedRecord as refused:
        return Line(number, label_id, None, refused.reason, str(refused))
    except PASSING:
        raise
    except Exception as defect:
        return Line(number, label_id, None).undecodable(defect)
    return Line(number, label.label_id, label)


def _fields(read: object) -> dict[str, object]:
    if isinstance(read, bytes):
        if _is_dear(read):
            raise RefusedRecord("bad_json", f"the line holds over {JSON_VALUES_MAX} JSON values")
        try:
            read = _loads(read)
        except ValueError as error:
            raise RefusedRecord("bad_json", f"the line is not JSON: {error}") from error
    if not isinstance(read, dict):
        raise RefusedRecord(
            "bad_json", f"{shown(read)} is not a JSON object with the fields of a label"
        )
    unknown = sorted(read.keys() - set(FIELDS))
    if unknown:
        raise RefusedRecord(
            "unknown_field",
            f"{shown(unknown[0])} is not a field of a label; {_meant(unknown[0])}known are "
            + ", ".join(FIELDS),
        )
    return {**read, "time": _time_ns(read.get("time"))}


def _meant(field: str) -> str:
    near = difflib.get_close_matches(field, FIELDS, 1, 0.8)
    meant = "class" if field in _MEAN_CLASS else near[0] if near else None
    return "" if meant is None else f"write {meant}; "


def _time_ns(time: object) -> object:
    """A time as ns; what is neither text nor number is left for the label's own check."""
    if isinstance(time, str):
        return rfc_3339_ns(time)
    if isinstance(time, int) and 0 < time < EARLIEST_NUMBER:
        raise RefusedRecord(
            "bad_time",
            f"time = {time} would be before 1974 in nanoseconds: multiply seconds by 1e9, "
            "milliseconds by 1e6, or send RFC 3339 text",
        )
    return time


def rfc_3339_ns(text: str) -> int:
    """RFC 3339 text as Unix ns, exactly; digits beyond the ninth are cut off.

    Raises:
        RefusedRecord: not such a text, or without offset.
    """
    found = _RFC_3339.fullmatch(text)
    if found is None:
        raise RefusedRecord(
            "bad_time", f"time = {shown(text)} is not RFC 3339 such as 2026-11-21T06:00:00Z"
        )
    day, clock, fraction, offset = found.groups()
    if offset is None:
        raise RefusedRecord(
            "naive_time",
            f"time = {shown(text)} has no offset, so it names no moment: append Z for UTC, or "
            "+01:00 or the like",
        )
    try:
        moment = datetime.fromisoformat(f"{day}T{clock}{offset.upper()}")
        seconds = (moment - _EPOCH) // timedelta(seconds=1)
    except (ValueError, OverflowError) as error:
        raise RefusedRecord("bad_time", f"time = {shown(text)} does not exist: {error}") from error
    return seconds * 1_000_000_000 + int((fraction or "").ljust(9, "0"))


def _is_dear(text: bytes) -> bool:
    """Whether JSON may take far more memory than its text: a value of two bytes takes 60."""
    return len(text) > JSON_VALUES_MAX and json_values_at_most(text) > JSON_VALUES_MAX


def _loads(text: bytes) -> Any:
    """Strict JSON: no NaN, no key given twice.

    Raises:
        ValueError: anything else.
    """
    try:
        return json.loads(
            text.decode("utf-8"), parse_constant=_no_constant, object_pairs_hook=_unique
        )
    except RecursionError as error:
        raise ValueError("nested too deep") from error


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is never a label, nor JSON; leave the label out")


def _unique(pairs: list[tuple[str, object]]) -> Mapping[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key is given twice")
    return found

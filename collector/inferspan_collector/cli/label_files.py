"""Label files → label records: CSV, NDJSON and Parquet, one row at a time.

A row becomes the JSON object that `POST /v1/labels` takes. Columns that are neither named by an
option nor a field of that object are not read: a label file often holds more than may leave.
"""

from __future__ import annotations

import csv
import io
import json
import math
import operator
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, BinaryIO, Final, Literal, Self

from inferspan.semconv import class_text, prediction_id_text
from inferspan_collector.label_fields import FIELDS, SUBJECTS, TRUTHS

Format = Literal["csv", "tsv", "ndjson", "parquet"]
FORMATS_BY_SUFFIX: Final[Mapping[str, Format]] = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
    ".parquet": "parquet",
    ".pq": "parquet",
}
INTEGERS: Final = ("index", "revision")
NUMBERS: Final = ("value", "weight")
NO_TRUTHS: Final = frozenset(
    ("nan", "NaN", "NAN", "None", "null", "NULL", "inf", "-inf", "Infinity", "-Infinity")
)
"""How programs write into CSV that there is no truth, or none that could be one."""
PARQUET_ROWS = 4096

# Leading zeros make a code, not a number: `007` stays a text.
_NUMBER: Final = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?")
_HALF_PAIR: Final = re.compile("[\ud800-\udfff]")
_FINER: Final = re.compile(r"[.,]\d{6}(\d{1,3})")
_MICROSECONDS_END: Final = len("2026-11-21T06:00:00.000000")
_NANOSECONDS: Final = re.compile(r"\d{16,20}")


class FileUnusable(Exception):
    """The file as a whole cannot be read; the message names the value, the rule and the remedy."""


@dataclass(frozen=True, slots=True)
class Columns:
    """Which column of the file is which field, and what holds for every row."""

    id: str | None = None
    actual: str | None = None
    time: str | None = None
    index: str | None = None
    constants: Mapping[str, str] | None = None
    """Field → text for every row that lacks the field: model, target, source."""
    actual_type: Literal["auto", "text", "number"] = "auto"
    assume_utc: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a file: a record to send, or the reason why there is none.

    `line` counts from 1, a CSV header included; rows of a Parquet file count from 1.
    """

    line: int
    record: dict[str, Any] | None
    reason: str | None = None
    """None with no record: the row has no truth yet, which is no mistake."""


def read(
    source: BinaryIO, format: Format, columns: Columns, id_key: bytes | None = None
) -> Iterator[Row]:
    """Read a label file.

    Args:
        source: the file, opened for bytes.
        format: how it is written.
        columns: what its columns mean.
        id_key: with a key, prediction and entity ids are replaced by their HMAC-SHA-256.

    Yields:
        One row per data row, in the file's order.

    Raises:
        FileUnusable: unreadable as this format, a named column is missing, or pyarrow is.
    """
    try:
        table = _READERS[format](source)
        if table.columns is not None:
            _check_columns(columns, table.columns)
        for line, fields in table.rows:
            if format in ("csv", "tsv") and not isinstance(fields, str):
                fields = _without_nulls(fields, columns)
            yield _row(line, fields, columns, id_key)
    except csv.Error as error:
        raise FileUnusable(f"not CSV: {error}") from None


def format_of(path: Path, given: Format | None) -> Format:
    """The format: as given, else by the file name's end.

    Raises:
        FileUnusable: the name does not tell.
    """
    if given:
        return given
    found = FORMATS_BY_SUFFIX.get(path.suffix.lower())
    if found is None:
        known = ", ".join(FORMATS_BY_SUFFIX)
        raise FileUnusable(
            f"{path} does not say its format ({known} do); add --format csv|tsv|ndjson|parquet"
        )
    return found


@dataclass(frozen=True, slots=True)
class _Table:
    columns: list[str] | None
    """None where each row names its own, or the file is empty."""
    rows: Iterator[tuple[int, Mapping[str, Any] | str]]
    """Line and fields, or what is wrong with the line."""


def _read_csv(source: BinaryIO, delimiter: str = ",") -> _Table:
    # What is not UTF-8 stands as half a surrogate pair, and its row alone is refused.
    text = io.TextIOWrapper(source, encoding="utf-8-sig", errors="surrogateescape", newline="")
    lines = _Lines(text)
    reader = csv.DictReader(lines, delimiter=delimiter, strict=True)
    columns = reader.fieldnames
    return _Table(None if columns is None else list(columns), _csv_rows(reader, lines))


@dataclass(slots=True)
class _Lines:
    """The lines of a text, counted: `csv` does not count those that it cannot read."""

    text: Iterator[str]
    number: int = 0

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> str:
        line = next(self.text)
        self.number += 1
        return line


def _csv_rows(
    reader: csv.DictReader[str], lines: _Lines
) -> Iterator[tuple[int, Mapping[str, Any] | str]]:
    while True:
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield lines.number, f"not CSV: {error}; correct the line"
            continue
        if None in fields or None in fields.values():
            columns = len(reader.fieldnames or ())
            yield lines.number, f"the line does not have {columns} columns as the header has"
        else:
            yield lines.number, {name: _cell(cell) for name, cell in fields.items()}


def _read_tsv(source: BinaryIO) -> _Table:
    return _read_csv(source, delimiter="\t")


def _read_ndjson(source: BinaryIO) -> _Table:
    return _Table(None, _ndjson_rows(source))


def _ndjson_rows(source: BinaryIO) -> Iterator[tuple[int, Mapping[str, Any] | str]]:
    for line, text in enumerate(source, start=1):
        if not text.strip():
            continue
        try:
            fields = json.loads(text)
        except (ValueError, RecursionError) as error:
            yield line, f"not JSON: {error}"
            continue
        yield line, fields if isinstance(fields, dict) else "not a JSON object"


def _read_parquet(source: BinaryIO) -> _Table:
    try:
        from pyarrow import ArrowException
        from pyarrow.parquet import ParquetFile
    except ImportError:
        raise FileUnusable(
            "reading Parquet needs pyarrow: pip install 'inferspan-collector[parquet]'"
        ) from None

    def rows() -> Iterator[tuple[int, Mapping[str, Any]]]:
        try:
            batches = file.iter_batches(batch_size=PARQUET_ROWS)
            yield from enumerate((row for batch in batches for row in batch.to_pylist()), start=1)
        except ArrowException as error:
            raise FileUnusable(f"not Parquet: {error}") from None

    try:
        file = ParquetFile(source)
    except ArrowException as error:
        raise FileUnusable(f"not Parquet: {error}") from None
    return _Table(list(file.schema_arrow.names), rows())


_READERS: Final[Mapping[Format, Callable[[BinaryIO], _Table]]] = {
    "csv": _read_csv,
    "tsv": _read_tsv,
    "ndjson": _read_ndjson,
    "parquet": _read_parquet,
}


def _check_columns(columns: Columns, present: list[str]) -> None:
    named = {
        "--id-column": columns.id,
        "--actual-column": columns.actual,
        "--time-column": columns.time,
        "--index-column": columns.index,
    }
    for column in present:
        if _HALF_PAIR.search(column):
            raise FileUnusable(f"the header names a column {column!a}, not UTF-8; convert the file")
        if column and present.count(column) > 1:
            raise FileUnusable(f"the header names column {column!r} twice; rename one of them")
    has = f"the file's columns are {', '.join(present)}"
    for option, name in named.items():
        if name is not None and name not in present:
            raise FileUnusable(f"{option} {name}: {has}")
    if columns.id is None and not set(SUBJECTS) & set(present):
        raise FileUnusable(f"{has}; say with --id-column which one holds the prediction's id")
    if columns.actual is None and not {*TRUTHS, "action"} & set(present):
        raise FileUnusable(f"{has}; say with --actual-column which one holds the truth")


def _row(line: int, fields: Mapping[str, Any] | str, columns: Columns, id_key: bytes | None) -> Row:
    if isinstance(fields, str):
        return Row(line, None, fields)
    try:
        _check_texts(fields, columns)
        record = _record(fields, columns, id_key)
        if record.get("action") != "delete" and not set(TRUTHS) & set(record):
            return Row(line, None)
    except ValueError as error:
        return Row(line, None, str(error))
    return Row(line, record)


def _without_nulls(fields: Mapping[str, Any], columns: Columns) -> Mapping[str, Any]:
    """Leave out truths that stand for none; as a text they are what they are."""
    if columns.actual_type == "text":
        return fields
    truths = {columns.actual, *TRUTHS} - {"text"}
    return {
        name: None if name in truths and cell in NO_TRUTHS else cell
        for name, cell in fields.items()
    }


def _check_texts(fields: Mapping[str, Any], columns: Columns) -> None:
    read = {columns.id, columns.actual, columns.time, columns.index, *FIELDS}
    for name, cell in fields.items():
        if name in read and isinstance(cell, str) and _HALF_PAIR.search(cell):
            raise ValueError(f"{name} = {cell!a:.80} is not UTF-8; convert the file")


def _record(fields: Mapping[str, Any], columns: Columns, id_key: bytes | None) -> dict[str, Any]:
    record: dict[str, Any] = dict(columns.constants or {})
    # A column that an option names is what the option says, even if it is called `id`.
    named = {columns.id, columns.actual, columns.time, columns.index}
    for name in set(FIELDS) & set(fields) - named:
        if not _absent(fields[name]):
            record[name] = fields[name]
    if columns.id is not None:
        record["prediction_id"] = _given(fields, columns.id)
    if columns.index is not None:
        record["index"] = _given(fields, columns.index)
    if columns.time is not None and not _absent(fields.get(columns.time)):
        record["time"] = fields[columns.time]
    if columns.actual is not None and not _absent(fields.get(columns.actual)):
        field, truth = _truth(fields[columns.actual], columns.actual_type)
        record[field] = truth
    for name in SUBJECTS:
        if name in record:
            text = prediction_id_text(record[name], id_key)
            if text is None:
                raise ValueError(f"{name} {record[name]!r} is no id: a text or a whole number is")
            record[name] = text
    for name in INTEGERS:
        if name in record:
            record[name] = _integer(name, record[name])
    for name in NUMBERS:
        if isinstance(record.get(name), str):
            record[name] = _finite(record[name])
    if "time" in record:
        record["time"] = _time(record["time"], columns.assume_utc)
    return record


def _given(fields: Mapping[str, Any], name: str) -> Any:
    if _absent(fields.get(name)):
        raise ValueError(f"{name} is empty")
    return fields[name]


def _truth(given: Any, actual_type: str) -> tuple[str, Any]:
    """Field and value of a truth, as the SDK would send it: numbers as numbers, else a class."""
    if isinstance(given, list):
        return ("values" if actual_type == "number" else "classes"), given
    if actual_type == "text":
        return "class", class_text(given)
    if actual_type == "number":
        return "value", _finite(given)
    if isinstance(given, str):
        if given in ("True", "False"):
            return "class", given.lower()
        return ("value", _finite(given)) if _NUMBER.fullmatch(given) else ("class", given)
    if isinstance(given, bool):
        return "class", class_text(given)
    return "value", _finite(given)


def _integer(name: str, given: Any) -> int:
    """Whole numbers; a column with gaps often comes as floats or as texts."""
    if isinstance(given, float) and given.is_integer():
        return int(given)
    try:
        if isinstance(given, bool):
            raise TypeError
        return operator.index(int(given) if isinstance(given, str) else given)
    except (TypeError, ValueError):
        raise ValueError(f"{name} {given!r} is not an integer") from None


def _finite(given: Any) -> float:
    try:
        number = float(given)
    except (TypeError, ValueError):
        raise ValueError(f"{given!r:.80} is not a number; correct it, or leave it empty") from None
    if not math.isfinite(number):
        raise ValueError(
            f"{given!r:.80} is not a finite number, which is never a label; correct it, or leave "
            "it empty where there is no truth yet"
        )
    return number


def _time(given: Any, assume_utc: bool) -> Any:
    """RFC 3339 with offset, or Unix ns; anything else is left for the collector to refuse."""
    if isinstance(given, str):
        if _NANOSECONDS.fullmatch(given):
            return int(given)
        try:
            moment = datetime.fromisoformat(given)
        except ValueError:
            raise ValueError(f"time {given!r} is not RFC 3339, 2026-11-21T06:00:00Z") from None
    elif isinstance(given, datetime):
        moment = given
    elif isinstance(given, date):
        moment = datetime(given.year, given.month, given.day)  # noqa: DTZ001 - decided below
    else:
        return given
    if moment.tzinfo is None:
        if not assume_utc:
            raise ValueError(f"time {str(given)!r} has no offset; add it, or --assume-utc")
        moment = moment.replace(tzinfo=UTC)
    finer = _FINER.search(given) if isinstance(given, str) else None
    if finer is None:
        return moment.isoformat()
    # A datetime ends at microseconds, the collector's times at nanoseconds.
    text = moment.isoformat(timespec="microseconds")
    return f"{text[:_MICROSECONDS_END]}{finer[1]}{text[_MICROSECONDS_END:]}"


def _cell(cell: str) -> str | None:
    return cell.strip() or None


def _absent(given: Any) -> bool:
    return given is None or (isinstance(given, float) and math.isnan(given))

"""Label files → label records: CSV, NDJSON and Parquet, one row at a time.

A row becomes the JSON object that `POST /v1/labels` takes. Columns that are neither named by an
option nor a field of that object are not read: a label file often holds more than may leave.
"""

from __future__ import annotations

import csv
import io
import itertools
import json
import math
import operator
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, BinaryIO, Final, Literal

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
PARQUET_ROWS = 4096

# Leading zeros make a code, not a number: `007` stays a text.
_NUMBER: Final = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?")
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
            yield _row(line, fields, columns, id_key)
    except UnicodeDecodeError as error:
        raise FileUnusable(
            f"the file is not UTF-8 ({error.reason} at byte {error.start})"
        ) from None
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
    text = io.TextIOWrapper(source, encoding="utf-8-sig", newline="")
    reader = csv.DictReader(text, delimiter=delimiter, strict=True)
    columns = reader.fieldnames
    return _Table(None if columns is None else list(columns), _csv_rows(reader))


def _csv_rows(reader: csv.DictReader[str]) -> Iterator[tuple[int, Mapping[str, Any] | str]]:
    for fields in reader:
        if None in fields or None in fields.values():
            columns = len(reader.fieldnames or ())
            yield reader.line_num, f"the line does not have {columns} columns as the header has"
        else:
            yield reader.line_num, {name: _cell(cell) for name, cell in fields.items()}


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
        except ValueError as error:
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
        record = _record(fields, columns, id_key)
        if record.get("action") != "delete" and not set(TRUTHS) & set(record):
            return Row(line, None)
    except ValueError as error:
        return Row(line, None, str(error))
    return Row(line, record)


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
        return ("value", float(given)) if _NUMBER.fullmatch(given) else ("class", given)
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
        raise ValueError(f"{given!r} is not a number") from None
    if not math.isfinite(number):
        raise ValueError(f"{given!r} is not a finite number")
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
    return moment.isoformat()


def _cell(cell: str) -> str | None:
    return cell.strip() or None


def _absent(given: Any) -> bool:
    return given is None or (isinstance(given, float) and math.isnan(given))


def batches(rows: Iterable[Row], size: int) -> Iterator[list[Row]]:
    """Cut a stream of rows into lists of at most `size`."""
    stream = iter(rows)
    while batch := list(itertools.islice(stream, size)):
        yield batch

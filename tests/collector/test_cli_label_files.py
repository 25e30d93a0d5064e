"""Files → label records: the same truth in any format gives the same label."""

from __future__ import annotations

import csv
import io
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import pyarrow
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from inferspan.semconv import class_text, prediction_id_text
from inferspan_collector.cli.label_files import (
    FORMATS_BY_SUFFIX,
    Columns,
    FileUnusable,
    Format,
    Row,
    format_of,
    read,
)
from inferspan_collector.receivers.label_lines import rfc_3339_ns

COLUMNS = Columns(id="id", actual="truth", constants={"model": "fraud"})
# What a CSV cell keeps: no surrounding space, no NUL, no lone surrogate.
TEXTS = st.text(
    st.characters(exclude_categories=["Cs", "Cc", "Z"]), min_size=1, max_size=20
).filter(lambda text: not text.isspace())


def rows_of(text: str, format: Format, columns: Columns = COLUMNS, **options: Any) -> list[Row]:
    return list(read(io.BytesIO(text.encode()), format, columns, **options))


def csv_of(*rows: dict[str, str]) -> str:
    file = io.StringIO(newline="")
    writer = csv.DictWriter(file, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()


def record_of(text: str, format: Format, columns: Columns = COLUMNS) -> dict[str, Any]:
    (row,) = rows_of(text, format, columns)
    assert row.record is not None, row.reason
    return row.record


@given(identifier=TEXTS, actual=TEXTS)
def test_texts_survive_csv(identifier: str, actual: str) -> None:
    columns = Columns(id="id", actual="truth", actual_type="text")
    record = record_of(csv_of({"id": identifier, "truth": actual}), "csv", columns)
    assert record["prediction_id"] == prediction_id_text(identifier)
    assert record["class"] == class_text(actual)


@given(st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(10**15), 10**15))
def test_a_number_is_the_same_label_in_every_format(number: float) -> None:
    in_csv = record_of(csv_of({"id": "a", "truth": repr(number)}), "csv")
    in_json = record_of(json.dumps({"id": "a", "truth": number}), "ndjson")
    assert in_csv["value"] == in_json["value"] == number
    assert "class" not in in_csv
    tsv = record_of(f"id\ttruth\na\t{number!r}\n", "tsv")
    assert tsv["value"] == number


@pytest.mark.parametrize(
    ("cell", "field", "value"),
    [
        ("fraud", "class", "fraud"),
        ("1", "value", 1.0),
        ("1.0", "value", 1.0),
        ("-2.5e-3", "value", -0.0025),
        ("007", "class", "007"),
        ("0x10", "class", "0x10"),
        ("1_000", "class", "1_000"),
        ("none", "class", "none"),
        ("True", "class", "true"),
        ("False", "class", "false"),
    ],
)
def test_a_plain_decimal_is_a_number_and_all_else_a_class(
    cell: str, field: str, value: object
) -> None:
    assert record_of(f"id,truth\na,{cell}\n", "csv")[field] == value


@pytest.mark.parametrize(
    ("actual_type", "given_value", "field", "value"),
    [
        ("text", "1.0", "class", "1.0"),
        ("text", 1.0, "class", "1"),
        ("number", "1", "value", 1.0),
        ("auto", True, "class", "true"),
        ("auto", ["a", "b"], "classes", ["a", "b"]),
        ("number", [1.0, 2.0], "values", [1.0, 2.0]),
    ],
)
def test_the_type_can_be_said(
    actual_type: Literal["auto", "text", "number"], given_value: object, field: str, value: object
) -> None:
    columns = Columns(id="id", actual="truth", actual_type=actual_type)
    record = record_of(json.dumps({"id": "a", "truth": given_value}), "ndjson", columns)
    assert record[field] == value


def test_only_a_label_id_that_was_given_is_sent() -> None:
    assert "id" not in record_of("id,truth\na,fraud\n", "csv")
    given_id = record_of('{"prediction_id": "a", "class": "b", "id": "mine"}', "ndjson", Columns())
    assert given_id["id"] == "mine"


def test_columns_nobody_named_do_not_leave() -> None:
    record = record_of("id,truth,email\na,fraud,a@example.com\n", "csv")
    assert "a@example.com" not in json.dumps(record)
    assert set(record) == {"prediction_id", "class", "model"}


def test_a_column_named_id_may_hold_the_prediction() -> None:
    assert record_of("id,truth\na,fraud\n", "csv", COLUMNS) == {
        "prediction_id": "a",
        "class": "fraud",
        "model": "fraud",
    }


def test_a_row_without_truth_is_no_mistake_but_a_deletion_needs_none() -> None:
    rows = rows_of("id,truth\na,\nb,fraud\n", "csv")
    assert [(row.line, row.reason, row.record is None) for row in rows] == [
        (2, None, True),
        (3, None, False),
    ]
    deletion = {"prediction_id": "a", "id": "l", "action": "delete", "revision": 1}
    assert record_of(json.dumps(deletion), "ndjson", Columns())["action"] == "delete"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("a,fraud,x\n", "columns"),
        ("a\n", "columns"),
        (",fraud\n", "id is empty"),
    ],
)
def test_a_broken_line_is_named(line: str, said: str) -> None:
    bad, good = rows_of(f"id,truth\n{line}b,legit\n", "csv")
    assert bad.line == 2
    assert said in str(bad.reason)
    assert good.record is not None


def test_a_cell_may_hold_lines() -> None:
    first, second = rows_of('id,truth\n"a\nb",fraud\nc,legit\n', "csv")
    assert first.record is not None
    assert first.record["prediction_id"] == "a\nb"
    assert second.line == 4


@pytest.mark.parametrize(
    ("given_time", "time"),
    [
        ("2026-11-21T06:00:00Z", "2026-11-21T06:00:00+00:00"),
        ("2026-11-21T06:00:00.5+01:00", "2026-11-21T06:00:00.500000+01:00"),
        ("1795000000000000000", 1_795_000_000_000_000_000),
    ],
)
def test_times_keep_their_offset(given_time: str, time: object) -> None:
    columns = Columns(id="id", actual="truth", time="at")
    assert record_of(f"id,truth,at\na,fraud,{given_time}\n", "csv", columns)["time"] == time


def test_a_time_without_offset_needs_a_word() -> None:
    text = "id,truth,at\na,fraud,2026-11-21 06:00:00\n"
    (refused,) = rows_of(text, "csv", Columns(id="id", actual="truth", time="at"))
    assert "--assume-utc" in str(refused.reason)
    assumed = Columns(id="id", actual="truth", time="at", assume_utc=True)
    assert record_of(text, "csv", assumed)["time"] == "2026-11-21T06:00:00+00:00"


@pytest.mark.parametrize(("given_index", "index"), [("3", 3), (3, 3), (3.0, 3)])
def test_an_index_may_come_as_text_or_float(given_index: object, index: int) -> None:
    columns = Columns(id="id", actual="truth", index="row")
    line = json.dumps({"id": "a", "truth": "b", "row": given_index})
    assert record_of(line, "ndjson", columns)["index"] == index


@pytest.mark.parametrize("given_index", ["x", 1.5, [1], True])
def test_an_index_that_is_none_is_named(given_index: object) -> None:
    columns = Columns(id="id", actual="truth", index="row")
    (row,) = rows_of(json.dumps({"id": "a", "truth": "b", "row": given_index}), "ndjson", columns)
    assert "is not an integer" in str(row.reason)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"\xff\xfe,x", "id = '\\udcff\\udcfe' is not UTF-8; convert the file"),
        (b'"a"b,x', "not CSV: "),
        (b"a," + b"x" * 140_000, "not CSV: field larger than field limit"),
        (b"a,1e999", "'1e999' is not a finite number"),
        (b"a,x,y", "does not have 2 columns"),
    ],
)
@pytest.mark.parametrize("rows_before", [0, 20_000])
def test_a_line_that_cannot_be_read_takes_no_neighbour_with_it(
    line: bytes, reason: str, rows_before: int
) -> None:
    file = b"id,truth\n" + b"a,x\n" * rows_before + line + b"\nb,y\n"
    rows = list(read(io.BytesIO(file), "csv", COLUMNS))
    assert [row.line for row in rows if row.record is None] == [rows_before + 2]
    assert reason in str(rows[-2].reason)
    assert rows[-1] == Row(rows_before + 3, {"model": "fraud", "prediction_id": "b", "class": "y"})


def test_a_column_that_is_not_read_may_hold_anything() -> None:
    (row,) = read(io.BytesIO(b"id,truth,note\na,x,\xff\n"), "csv", COLUMNS)
    assert row.record == {"model": "fraud", "prediction_id": "a", "class": "x"}


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (b"id,truth,truth", "names column 'truth' twice"),
        (b"id,truth,\xff", "not UTF-8; convert the file"),
        (b'id,"tr"uth', "not CSV"),
    ],
)
def test_a_header_that_cannot_be_read_is_said(header: bytes, message: str) -> None:
    with pytest.raises(FileUnusable, match=message):
        list(read(io.BytesIO(header + b"\na,x,y\n"), "csv", COLUMNS))


@pytest.mark.parametrize("line", ['{"id": "\\ud800", "truth": "x"}', "[" * 100_000])
def test_json_that_cannot_be_read_takes_no_neighbour_with_it(line: str) -> None:
    bad, good = rows_of(line + '\n{"id": "b", "truth": "y"}', "ndjson")
    assert bad.record is None
    assert bad.reason
    assert good.record is not None


@pytest.mark.parametrize("cell", ["nan", "NaN", "None", "NULL", "null", "inf", "-inf"])
def test_what_programs_write_for_no_truth_is_none(cell: str) -> None:
    for columns in (COLUMNS, Columns(id="id", constants={"model": "fraud"})):
        name = columns.actual or "class"
        (row,) = rows_of(f"id,{name}\na,{cell}\n", "csv", columns)
        assert (row.record, row.reason) == (None, None)
    as_text = Columns(id="id", actual="truth", actual_type="text")
    assert record_of(f"id,truth\na,{cell}\n", "csv", as_text)["class"] == cell


@pytest.mark.parametrize("fraction", ["", ".5", ".123456", ".1234567", ".123456789"])
@pytest.mark.parametrize("offset", ["Z", "+01:00"])
def test_a_time_is_the_same_moment_as_over_http(fraction: str, offset: str) -> None:
    time = f"2026-11-20T06:00:00{fraction}{offset}"
    columns = Columns(id="id", actual="truth", time="known")
    sent = record_of(f"id,truth,known\na,x,{time}\n", "csv", columns)["time"]
    assert rfc_3339_ns(sent) == rfc_3339_ns(time)


def test_parquet_needs_a_package_and_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(FileUnusable, match=r"pip install 'inferspan-collector\[parquet\]'"):
        rows_of("", "parquet")


def test_parquet_gives_the_labels_that_csv_gives() -> None:
    times = [datetime(2026, 11, 1, 8, tzinfo=UTC), datetime(2026, 11, 2, 9, tzinfo=UTC)]
    table = pyarrow.table({"id": ["a", "b"], "truth": ["fraud", None], "known": times})
    file = io.BytesIO()
    parquet.write_table(table, file)
    columns = Columns(id="id", actual="truth", time="known", constants={"model": "fraud"})
    lines = ["id,truth,known", f"a,fraud,{times[0].isoformat()}", f"b,,{times[1].isoformat()}"]

    found = list(read(io.BytesIO(file.getvalue()), "parquet", columns))

    assert [row.record for row in found] == [
        row.record for row in rows_of("\n".join(lines), "csv", columns)
    ]
    assert found[1].reason is None


def test_a_file_that_is_not_parquet_is_said() -> None:
    with pytest.raises(FileUnusable, match="not Parquet"):
        rows_of("id,truth\n", "parquet")


@pytest.mark.parametrize("suffix", sorted(FORMATS_BY_SUFFIX))
def test_a_name_tells_the_format(suffix: str) -> None:
    assert format_of(Path(f"labels{suffix.upper()}"), None) == FORMATS_BY_SUFFIX[suffix]
    assert format_of(Path(f"labels{suffix}"), "csv") == "csv"
    with pytest.raises(FileUnusable, match="--format"):
        format_of(Path("labels"), None)


@pytest.mark.parametrize("line", ["", "a\n", "a,fraud,x\n", "a\nb,fraud\n"])
@pytest.mark.parametrize("columns", [Columns(id="key"), Columns(id="id", actual="outcome")])
def test_wrong_columns_are_said_whatever_the_first_row_is(line: str, columns: Columns) -> None:
    with pytest.raises(FileUnusable, match="the file's columns are id, truth"):
        rows_of(f"id,truth\n{line}", "csv", columns)


def test_wrong_columns_of_a_parquet_file_without_rows_are_said() -> None:
    file = io.BytesIO()
    parquet.write_table(pyarrow.table({"id": pyarrow.array([], pyarrow.string())}), file)
    with pytest.raises(FileUnusable, match="the file's columns are id"):
        list(read(io.BytesIO(file.getvalue()), "parquet", COLUMNS))


def test_an_empty_file_holds_no_labels() -> None:
    assert rows_of("", "ndjson") == []
    assert rows_of("", "csv") == []
    assert rows_of("id,truth\n", "csv") == []

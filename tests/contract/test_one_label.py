"""The same row by `label_table`, by the command line and by a line of JSON is one label."""

from __future__ import annotations

import csv
import io
import json
import unicodedata
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans

import inferspan
from inferspan import semconv
from inferspan.testing import capture_spans
from inferspan_collector.batches import LabelBatch
from inferspan_collector.cli.label_files import Columns, Format, read
from inferspan_collector.decode import decode_traces
from inferspan_collector.decode.columns import label_batch
from inferspan_collector.receivers.label_lines import read_lines

RECEIVED_NS = 1_800_000_000_000_000_000

# What a CSV cell keeps: no surrounding space, no control, no lone surrogate.
TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc", "Z"]), min_size=1, max_size=12)
NAMES = TEXTS.map(lambda text: unicodedata.normalize("NFC", text))
NUMBERS = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**53), 2**53)
TRUTHS = st.one_of(
    TEXTS.map(lambda text: ("class", text)),
    st.booleans().map(lambda value: ("class", value)),
    NUMBERS.map(lambda number: ("value", number)),
    st.lists(TEXTS, max_size=3).map(lambda texts: ("classes", texts)),
    st.lists(NUMBERS, min_size=1, max_size=3).map(lambda numbers: ("values", numbers)),
)
MOMENTS = st.datetimes(datetime(1980, 1, 1), datetime(2026, 12, 31)).map(  # noqa: DTZ001
    lambda moment: moment.replace(tzinfo=timezone(timedelta(hours=1))).isoformat()
)
TIMES = st.none() | MOMENTS | st.integers(10**17, RECEIVED_NS)
IDS = TEXTS | st.integers(0, 10**12) | st.text("aä7-", min_size=129, max_size=400)
OPTIONS = st.fixed_dictionaries(
    {"model": NAMES},
    optional={
        "version": NAMES,
        "target": NAMES,
        "source": NAMES,
        "kind": st.sampled_from(semconv.TARGET_KINDS),
        "annotator_kind": st.sampled_from(semconv.ANNOTATOR_KINDS),
    },
)
CONSTANTS = ("model", "target", "source")


def by_table(cells: Mapping[str, object], options: Mapping[str, Any]) -> LabelBatch:
    columns = {name: name for name in ("time", "index", "item_id") if cells.get(name) is not None}
    with capture_spans() as spans:
        report = inferspan.label_table(
            [cells], prediction_id="key", actual="truth", **columns, **options
        )
        assert report.sent == 1
        body = encode_spans(list(spans)).SerializeToString()
    found = decode_traces(body, json=False, received_ns=RECEIVED_NS)
    assert found.refused == ()
    return found.labels


def by_lines(*records: Mapping[str, object]) -> LabelBatch:
    body = "\n".join(map(json.dumps, records)).encode()
    lines = read_lines(body, ndjson=True, received_ns=RECEIVED_NS)
    assert [line.error for line in lines] == [""]
    return label_batch([line.label for line in lines if line.label], RECEIVED_NS)


def by_file(
    cells: Mapping[str, object], field: str, options: Mapping[str, str], format: Format
) -> LabelBatch:
    """As `inferspan labels push` sends it; what is no option there is a column of the file."""
    row = {**cells, **{name: text for name, text in options.items() if name not in CONSTANTS}}
    file = io.StringIO(json.dumps(row), newline="")
    if format == "csv":
        file = io.StringIO(newline="")
        writer = csv.DictWriter(file, list(row))
        writer.writeheader()
        writer.writerow(row)
    columns = Columns(
        id="key",
        actual="truth",
        time="time",
        index=None if cells["index"] is None else "index",
        constants={name: text for name, text in options.items() if name in CONSTANTS},
        actual_type="number" if field in ("value", "values") else "text",
    )
    (found,) = read(io.BytesIO(file.getvalue().encode()), format, columns)
    assert found.record is not None, found.reason
    return by_lines(found.record)


def said(batch: LabelBatch) -> dict[str, str]:
    """Every column as text, so that NaN equals NaN."""
    return {
        name: str(getattr(column, "objects", lambda column=column: column)().tolist())
        for name in type(batch).__slots__
        for column in [getattr(batch, name)]
    }


@given(key=IDS, truth=TRUTHS, time=TIMES, index=st.none() | st.integers(0, 3), options=OPTIONS)
def test_a_row_is_one_label_by_every_way(
    key: object,
    truth: tuple[str, object],
    time: object,
    index: int | None,
    options: dict[str, str],
) -> None:
    field, value = truth
    cells = {"key": key, "truth": value, "time": time, "index": index}
    line = {"prediction_id": key, field: value, "time": time, "index": index, **options}
    expected = said(by_table(cells, options))
    assert said(by_lines(line)) == expected
    assert said(by_file(cells, field, options, "ndjson")) == expected
    if field in ("class", "value") and not isinstance(value, bool):
        assert said(by_file(cells, field, options, "csv")) == expected


RELEVANCES = st.sampled_from(
    [
        ("class", True),
        ("class", False),
        ("class", "true"),
        ("class", "2"),
        ("value", 0),
        ("value", 2.5),
    ]
)


@given(key=IDS, relevance=RELEVANCES, item=TEXTS | st.integers(0, 99), time=TIMES)
def test_an_item_of_a_ranking_is_one_label_by_every_way(
    key: object, relevance: tuple[str, object], item: object, time: object
) -> None:
    field, value = relevance
    row = {"key": key, "truth": value, "time": time, "index": None, "item_id": item}
    line = {"prediction_id": key, field: value, "time": time, "item_id": item, "model": "shop"}
    labels = by_table(row, {"model": "shop"})
    assert labels.item_id.objects().tolist() == [semconv.class_text(item)]
    assert said(by_lines(line)) == said(labels)


def test_rows_that_say_something_else_are_other_labels() -> None:
    row = {"prediction_id": "order-17", "model": "fraud", "class": "legit"}
    others = [
        {"prediction_id": "order-18"},
        {"class": "fraud"},
        {"time": datetime(2026, 11, 1, tzinfo=UTC).isoformat()},
        {"index": 1},
        {"item_id": "sku-17", "class": True},
        {"item_id": "sku-18", "class": True},
    ]
    ids = [by_lines({**row, **change}).label_id.objects()[0] for change in [{}, *others]]
    assert len(set(ids)) == 7

"""A table of labels: every row sent or refused with its reason, and twice is once."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

import inferspan
from inferspan import providers, semconv
from inferspan.label_tables import CHUNK_ROWS, PROBE_ROWS
from inferspan.testing import CapturedSpans, capture_spans

COLUMNS = {
    "order_id": ["a", "b", "c"],
    "is_fraud": [1, 0, 1],
    "confirmed_at": [
        "2026-11-21T06:00:00Z",
        "2026-11-21T06:00:01Z",
        "2026-11-21T06:00:02Z",
    ],
}


def rows() -> Iterator[dict[str, object]]:
    for values in zip(*COLUMNS.values(), strict=True):
        yield dict(zip(COLUMNS, values, strict=True))


def frame() -> pd.DataFrame:
    table = pd.DataFrame(COLUMNS)
    return table.assign(confirmed_at=pd.to_datetime(table["confirmed_at"]))


def load(table: object) -> inferspan.label_table:  # type: ignore[valid-type]
    return inferspan.label_table(
        table, model="fraud", prediction_id="order_id", actual="is_fraud", time="confirmed_at"
    )


@pytest.mark.parametrize(
    "table",
    [
        COLUMNS,
        frame(),
        list(rows()),
        rows(),
        {name: np.array(values) for name, values in COLUMNS.items()},
        pa.table(COLUMNS),
    ],
    ids=["columns", "frame", "rows", "stream", "arrays", "arrow"],
)
def test_every_kind_of_table_gives_the_same_records(table: object) -> None:
    with capture_spans() as expected_spans:
        load(COLUMNS)
        expected = [dict(s.attributes or {}) for s in expected_spans.labels]
    with capture_spans() as spans:
        report = load(table)
        found = [dict(s.attributes or {}) for s in spans.labels]
    assert found == expected
    assert (report.sent, report.refused, report.failed) == (3, 0, 0)
    assert expected[0] == {
        semconv.LABEL_ID: expected[0][semconv.LABEL_ID],
        semconv.MODEL_NAME: "fraud",
        semconv.PREDICTION_ID: "a",
        semconv.TARGET_NAME: "default",
        semconv.TARGET_KIND: "ground_truth",
        semconv.LABEL_VALUE: 1.0,
        semconv.LABEL_TIME_UNIX_NANO: 1_795_240_800_000_000_000,
    }


def test_loading_twice_gives_the_same_ids_and_a_correction_another(spans: CapturedSpans) -> None:
    for actual in ([1, 0], [1, 0], [1, 1]):
        inferspan.label_table({"prediction_id": ["a", "b"], "actual": actual}, model="m")
    ids = [(s.attributes or {})[semconv.LABEL_ID] for s in spans.labels]
    first, again, corrected = ids[:2], ids[2:4], ids[4:]
    assert first == again
    assert corrected[0] == first[0]
    assert corrected[1] != first[1]


def test_rows_that_are_no_labels_are_counted_with_their_reason(
    spans: CapturedSpans, caplog: pytest.LogCaptureFixture
) -> None:
    table = {"prediction_id": ["a", None, "c", "d"], "actual": [1.0, 1.0, math.inf, b"x"]}
    with caplog.at_level(logging.INFO, "inferspan"):
        report = inferspan.label_table(table, model="m")
    assert (report.sent, report.refused, report.failed) == (1, 3, 0)
    assert sum(report.reasons.values()) == 3
    assert str(report).startswith("1 sent, 3 refused, 0 failed\n")
    assert str(report) in caplog.text


def test_rows_without_a_truth_are_skipped_and_no_mistake(
    spans: CapturedSpans, caplog: pytest.LogCaptureFixture
) -> None:
    missing = [None, math.nan, pd.NaT, pd.NA, np.float64("nan")]
    table = {"prediction_id": [*"abcde", "f"], "actual": [*missing, "yes"]}
    with caplog.at_level(logging.INFO, "inferspan"):
        report = inferspan.label_table(table, model="m")
    assert (report.sent, report.refused, report.failed, report.without_truth) == (1, 0, 0, 5)
    assert report.reasons == {}
    assert str(report) == "1 sent, 0 refused, 0 failed, 5 without a truth yet"
    assert [record.levelname for record in caplog.records] == ["INFO"]


def test_reasons_are_bounded(spans: CapturedSpans) -> None:
    table = {"prediction_id": ["a"] * 100, "actual": [1] * 100, "at": [f"t{i}" for i in range(100)]}
    report = inferspan.label_table(table, model="m", time="at")
    assert report.refused == 100
    assert len(report.reasons) <= 21
    assert sum(report.reasons.values()) == 100


@pytest.mark.parametrize(
    ("table", "error", "said"),
    [
        ({"order": ["a"], "actual": [1]}, ValueError, "no column 'prediction_id'.*it has order"),
        ({"predictionid": ["a"], "actual": [1]}, ValueError, "did you mean 'predictionid'"),
        (pd.DataFrame({"actual": [1]}), ValueError, "no column 'prediction_id'"),
        ({"prediction_id": ["a", "b"], "actual": [1]}, ValueError, "differ in length"),
        (
            pd.DataFrame([["a", "b", 1]], columns=["prediction_id", "prediction_id", "actual"]),
            ValueError,
            "has 2 columns 'prediction_id'; name each column once",
        ),
        ({"prediction_id": "abc", "actual": "xyz"}, ValueError, "'prediction_id' is a str; give"),
        ({"prediction_id": ["a"], "actual": 1}, ValueError, "'actual' is a int; give a list"),
        ([{"prediction_id": "a", "actuel": 1}], ValueError, "did you mean 'actuel'"),
        (pa.table({"id": ["secret"], "actual": [1]}), ValueError, "it has id, actual$"),
        ([("a", 1)], TypeError, "a row is a tuple; give mappings"),
        ("a,b", TypeError, "a str is no table"),
        (3, TypeError, "a int is no table"),
    ],
)
def test_what_is_no_table_is_said(
    spans: CapturedSpans, table: object, error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        inferspan.label_table(table, model="m")
    assert spans.labels == []


def test_a_column_is_named_by_a_text(spans: CapturedSpans) -> None:
    with pytest.raises(TypeError, match="the column 0 is a int; name it by a text"):
        inferspan.label_table(pd.DataFrame([["a", 1]]), model="m", prediction_id=0)  # type: ignore[arg-type]


class Detached(dict[str, object]):
    """A row that raises whenever it is looked at, as those of databases may."""

    def get(self, key: object, default: object = None) -> object:
        raise RuntimeError("detached")

    def __iter__(self) -> Iterator[str]:
        raise RuntimeError("detached")


@pytest.mark.parametrize("good", [1, 3_000])
@pytest.mark.parametrize("bad", [Detached(), None, ("a", 1)])
def test_one_row_that_raises_or_is_none_is_refused_alone(
    spans: CapturedSpans, good: int, bad: object
) -> None:
    rows: list[Any] = [{"prediction_id": f"p{n}", "actual": 1} for n in range(good)]
    report = inferspan.label_table([*rows, bad, rows[0]], model="m")
    assert (report.sent, report.refused) == (good + 1, 1)
    assert "detached" not in str(report)


def test_one_row_that_cannot_be_read_does_not_end_the_table(spans: CapturedSpans) -> None:
    class Odd:
        def __getattribute__(self, name: str) -> object:
            raise SystemExit("secret")

    table = {
        "prediction_id": ["a", 10**5000, "c", "d", "e"],
        "actual": [1, 1, [10**5000, "a"], Odd(), 1],
        "row": [0, 0, 0, 0, math.inf],
    }
    report = inferspan.label_table(table, model="m", index="row")
    assert (report.sent, report.refused, report.failed) == (1, 4, 0)
    assert "secret" not in str(report)


class Receiving(SpanExporter):
    """Takes the first `most` spans, and counts how many it was offered."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.offered = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.offered += len(spans)
        return SpanExportResult.SUCCESS if self.offered <= self.most else SpanExportResult.FAILURE


@pytest.mark.parametrize("most", [0, CHUNK_ROWS])
def test_a_table_is_not_sent_on_to_a_receiver_that_is_gone(most: int) -> None:
    count = 5 * CHUNK_ROWS
    exporter = Receiving(most)
    restore = providers.divert(None, lambda: exporter)
    report = inferspan.label_table(
        {"prediction_id": range(count), "actual": [1] * count}, model="m"
    )
    restore()
    assert (report.sent, report.refused, report.failed) == (most, 0, count - most)
    assert exporter.offered == (2 * CHUNK_ROWS if most else PROBE_ROWS)


def test_a_missing_cell_concerns_its_row_only(spans: CapturedSpans) -> None:
    report = inferspan.label_table(
        [{"prediction_id": "a", "actual": 1}, {"prediction_id": "b"}, {"actual": 1}], model="m"
    )
    assert (report.sent, report.refused, report.without_truth) == (1, 1, 1)


def test_rows_of_a_batch_call_are_named_by_index(spans: CapturedSpans) -> None:
    table = pd.DataFrame({"prediction_id": ["p", "p"], "actual": ["a", "b"], "row": [0, 1]})
    inferspan.label_table(table, model="m", index="row", source="ledger", version="2")
    first, second = [dict(s.attributes or {}) for s in spans.labels]
    assert semconv.PREDICTION_INDEX not in first
    assert second[semconv.PREDICTION_INDEX] == 1
    assert second[semconv.LABEL_SOURCE] == "ledger"
    assert second[semconv.MODEL_VERSION] == "2"


@given(
    st.lists(
        st.tuples(st.text(min_size=1, max_size=5), st.one_of(st.integers(0, 3), st.text())),
        max_size=50,
    )
)
def test_the_order_of_rows_does_not_matter(pairs: list[tuple[str, object]]) -> None:
    def ids(rows: list[tuple[str, object]]) -> list[object]:
        with capture_spans() as spans:
            report = inferspan.label_table(
                [{"prediction_id": i, "actual": v} for i, v in rows], model="m"
            )
            assert report.sent == len(rows)
            return sorted((s.attributes or {})[semconv.LABEL_ID] for s in spans.labels)

    assert ids(pairs) == ids(pairs[::-1])


def test_a_table_larger_than_the_queue_arrives_whole(spans: CapturedSpans) -> None:
    count = 20_000
    report = inferspan.label_table(
        {"prediction_id": range(count), "actual": [1] * count}, model="m"
    )
    assert report.sent == count
    assert len({(s.attributes or {})[semconv.LABEL_ID] for s in spans.labels}) == count


def test_without_a_way_it_says_so() -> None:
    with pytest.raises(ValueError, match="INFERSPAN_ENDPOINT"):
        inferspan.label_table({"prediction_id": ["a"], "actual": [1]}, model="m")

"""Broken slim records: refused alone, or read as the oracle reads them; nothing without limit."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from slim_record import STARTED_NS, Call, Row, decode, pack, slim_record
from slim_record_oracle import REFUSALS, read_rows, rows_of

from inferspan import semconv
from inferspan_collector.decode import decode_traces
from inferspan_collector.decode.predictions import TIME_MAX_NS
from inferspan_collector.decode.row_limit import ROWS_FREE, ROWS_MAX
from inferspan_collector.submission import Overloaded
from inferspan_collector.testing import NOW_NS, any_value, prediction_span, traces_request

MINTED = ["018f3c4e8a7b7c3d9e2f1a2b3c4d5e6f", "018f3c4e8a7b7fff8e2f1a2b3c4d5e6f"]
TWO = [Call("x", [Row("a", 0.5, 1.5, {"k": "v"})]), Call("y", [Row("b")], span=2)]
TOO_LONG = pack("Q", [TIME_MAX_NS - STARTED_NS + 1, 0])
NO_IDS = [Call(None, [Row(), Row()])]
SETS = [Call("x", [Row(("a",)), Row(("a", "b"))])]
LISTED = [
    Call("x", [Row("a", probabilities={"a": 0.75, "b": 0.25})]),
    Call("y", [Row("b", probabilities={"b": 0.5, "c": 0.3, "a": 0.2}), Row()], span=2),
]
LISTS, LIST_CODES, NUMBERS = (
    semconv.RECORD_PROBABILITY_CLASSES,
    semconv.RECORD_PROBABILITY_CLASS_CODES,
    semconv.RECORD_PROBABILITIES,
)
REFUSED: list[tuple[str, Sequence[Call], str, Any, str]] = [
    ("no model", TWO, semconv.MODEL_NAME, None, "missing_model"),
    ("no operation", TWO, semconv.OPERATION_NAME, None, "unknown_operation"),
    ("unknown task", TWO, semconv.TASK_TYPE, "guess", "unknown_task"),
    ("no count", TWO, semconv.RECORD_COUNT, None, "bad_count"),
    ("a negative count", TWO, semconv.RECORD_COUNT, -1, "bad_count"),
    ("a count of text", TWO, semconv.RECORD_COUNT, "2", "bad_type"),
    ("a huge count", TWO, semconv.RECORD_COUNT, 2**62, "length_mismatch"),
    ("no trace ids", TWO, semconv.RECORD_TRACE_IDS, None, "missing_column"),
    ("trace ids cut", TWO, semconv.RECORD_TRACE_IDS, b"1" * 31, "length_mismatch"),
    ("a trace id of zeros", TWO, semconv.RECORD_TRACE_IDS, b"1" * 16 + bytes(16), "bad_context"),
    ("trace ids of text", TWO, semconv.RECORD_TRACE_IDS, "1" * 32, "bad_type"),
    ("no span ids", TWO, semconv.RECORD_SPAN_IDS, None, "missing_column"),
    ("a span id of zeros", TWO, semconv.RECORD_SPAN_IDS, bytes(8) + b"1" * 8, "bad_context"),
    ("bits cut", TWO, semconv.RECORD_SAMPLED, b"", "length_mismatch"),
    ("bits of bytes", TWO, semconv.RECORD_SAMPLED, b"\1\1", "length_mismatch"),
    ("sampled by a word", TWO, semconv.RECORD_SAMPLED, "true", "bad_type"),
    ("no offsets", TWO, semconv.RECORD_START_OFFSETS, None, "missing_column"),
    ("offsets of 2 bytes", TWO, semconv.RECORD_START_OFFSETS, bytes(4), "length_mismatch"),
    ("a start too late", TWO, semconv.RECORD_START_OFFSETS, pack("Q", [0, 2**63]), "bad_time"),
    ("no durations", TWO, semconv.RECORD_DURATIONS, None, "missing_column"),
    ("an end too late", TWO, semconv.RECORD_DURATIONS, TOO_LONG, "bad_time"),
    ("row counts cut", SETS, semconv.RECORD_ROW_COUNTS, b"\x02\0\0", "length_mismatch"),
    ("a call of no row", TWO, semconv.RECORD_ROW_COUNTS, pack("I", [0, 2]), "bad_count"),
    ("huge row counts", [Call("x")], semconv.RECORD_ROW_COUNTS, b"\xff" * 4, "too_many_rows"),
    ("too few ids", TWO, semconv.RECORD_IDS, ["x"], "length_mismatch"),
    ("ids of 15 bytes", TWO, semconv.RECORD_IDS, bytes(30), "length_mismatch"),
    ("ids of one text", TWO, semconv.RECORD_IDS, "xy", "bad_type"),
    ("an empty id of a row", NO_IDS, semconv.MODEL_VERSION, "1", "missing_id"),
    ("classes without codes", TWO, semconv.RECORD_CLASS_CODES, None, "missing_column"),
    ("codes without classes", TWO, semconv.RECORD_CLASSES, None, "bad_code"),
    ("codes cut", TWO, semconv.RECORD_CLASS_CODES, b"\x01", "length_mismatch"),
    ("a code past the end", TWO, semconv.RECORD_CLASS_CODES, b"\x01\x03", "bad_code"),
    ("classes of bytes", TWO, semconv.RECORD_CLASSES, b"ab", "bad_type"),
    ("sets cut", SETS, semconv.RECORD_CLASS_OFFSETS, pack("I", [0, 3]), "length_mismatch"),
    ("sets that fall", SETS, semconv.RECORD_CLASS_OFFSETS, pack("I", [0, 3, 2]), "bad_offsets"),
    ("sets from 1", SETS, semconv.RECORD_CLASS_OFFSETS, pack("I", [1, 2, 3]), "bad_offsets"),
    ("sets too long", SETS, semconv.RECORD_CLASS_OFFSETS, pack("I", [0, 1, 9]), "length_mismatch"),
    ("scores cut", TWO, semconv.RECORD_SCORES, bytes(12), "length_mismatch"),
    ("scores of numbers", TWO, semconv.RECORD_SCORES, [0.5, 0.5], "bad_type"),
    ("values cut", TWO, semconv.RECORD_VALUES, bytes(1), "length_mismatch"),
    ("slice codes missing", TWO, semconv.RECORD_SLICE_CODES_PREFIX + "k", None, "missing_column"),
    ("a slice past the end", TWO, semconv.RECORD_SLICE_CODES_PREFIX + "k", b"\0\2", "bad_code"),
    ("error codes missing", TWO, semconv.RECORD_ERROR_TYPES, ["E"], "missing_column"),
    ("errors missing", TWO, semconv.RECORD_ERROR_TYPE_CODES, b"\0\1", "bad_code"),
    ("lists without codes", LISTED, LIST_CODES, None, "missing_column"),
    ("codes without lists", LISTED, LISTS, None, "bad_code"),
    ("lists of bytes", LISTED, LISTS, b"[]", "bad_type"),
    ("a list that is no JSON", LISTED, LISTS, ['["a"', "[]"], "bad_list"),
    ("a list that is an object", LISTED, LISTS, ["{}", "[]"], "bad_list"),
    ("a list of a million lists", LISTED, LISTS, [f"[{'[],' * 1_000_000}[]]", "[]"], "bad_list"),
    ("a deep list", LISTED, LISTS, ["[" * 100_000, "[]"], "bad_list"),
    ("a list too short", LISTED, LISTS, ['["a", 2, "c"]', '["b", "c", "a"]'], "length_mismatch"),
    ("a list past the end", LISTED, LIST_CODES, b"\1\3\0", "bad_code"),
    ("probabilities cut", LISTED, NUMBERS, bytes(39), "length_mismatch"),
    ("no probabilities", LISTED, NUMBERS, None, "missing_column"),
    ("probabilities of numbers", LISTED, NUMBERS, [0.5] * 5, "bad_type"),
    ("probabilities alone", TWO, NUMBERS, bytes(16), "missing_column"),
]  # fmt: skip


# Where the rule that is broken is another attribute's.
BLAMED = {
    (semconv.MODEL_VERSION, "missing_id"): semconv.RECORD_IDS,
    (semconv.RECORD_ROW_COUNTS, "too_many_rows"): f"{2**32 - 1} rows",
    (semconv.RECORD_COUNT, "length_mismatch"): semconv.RECORD_TRACE_IDS,
    (semconv.RECORD_CLASS_OFFSETS, "length_mismatch"): "inferspan.record.class_",
    (LISTS, "length_mismatch"): NUMBERS,
}


@pytest.mark.parametrize(
    ("calls", "name", "value", "reason"),
    [case[1:] for case in REFUSED],
    ids=[case[0] for case in REFUSED],
)
def test_what_breaks_a_rule_is_refused_alone(
    calls: Sequence[Call], name: str, value: Any, reason: str
) -> None:
    bad = slim_record(calls, {name: value})
    decoded = decode(slim_record([Call("before")]), bad, slim_record([Call("after")]))
    (refusal,) = decoded.refused
    assert (refusal.signal, refusal.reason) == ("slim_records", reason)
    assert BLAMED.get((name, reason), name) in refusal.message
    assert len(refusal.message) < 400
    assert decoded.predictions.prediction_id.objects().tolist() == ["before", "after"]
    assert decoded.slim_records == 2


FAILED = [Call("x", error_type="OSError"), Call("y", [Row("b")], span=2, error_type="KeyError")]
BATCH = [Call("x", [Row("a"), Row("b")]), Call("y", [Row("a")], span=2)]
IDS_OF_ROWS = [Call(None, [Row("a", prediction_id="x"), Row("b", prediction_id="y")])]
IDS_OF_ROWS += [Call(None, [Row("a", prediction_id="z")], span=2)]
SLICE = semconv.RECORD_SLICE_PREFIX + "k"
THREE = '["b", "c", "a"]'
UNFIT: list[tuple[str, Sequence[Call], str, Any, str, str]] = [
    ("error too long", FAILED, semconv.RECORD_ERROR_TYPES, ["a" * 1025, "K"], "text_too_long", "y"),
    ("error of two lines", FAILED, semconv.RECORD_ERROR_TYPES, ["K", "a\nb"], "bad_text", "x"),
    ("error of a number", FAILED, semconv.RECORD_ERROR_TYPES, ["K", 0.5], "bad_type", "x"),
    ("a class too long", TWO, semconv.RECORD_CLASSES, ["a" * 1025, "b"], "text_too_long", "y"),
    ("a class of bytes", TWO, semconv.RECORD_CLASSES, ["a", b"b"], "bad_type", "x"),
    ("a class of a batch", BATCH, semconv.RECORD_CLASSES, ["a", b"b"], "bad_type", "y"),
    ("a class of a set", [*SETS, Call("y", [Row(("a",))], span=2)], semconv.RECORD_CLASSES,
     ["a", b"b"], "bad_type", "y"),
    ("a slice too long", TWO, SLICE, ["v" * 1025], "text_too_long", "y"),
    ("an id that is a number", TWO, semconv.RECORD_IDS, ["x", 1.5], "bad_type", "x"),
    ("an id of a row", IDS_OF_ROWS, semconv.RECORD_IDS, ["x", 1.5, "z"], "bad_type", "z"),
    ("a list of numbers", LISTED, LISTS, ["[1, 2]", THREE], "bad_names", "y"),
    ("a class twice", LISTED, LISTS, ['["a", "a"]', THREE], "bad_classes", "y"),
    ("an empty class", LISTED, LISTS, ['["a", ""]', THREE], "bad_classes", "y"),
    ("a listed class too long", LISTED, LISTS, ['["a", "%s"]' % ("a" * 1025), THREE],
     "text_too_long", "y"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("calls", "name", "value", "reason", "left"),
    [case[1:] for case in UNFIT],
    ids=[case[0] for case in UNFIT],
)
def test_a_text_that_cannot_be_kept_costs_its_own_call(
    calls: Sequence[Call], name: str, value: Any, reason: str, left: str
) -> None:
    decoded = decode(slim_record(calls, {name: value}))
    assert [(r.signal, r.reason) for r in decoded.refused] == [("calls", reason)]
    assert name in decoded.refused[0].message
    assert set(decoded.predictions.prediction_id.objects()) == set(left)
    assert decoded.slim_records == 1
    check_as_the_oracle(slim_record(calls, {name: value}))


def test_where_no_call_is_left_the_record_is_refused() -> None:
    bad = slim_record(TWO, {semconv.RECORD_CLASSES: [b"a", b"b"]})
    decoded = decode(bad, slim_record([Call("after")]))
    assert [(r.signal, r.reason) for r in decoded.refused] == [("slim_records", "bad_type")]
    assert decoded.predictions.prediction_id.objects().tolist() == ["after"]


def test_a_call_that_is_left_out_is_no_skewed_clock() -> None:
    late = Call("late", [Row("late")], span=2, start_ns=NOW_NS + 3_600 * 10**9)
    decoded = decode(slim_record([Call("x", [Row("a")]), late]))
    assert decoded.clock_skewed == 1
    bad = {semconv.RECORD_CLASSES: ["a", b"late"]}
    decoded = decode(slim_record([Call("x", [Row("a")]), late], bad))
    assert (len(decoded.predictions), decoded.clock_skewed) == (1, 0)


def test_a_batch_may_take_a_byte_a_row_but_not_less() -> None:
    rows = 4 * ROWS_FREE + 3_000
    said = {
        semconv.RECORD_ROW_COUNTS: pack("I", [rows]),
        semconv.RECORD_CLASSES: ["a"],
        semconv.RECORD_CLASS_CODES: b"\1" * rows,
    }
    assert len(decode(slim_record([Call("x")], said)).predictions) == rows
    silent = {semconv.RECORD_ROW_COUNTS: said[semconv.RECORD_ROW_COUNTS]}
    decoded = decode(slim_record([Call("x")], silent), slim_record([Call("after")]))
    assert [r.reason for r in decoded.refused] == ["too_many_rows"]
    assert decoded.predictions.prediction_id.objects().tolist() == ["after"]


def test_however_many_bytes_rows_are_limited() -> None:
    rows = ROWS_MAX + 1
    codes = {
        semconv.RECORD_ROW_COUNTS: pack("I", [rows]),
        semconv.RECORD_CLASSES: ["a"],
        semconv.RECORD_CLASS_CODES: b"\1" * rows,
    }
    decoded = decode(slim_record([Call("x")], codes))
    assert [r.reason for r in decoded.refused] == ["too_many_rows"]


def test_rows_of_spans_and_records_are_limited_together() -> None:
    most = slim_record([Call("x")], {semconv.RECORD_ROW_COUNTS: pack("I", [4 * ROWS_FREE])})
    request = traces_request([most], scope=semconv.SCOPE_RECORDS)
    request.MergeFrom(traces_request([prediction_span("a", {semconv.PREDICTION_COUNT: 5_000})]))
    decoded = decode_traces(request.SerializeToString(), json=False, received_ns=NOW_NS)
    assert len(decoded.predictions) == 4 * ROWS_FREE
    assert [(r.signal, r.reason) for r in decoded.refused] == [("predictions", "too_many_rows")]


def test_few_bytes_of_codes_do_not_become_texts_without_limit() -> None:
    """250 codes of one byte each, in every row others, for texts of 1,000 characters each."""
    entries, rows = 250, 2_000
    order = random.Random(7)
    sets = [bytes(order.sample(range(1, 256), entries)) for _ in range(rows)]
    columns = {
        semconv.RECORD_ROW_COUNTS: pack("I", [rows]),
        semconv.RECORD_CLASSES: [f"{number:1000}" for number in range(255)],
        semconv.RECORD_CLASS_CODES: b"".join(sets),
        semconv.RECORD_CLASS_OFFSETS: pack("I", range(0, rows * entries + 1, entries)),
    }
    decoded = decode(slim_record([Call("x")], columns), slim_record([Call("after")]))
    assert [r.reason for r in decoded.refused] == ["too_many_rows"]
    assert decoded.predictions.prediction_id.objects().tolist() == ["after"]


def test_the_entries_of_a_set_are_limited_too() -> None:
    entries = 14_000_000
    columns = {
        semconv.RECORD_CLASSES: ["a"],
        semconv.RECORD_CLASS_CODES: b"\1" * entries,
        semconv.RECORD_CLASS_OFFSETS: pack("I", [0, entries]),
    }
    decoded = decode(slim_record([Call("x")], columns))
    assert [r.reason for r in decoded.refused] == ["too_many_rows"]


def test_a_call_may_last_as_long_as_times_go() -> None:
    longest = TIME_MAX_NS - STARTED_NS
    batch = decode(slim_record([Call("x", duration_ns=longest)])).predictions
    assert batch.duration.tolist() == [longest]


def test_rows_are_announced_before_they_are_made() -> None:
    record = slim_record([Call("x", [Row(), Row(), Row()])])
    request = traces_request([record] * 2, scope=semconv.SCOPE_RECORDS)
    told: list[int] = []

    def reserve(rows: int) -> None:
        told.append(rows)
        if len(told) == 2:
            raise Overloaded("enough")

    with pytest.raises(Overloaded):
        decode_traces(request.SerializeToString(), json=False, received_ns=NOW_NS, reserve=reserve)
    assert told == [3, 3]


# --- any record, whole or broken ------------------------------------------------------------------

texts = st.sampled_from(["a", "b", "ä", "e\u0301", "other"])
numbers = st.sampled_from([math.nan, 0.5, 0.1, -1e300, math.inf])
slices = st.dictionaries(st.sampled_from(["country", "tier"]), texts, max_size=2)
sets = st.lists(texts, max_size=3).map(tuple)
ids_of_calls = st.sampled_from(
    [st.none(), st.sampled_from(MINTED), st.sampled_from(["order-1", "", MINTED[0]])]
)


def rows_with(answers: st.SearchStrategy[Any]) -> st.SearchStrategy[Row]:
    return st.builds(
        Row,
        predicted=st.none() | answers,
        score=numbers,
        value=numbers,
        slices=slices,
        prediction_id=st.sampled_from([*MINTED, "order-1", "ä"]),
        probabilities=st.none() | st.dictionaries(texts, numbers, max_size=3),
    )


def calls_with(
    answers: st.SearchStrategy[Any], ids: st.SearchStrategy[str | None]
) -> st.SearchStrategy[list[Call]]:
    call = st.builds(
        Call,
        prediction_id=ids,
        rows=st.lists(rows_with(answers), min_size=1, max_size=3),
        trace=st.integers(1, 2**128 - 1),
        span=st.integers(1, 2**64 - 1),
        start_ns=st.integers(0, 2**33).map(lambda ns: STARTED_NS + ns),
        duration_ns=st.integers(0, 2**33),
        error_type=st.sampled_from([None, None, "OSError", "TimeoutError"]),
    )
    return st.lists(call, max_size=4)


records = st.tuples(st.sampled_from([texts, sets]), ids_of_calls).flatmap(
    lambda kind: calls_with(*kind)
)


def check_as_the_oracle(record: Span) -> None:
    """The same rows, or both refuse; what stands before and after is taken in any case."""
    all_three = [slim_record([Call("before")]), record, slim_record([Call("after")])]
    request = traces_request(all_three, scope=semconv.SCOPE_RECORDS)
    decoded = decode(*all_three)
    found = rows_of(decoded.predictions)
    assert [found[0]["prediction_id"], found[-1]["prediction_id"]] == ["before", "after"]
    refused = [r for r in decoded.refused if r.signal == "slim_records"]
    left_out = sum(r.signal == "calls" for r in decoded.refused)
    try:
        expected = read_rows(record, NOW_NS, len(request.SerializeToString()))
    except REFUSALS:
        assert len(refused) == 1
        assert len(found) == 2
    else:
        assert refused == []
        assert (found[1:-1], left_out) == expected


@settings(max_examples=80, deadline=None)
@given(records)
def test_a_record_is_the_rows_that_the_oracle_reads(calls: list[Call]) -> None:
    record = slim_record(calls, {semconv.TASK_TYPE: semconv.MULTICLASS})
    assert len(read_rows(record, NOW_NS, 1_000)[0]) == sum(len(call.rows) for call in calls)
    check_as_the_oracle(record)


@settings(max_examples=300, deadline=None)
@given(records, st.randoms(use_true_random=False), st.integers(1, 3))
def test_a_broken_record_is_read_as_the_oracle_reads_it_or_refused(
    calls: list[Call], chance: random.Random, mutations: int
) -> None:
    record = slim_record(calls, {semconv.TASK_TYPE: semconv.MULTICLASS})
    for _ in range(mutations):
        mutate(record, chance)
    check_as_the_oracle(record)


WRONG = [
    b"",
    "x",
    ["a" * 1025, "b"],
    ["a\nb", "a", "b"],
    True,
    2**62,
    -1,
    0.5,
    [1, "a", 0.5, True],
    [None],
    ["", "x"],
    b"\1" * 16,
]


def mutate(record: Span, chance: random.Random) -> None:
    """Break one attribute, or the record's start."""
    if not record.attributes or chance.random() < 0.03:
        record.start_time_unix_nano = chance.choice([0, 1, TIME_MAX_NS, 2**64 - 1])
        return
    number = chance.randrange(len(record.attributes))
    value = record.attributes[number].value
    kind = value.WhichOneof("value")
    choice = chance.randrange(4)
    if choice == 0:
        del record.attributes[number]
    elif choice == 1:
        value.CopyFrom(any_value(chance.choice(WRONG)))
    elif kind == "bytes_value":
        raw = bytearray(value.bytes_value)
        if choice == 2 and raw:
            raw[chance.randrange(len(raw))] = chance.choice([0, 1, 2, 0x7F, 0xFF])
        else:
            raw = chance.choice([raw[:-1], raw[:-4], raw + b"\0", raw + raw, raw[4:], raw[::2]])
        value.bytes_value = bytes(raw)
    elif kind == "array_value" and value.array_value.values:
        entries = value.array_value.values
        del entries[chance.randrange(len(entries))]
    else:
        value.CopyFrom(any_value(chance.choice([0, 1, 2, 3, 2**31])))

"""Ids are unique whatever the user does to `random`, and sort by time."""

from __future__ import annotations

import os
import random
import uuid

from hypothesis import given
from hypothesis import strategies as st

from inferspan import semconv
from inferspan.identity import RandomIds, new_record_id, uuid7


@given(st.integers(0, 2**48 - 1), st.integers(0, 2**74 - 1))
def test_uuid7_is_what_the_rfc_says(milliseconds: int, bits: int) -> None:
    written = uuid7(milliseconds * 1_000_000 + 999_999, bits)
    parsed = uuid.UUID(hex=written)
    assert len(written) == 32
    assert parsed.version == 7
    assert parsed.variant == uuid.RFC_4122
    assert parsed.int >> 80 == milliseconds
    assert (parsed.int >> 64 & 0xFFF) << 62 | parsed.int & (1 << 62) - 1 == bits


@given(st.lists(st.tuples(st.integers(0, 2**60), st.integers(0, 2**74 - 1)), min_size=2))
def test_ids_sort_by_time(pairs: list[tuple[int, int]]) -> None:
    by_id = sorted(pairs, key=lambda pair: uuid7(*pair))
    times = [time_ns // 1_000_000 for time_ns, _ in by_id]
    assert times == sorted(times)


def test_seeding_the_global_random_repeats_no_id() -> None:
    ids = RandomIds()
    drawn: list[object] = []
    for _ in range(100):
        random.seed(42)
        drawn += [new_record_id(), ids.generate_trace_id(), ids.generate_span_id()]
    assert len(set(drawn)) == 300
    assert ids.is_trace_id_random()
    random.seed(42)
    expected = random.random()
    random.seed(42)
    new_record_id()
    assert random.random() == expected


def test_a_forked_child_draws_other_ids() -> None:
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, str(RandomIds().generate_trace_id()).encode())
        os._exit(0)
    os.waitpid(child, 0)
    theirs = int(os.read(reader, 100))
    os.close(reader)
    os.close(writer)
    assert theirs != RandomIds().generate_trace_id()


def test_prediction_ids_are_one_text_for_both_sides() -> None:
    assert semconv.prediction_id_text("a") == "a"
    assert semconv.prediction_id_text("a", b"key") == (
        "780c3db4ce3de5b9e55816fba98f590631d96c075271b26976238d5f4444219b"
    )
    long = semconv.prediction_id_text("x" * 129)
    assert long is not None
    assert semconv.prediction_id_text(long, b"key") == semconv.prediction_id_text("x" * 129, b"key")


def test_an_integer_too_long_to_be_written_is_no_id() -> None:
    most = 2**semconv.INTEGER_BITS_MAX - 1
    assert semconv.class_text(most) == str(most)
    for value in (most + 1, -most - 1, 10**5_000):
        assert semconv.class_text(value) is None
        assert semconv.prediction_id_text(value) is None


def test_a_labels_id_depends_on_its_content_alone() -> None:
    one = semconv.label_record_id({"a": 1, "b": [1.5]})
    assert one == semconv.label_record_id({"b": [1.5], "a": 1})
    assert one != semconv.label_record_id({"a": 1, "b": [1.25]})
    sets = (["b", "a"], ["a", "b"], ["a", "b", "a"])
    assert len({semconv.label_record_id({semconv.LABEL_CLASSES: said}) for said in sets}) == 1
    assert semconv.label_record_id({semconv.LABEL_VALUES: [1, 2]}) != semconv.label_record_id(
        {semconv.LABEL_VALUES: [2, 1]}
    )
    assert len(one) == 32

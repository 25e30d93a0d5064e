"""What people see of values is valid JSON within its limit, of whatever it is made."""

from __future__ import annotations

import json
import math
import tracemalloc
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import PurePosixPath
from typing import Any
from uuid import UUID

import jax.numpy as jnp
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import hostile_values as hostile
from inferspan.json_values import json_object
from inferspan.plain_json import plain_object, plain_vector


def shown(value: object, bytes_max: int = 2048) -> Any:
    """What is shown of one value."""
    written, left_out = json_object([("v", value)], bytes_max)
    assert left_out == 0
    assert len(written.encode()) <= bytes_max
    return parsed(written)["v"]


def parsed(written: str) -> dict[str, Any]:
    pairs = json.loads(written, object_pairs_hook=lambda pairs: pairs, parse_constant=_refuse)
    return {name: _objects(value) for name, value in pairs}


def _objects(value: object) -> object:
    if isinstance(value, list) and value and all(isinstance(item, tuple) for item in value):
        return {name: _objects(member) for name, member in value}
    return [_objects(item) for item in value] if isinstance(value, list) else value


def _refuse(name: str) -> object:
    raise AssertionError(f"bare {name} is no JSON")


@given(
    st.lists(st.tuples(st.text(max_size=10), hostile.anything), max_size=8), st.integers(2, 4096)
)
def test_json_is_a_valid_object_within_its_limit(
    members: list[tuple[str, object]], bytes_max: int
) -> None:
    written, left_out = json_object(members, bytes_max)
    assert len(written.encode()) <= bytes_max
    pairs = json.loads(written, object_pairs_hook=lambda pairs: pairs, parse_constant=_refuse)
    assert len(pairs) == len(members) - left_out
    assert json_object(members, bytes_max) == (written, left_out)


def test_json_says_what_it_left_out() -> None:
    members = [("a", "x" * 100), ("b", 1), ("c", [0] * 100), ("d", 2)]
    assert json_object(members, 110) == (
        '{"a":"xxxxxxxxxxxxxxxxxxxxxxxxx…","b":1,"c":[0,"… 99 more"],"d":2}',
        0,
    )
    assert json_object(members, 24) == ('{"a":"xxxxxxxxxx…"}', 3)
    assert json_object([(f"n{i}", 0.5) for i in range(10_000)], 64)[1] == 9_994
    nested: dict[str, Any] = {}
    innermost = nested
    for _ in range(10):
        innermost["d"] = innermost = {}
    assert json_object([("n", nested)], 4096)[0] == '{"n":{"d":{"d":{"d":{"d":"<dict>"}}}}}'


def test_a_sequence_or_mapping_says_how_much_is_not_shown() -> None:
    assert shown(list(range(100)))[63:] == [63, "… 36 more"]
    assert shown([0.5] * 65)[63:] == [0.5, "… 1 more"]
    long = [0.1234567890123456] * 64
    assert shown(long, 200)[-1].endswith("more")
    assert shown({i: i for i in range(70)})["…"] == "6 more"
    first, second, third = shown([["x" * 600] * 3] * 3, 300)
    assert first[0].endswith("x…")
    assert (first[1], second, third) == ("… 2 more", "…", ["…", "… 2 more"])


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (math.nan, None),
        ([1.0, math.nan, math.inf, -math.inf], [1.0, None, "Infinity", "-Infinity"]),
        (2**63, "9223372036854775808"),
        ([2**63, 1], ["9223372036854775808", 1]),
        (-(2**63), -(2**63)),
        (10**400, "1" + "0" * 400),
        (1 << 100_000, "int of 100001 bits"),
        ("\ud800x", "?x"),
        (True, True),
        (b"abc", "<bytes 3>"),
        (1 + 2j, "(1+2j)"),
        (np.float32(0.5), 0.5),
        (np.datetime64("2026-01-01"), "2026-01-01"),
        (np.array([[1, 2]]), [[1, 2]]),
        (np.array(["2026-01-01"], "M8[ns]"), ["2026-01-01T00:00:00.000000000"]),
        (np.array([{"a": 1}, None], object), [{"a": 1}, None]),
        (np.zeros(65), "<numpy.ndarray 65>"),
        (np.array(["x" * 100_000] * 60), "<numpy.ndarray 60>"),
        (pd.DataFrame({"a": [1, 2], "b": ["x", None]}), {"a": [1, 2], "b": ["x", None]}),
        (pd.DataFrame(np.zeros((50, 2))), "<pandas.DataFrame 50x2>"),
        (pd.Series([1.5, None]), [1.5, None]),
        (pd.Series(range(100)), "<pandas.Series 100>"),
        (pd.NA, None),
        (pd.NaT, None),
        (pl.DataFrame({"a": [1, 2]}), {"a": [1, 2]}),
        (pl.Series(["x"]), ["x"]),
        (pa.table({"a": [1, None]}), {"a": [1, None]}),
        (pa.array(["x"]), ["x"]),
        (pa.array(range(100)), "<pyarrow.lib.Int64Array 100>"),
        (jnp.array([0.5, 0.25]), [0.5, 0.25]),
        (jnp.array(2), 2),
        (scipy.sparse.csr_matrix((3, 4)), "<scipy.sparse._csr.csr_matrix 3x4>"),
        (Image.new("RGB", (4, 3)), "<PIL.Image.Image RGB 4x3>"),
        (hostile.Point(1, "y"), {"x": 1, "y": "y"}),
        (hostile.Order(2.0), {"amount": 2.0, "note": "n"}),
        (hostile.Model(amount=1), {"amount": 1.0, "secret": "<pydantic.types.SecretStr>"}),
        (hostile.Kind.FRAUD, "fraud"),
        ({"b", "a"}, ["a", "b"]),
        (datetime(2026, 1, 1, tzinfo=UTC), "2026-01-01T00:00:00+00:00"),
        (date(2026, 1, 1), "2026-01-01"),
        (time(1, 2), "01:02:00"),
        (timedelta(1), "1 day, 0:00:00"),
        (Decimal("1.50"), "1.50"),
        (Decimal("1" * 5000), "<decimal.Decimal>"),
        (UUID(int=7), "00000000-0000-0000-0000-000000000007"),
        (PurePosixPath("/a/b"), "/a/b"),
        ({1: 2, None: 3, 2.5: 4, ("a", 1): 5}, {"1": 2, "null": 3, "2.5": 4, "a.1": 5}),
        (hostile.HostileList([1]), [1]),
        (hostile.HostileDict({"a": 1}), {"a": 1}),
        (hostile.HostileText("t"), "t"),
        (hostile.HostileFloat(0.5), 0.5),
        (object, "<type>"),
    ],
    ids=lambda case: type(case).__name__,
)
def test_values_are_shown_readably(value: object, expected: object) -> None:
    assert shown(value) == expected


def test_what_answers_nothing_is_shown_by_its_type() -> None:
    assert shown(hostile.Raising()) == "<hostile_values.Raising>"
    assert shown(hostile.Nameless()) == "<object>"
    assert shown([hostile.Raising(), 1]) == ["<hostile_values.Raising>", 1]


@pytest.mark.parametrize(
    "value",
    [
        [[0.5] * 1000] * 1_000_000,
        {i: {"x": [i] * 1000} for i in range(100_000)},
        [[["x" * 1000] * 1000] * 1000] * 1000,
        "x" * 50_000_000,
        [{"a": "y" * 1_000_000}] * 1_000_000,
        pa.array(["x" * 40_000] * 64),
    ],
    ids=["lists", "dicts", "nested", "text", "rows", "arrow"],
)
def test_the_work_is_bounded_by_what_is_shown(value: object) -> None:
    # In bytes, which are counted exactly, where seconds would be luck.
    tracemalloc.start()
    try:
        shown(value)
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


def test_a_judge_sees_every_named_value_in_its_native_form() -> None:
    seen: list[tuple[tuple[str, ...], object]] = []

    def judge(names: tuple[str, ...], value: object) -> object:
        seen.append((names, value))
        return "judged"

    array = np.zeros(3)
    frame = pd.DataFrame({("a", "card"): [1]})
    values = [
        {"deep": array},
        hostile.Order(1.0),
        hostile.Point(1, 2),
        frame,
        np.array([{"object": 1}], object),
        pd.Series([{"row": 1}]),
        frozenset([hostile.Point(3, 4)]),
    ]
    written, _ = json_object(list(zip("abcdefg", values, strict=True)), 2048, judge)
    names = [called[0] for called, _ in seen]
    assert names == ["deep", "amount", "note", "x", "y", "a.card", "object", "row", "x", "y"]
    assert seen[0][1] is array
    assert written.count('"judged"') == len(seen)


def test_room_that_one_member_leaves_is_for_those_after_it() -> None:
    written, left_out = json_object([("a", 1), ("b", ["x" * 30] * 30), ("c", 2)], 600)
    assert left_out == 0
    assert len(written) > 250
    assert parsed(written)["c"] == 2


@given(
    st.dictionaries(
        st.text(max_size=5),
        st.floats() | st.text(max_size=600) | st.integers() | st.lists(st.floats(), max_size=80),
        max_size=6,
    )
)
def test_what_is_written_the_short_way_says_all(members: dict[str, Any]) -> None:
    whole = plain_object(members.items(), 2048)
    if whole is not None:
        assert len(whole.encode()) <= 2048
        assert parsed(whole) == members


@given(
    st.text(max_size=5),
    st.lists(st.floats() | st.just(1) | st.just(np.float64(0.1)), max_size=80),
    st.sampled_from([20, 100, 2048]),
)
def test_a_vector_alone_is_written_as_among_others(
    name: str, vector: list[Any], bytes_max: int
) -> None:
    assert plain_vector(name, vector, bytes_max) == plain_object([(name, vector)], bytes_max)


def test_most_calls_are_written_the_short_way() -> None:
    members = {"x": [0.5, -1e300], "id": 'a"b', "n": 7, "score": 0.25}
    assert plain_object(members.items(), 2048) is not None
    for unusual in (math.nan, [1.0, math.inf], [], None, 2**63, "ä", ["a"], "x" * 513):
        assert plain_object([("v", unusual)], 2048) is None

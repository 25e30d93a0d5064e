"""Whatever stands in a query string is understood or refused; nothing else happens."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from inferspan_collector.publish.parameters import (
    BadParameter,
    group_keys,
    minute,
    rfc3339,
    whole_number,
)
from inferspan_collector.publish.parameters import given as given_parameters

OFFSETS = st.integers(-14 * 60, 14 * 60).map(lambda m: timezone(timedelta(minutes=m)))
TIMES = st.datetimes(datetime(1970, 1, 2), datetime(2262, 1, 1), timezones=OFFSETS)  # noqa: DTZ001


@given(time=TIMES)
def test_a_time_is_floored_to_its_minute(time: datetime) -> None:
    expected = int(time.astimezone(UTC).timestamp() // 60)
    assert minute({"from": time.isoformat()}, "from") == expected
    assert minute({"from": f"{int(time.timestamp())}"}, "from") == expected


@given(ns=st.integers(-(2**63), 2**63 - 1))
def test_times_are_written_so_that_others_read_them(ns: int) -> None:
    text = rfc3339(ns)
    assert text.endswith("Z")
    whole = datetime.fromisoformat(text.split(".")[0].removesuffix("Z") + "Z")
    fraction = int(text.split(".")[1].removesuffix("Z")) if "." in text else 0
    since = whole - datetime(1970, 1, 1, tzinfo=UTC)
    assert (since.days * 86400 + since.seconds) * 10**9 + fraction == ns


ODD = st.one_of(
    st.text(max_size=30),
    st.from_regex(r"[0-9+:.TZeE_-]{1,25}", fullmatch=True),
    st.integers(-(10**20), 10**20).map(str),
    st.floats().map(str),
    st.datetimes().map(datetime.isoformat),
    st.sampled_from(["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "٣٣", "1_0", "²"]),
)


@given(text=ODD)
def test_any_text_is_a_time_in_reach_or_refused(text: str) -> None:
    found: int | None = 0
    with contextlib.suppress(BadParameter):
        found = minute({"to": text}, "to")
    assert found is not None
    assert 0 <= found * 60 * 10**9 < 2**63


@given(text=ODD)
def test_any_text_is_a_number_in_range_or_refused(text: str) -> None:
    found = 20
    with contextlib.suppress(BadParameter):
        found = whole_number({"limit": text}, "limit", 20, 1000)
    assert 1 <= found <= 1000


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("", ()),
        ("version", ("version",)),
        ("version, slice.country", ("version", "slice.country")),
        ("slice.a b,version,version", ("slice.a b", "version")),
    ],
)
def test_keys_of_by(text: str, keys: tuple[str, ...]) -> None:
    assert group_keys({"by": text}) == keys


def test_keys_of_by_have_a_limit() -> None:
    with pytest.raises(BadParameter, match="at most 8 keys"):
        group_keys({"by": ",".join(f"slice.k{i}" for i in range(9))})


def test_parameters_are_decoded_once() -> None:
    request = Request({"type": "http", "query_string": b"version=1%2B2&target=a%2520b"})
    assert given_parameters(request, ("version", "target")) == {"version": "1+2", "target": "a%20b"}

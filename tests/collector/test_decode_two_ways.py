"""Whatever the bytes: the compiled way gives the batch that the protobuf library's way gives."""

from __future__ import annotations

from damage import damaged
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from otlp_requests import log_requests, trace_requests
from two_ways import WAYS, assert_same

from inferspan_collector.decode import decode_logs, decode_traces
from inferspan_collector.testing import NOW_NS

SLOW = settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow])


@SLOW
@given(trace_requests())
def test_traces(request) -> None:
    assert_same(decode_traces, request.SerializeToString(), NOW_NS)


@SLOW
@given(log_requests())
def test_logs(request) -> None:
    assert_same(decode_logs, request.SerializeToString(), NOW_NS)


@SLOW
@given(st.one_of(trace_requests(), log_requests()), st.integers(0, 2**32), st.integers(1, 4))
def test_damaged_requests(request, seed: int, times: int) -> None:
    body = damaged(request.SerializeToString(), seed, times)
    for decode in WAYS:
        assert_same(decode, body, NOW_NS)

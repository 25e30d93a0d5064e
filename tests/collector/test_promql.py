"""The three questions of the Monitor tab are read; everything else is refused."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferspan_collector.publish.promql import (
    QUERY_LENGTH_MAX,
    SPAN_KINDS,
    MonitorQuery,
    UnknownQuery,
    go_unquote,
    parse,
    render,
)

# As a real Jaeger v1.76.0 sent them.
CALLS = (
    'sum(rate(traces_span_metrics_calls_total{service_name =~ "a.b|c", '
    'span_kind =~ "SPAN_KIND_SERVER|SPAN_KIND_CONSUMER"}[10m])) by (service_name,span_name)'
)
ERRORS = (
    'sum(rate(traces_span_metrics_calls_total{service_name =~ "a", status_code = '
    '"STATUS_CODE_ERROR", span_kind =~ "SPAN_KIND_INTERNAL"}[10m])) by (service_name) / '
    'sum(rate(traces_span_metrics_calls_total{service_name =~ "a", '
    'span_kind =~ "SPAN_KIND_INTERNAL"}[10m])) by (service_name)'
)
LATENCY = (
    "histogram_quantile(0.95, sum(rate(traces_span_metrics_duration_milliseconds_bucket"
    '{service_name =~ "a", span_kind =~ "SPAN_KIND_SERVER"}[1m])) by (service_name,span_name,le))'
)


def test_the_three_questions_are_understood() -> None:
    both = frozenset({"SERVER", "CONSUMER"})
    assert parse(CALLS) == MonitorQuery("calls", ("a.b", "c"), both, 600.0, True)
    internal = frozenset({"INTERNAL"})
    assert parse(ERRORS) == MonitorQuery("errors", ("a",), internal, 600.0, False)
    server = frozenset({"SERVER"})
    assert parse(LATENCY) == MonitorQuery("latency", ("a",), server, 60.0, True, 0.95)


def test_white_space_and_a_trailing_comma_do_not_matter() -> None:
    assert parse(CALLS.replace(" ", "")) == parse(CALLS)
    spread = CALLS.replace("(", " ( ").replace("{", " { ").replace("[", "[ ")
    assert parse(spread) == parse(CALLS)
    no_kind = CALLS.replace('span_kind =~ "SPAN_KIND_SERVER|SPAN_KIND_CONSUMER"', "")
    assert parse(no_kind).kinds == frozenset()


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("", "only the three"),
        ("up", "only the three"),
        (CALLS + " or up", "only the three"),
        (CALLS.replace("sum(", "avg("), "only the three"),
        (CALLS.replace("calls_total", "calls"), "normalize_calls"),
        (LATENCY.replace("milliseconds", "seconds"), "normalize_duration"),
        (LATENCY.replace("0.95", "1.01"), "not from 0 to 1"),
        (LATENCY.replace("0.95", "0.9.5"), "no number"),
        (LATENCY.replace(",le)", ")"), "how Jaeger groups"),
        (CALLS.replace("span_name)", "version)"), "how Jaeger groups"),
        (CALLS.replace("[10m]", "[0m]"), "no duration"),
        (CALLS.replace("[10m]", "[1h5s]"), "no duration"),
        (CALLS.replace("SPAN_KIND_SERVER", "SPAN_KIND_ROBOT"), "no span kind"),
        (CALLS.replace("service_name =~", "service =~"), "matchers are"),
        (CALLS.replace("service_name =~", "service_name ="), "matchers are"),
        (CALLS.replace('"a.b|c", ', '"a.b|c", model =~ "x", '), "matchers are"),
        (CALLS.replace('"a.b|c", ', '"a", service_name =~ "b", '), "cannot read"),
        (CALLS.replace('"a.b|c", ', '"a" '), "cannot read"),
        (ERRORS.replace("STATUS_CODE_ERROR", "STATUS_CODE_OK"), "status_code"),
        (ERRORS.replace('[10m])) by (service_name) /', '[5m])) by (service_name) /'), "differ"),
        (CALLS + " " * QUERY_LENGTH_MAX, "characters"),
    ],
)  # fmt: skip
def test_anything_else_is_refused_with_what_differs(query: str, says: str) -> None:
    with pytest.raises(UnknownQuery, match=says):
        parse(query)


@given(st.lists(st.text(min_size=1).filter(lambda name: "|" not in name), min_size=1, unique=True))
def test_any_service_name_survives_the_quoting(names: list[str]) -> None:
    # For what is printable, and the usual escapes, Go's %q and JSON agree.
    quoted = json.dumps("|".join(names), ensure_ascii=False)
    query = f"sum(rate(traces_span_metrics_calls_total{{service_name =~ {quoted}, }}[10m])) by (service_name)"  # noqa: E501

    assert parse(query).services == tuple(names)


@given(
    measure=st.sampled_from(["calls", "errors", "latency"]),
    services=st.lists(
        st.text(min_size=1).filter(lambda name: "|" not in name), min_size=1, unique=True
    ),
    kinds=st.frozensets(st.sampled_from(SPAN_KINDS)),
    milliseconds=st.integers(1, 10**9),
    by_operation=st.booleans(),
    quantile=st.floats(0, 1).filter(lambda q: "e" not in repr(q)),
)
def test_a_question_is_written_as_it_is_read(
    measure: Literal["calls", "errors", "latency"], services: list[str], kinds: frozenset[str],
    milliseconds: int, by_operation: bool, quantile: float,
) -> None:  # fmt: skip
    quantile = quantile if measure == "latency" else 0.0
    asked = MonitorQuery(
        measure, tuple(services), kinds, milliseconds / 1000, by_operation, quantile
    )

    read = parse(render(asked, services))

    # Names come back as patterns that only they match; Python's and Go's RE2 agree on these.
    assert len(read.services) == len(services)
    for pattern, name in zip(read.services, services, strict=True):
        assert re.fullmatch(pattern, name)
        assert not re.fullmatch(pattern, name + "x")
    assert read.range_seconds == pytest.approx(asked.range_seconds)
    assert replace(read, services=asked.services, range_seconds=asked.range_seconds) == asked


def test_gos_own_escapes_are_undone() -> None:
    assert go_unquote(r'"a\x41\u00e9\U0001F600\"\\\a\n|"') == 'aAé😀"\\\a\n|'
    assert go_unquote(r'"\U7fffffff"') == "�"


@given(st.text(alphabet='suma(){}[]=~"\\,|/ \n10m', max_size=200))
def test_noise_is_refused_and_nothing_worse(text: str) -> None:
    with pytest.raises(UnknownQuery):
        parse(text)

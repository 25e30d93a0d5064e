"""The three PromQL questions that Jaeger's Monitor tab asks, and no other.

Jaeger fills three templates with service names it neither escapes nor quotes properly for a
regular expression. They are read as data: nothing here is ever handed to a regex engine.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

QUERY_LENGTH_MAX: Final = 16 * 1024
"""Characters; some hundred service names."""
NAMESPACE: Final = "traces_span_metrics"
SPAN_KINDS: Final = ("UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER")
UNIT_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}

_STRING = r'"(?:\\.|[^"\\])*"'
_MATCHER = rf"\s*(\w+)\s*(=~|=)\s*({_STRING})\s*(?:,|$)"
_SUM_RATE = (
    r"sum\s*\(\s*rate\s*\(\s*(\w+)\s*"
    rf'\{{((?:[^"{{}}]|{_STRING})*)\}}\s*\[\s*([^\]\s]+)\s*\]\s*\)\s*\)\s*by\s*\(([\w\s,]*)\)'
)
_CALLS = re.compile(rf"\s*{_SUM_RATE}\s*")
_ERRORS = re.compile(rf"\s*{_SUM_RATE}\s*/\s*{_SUM_RATE}\s*")
_LATENCY = re.compile(rf"\s*histogram_quantile\s*\(\s*([0-9.]+)\s*,\s*{_SUM_RATE}\s*\)\s*")
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|[smhd])")
_GO_ESCAPE = re.compile(
    r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([abfnrtv\\\"]))"
)
_GO_LETTERS: Final = {
    "a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v",
}  # fmt: skip


class UnknownQuery(ValueError):
    """Not one of the three questions; the message says what differs."""


@dataclass(frozen=True, slots=True)
class MonitorQuery:
    """One of the three questions.

    `services` are names as Jaeger has them; `kinds` are of `SPAN_KINDS`, empty = all of them;
    `range_seconds` is what a rate looks back; `quantile` is for latency only, in [0, 1].
    """

    measure: Literal["calls", "errors", "latency"]
    services: tuple[str, ...]
    kinds: frozenset[str]
    range_seconds: float
    by_operation: bool
    quantile: float = 0.0


def parse(query: str) -> MonitorQuery:
    """Read a query.

    Raises:
        UnknownQuery: it is none of the three templates.
    """
    if len(query) > QUERY_LENGTH_MAX:
        raise UnknownQuery(f"the query has {len(query)} characters; {QUERY_LENGTH_MAX} are read")
    if match := _CALLS.fullmatch(query):
        return _question("calls", match.groups(), f"{NAMESPACE}_calls_total")
    if match := _ERRORS.fullmatch(query):
        metric = f"{NAMESPACE}_calls_total"
        errors = _question("errors", match.groups()[:4], metric, "STATUS_CODE_ERROR")
        if errors != _question("errors", match.groups()[4:], metric):
            raise UnknownQuery("numerator and denominator of the error rate ask differently")
        return errors
    if match := _LATENCY.fullmatch(query):
        quantile = _number(match[1])
        if quantile > 1.0:
            raise UnknownQuery(f"quantile {match[1]} is not from 0 to 1")
        metric = f"{NAMESPACE}_duration_milliseconds_bucket"
        return _question("latency", match.groups()[1:], metric, quantile=quantile)
    raise UnknownQuery(
        "only the three queries of Jaeger's Monitor tab are answered here (call rate, error rate, "
        f"latency quantile of {NAMESPACE}_*); ask the JSON API or Prometheus for anything else"
    )


def render(query: MonitorQuery, services: Sequence[str]) -> str:
    """Write one of the three questions, as Jaeger would, about these services only.

    Names are escaped, so that a Prometheus compares them literally, too.
    """
    kinds = "|".join(f"SPAN_KIND_{kind}" for kind in sorted(query.kinds))
    matchers = [f"service_name=~{_go_quote('|'.join(map(_literally, services)))}"]
    matchers += [f'span_kind=~"{kinds}"'] if kinds else []
    by = ", ".join(["service_name", *(["span_name"] if query.by_operation else [])])
    window = f"{round(query.range_seconds * 1000)}ms"

    def rate(metric: str, *more: str, labels: str = by) -> str:
        chosen = ", ".join((*matchers, *more))
        return f"sum(rate({NAMESPACE}_{metric}{{{chosen}}}[{window}])) by ({labels})"

    match query.measure:
        case "calls":
            return rate("calls_total")
        case "errors":
            failed = rate("calls_total", 'status_code="STATUS_CODE_ERROR"')
            return f"{failed} / {rate('calls_total')}"
        case "latency":
            buckets = rate("duration_milliseconds_bucket", labels=f"{by}, le")
            return f"histogram_quantile({query.quantile!r}, {buckets})"


def duration_seconds(text: str) -> float:
    """Read a PromQL duration of one unit: `10m`, `30s`.

    Raises:
        UnknownQuery: it is none, zero, or more than a float can hold.
    """
    match = _DURATION.fullmatch(text)
    seconds = float(match[1]) * UNIT_SECONDS[match[2]] if match else 0.0
    if not 0 < seconds < math.inf:
        raise UnknownQuery(f"{text!r:.100} is no duration above zero such as 10m")
    return seconds


def go_unquote(quoted: str) -> str:
    """Undo Go's `%q`: a double-quoted string with Go's escapes."""
    return _GO_ESCAPE.sub(_unescape, quoted[1:-1])


def _literally(name: str) -> str:
    """A name as a regular expression of RE2 that only it matches."""
    return re.sub(r"([\\.+*?()|\[\]{}^$])", r"\\\1", name)


def _go_quote(text: str) -> str:
    """A string as PromQL reads it. No control character passes: JSON's escapes are Go's, too."""
    return json.dumps(text, ensure_ascii=False)


def _unescape(match: re.Match[str]) -> str:
    code = match[1] or match[2] or match[3]
    if code is None:
        return _GO_LETTERS.get(match[4], match[4])
    return chr(int(code, 16)) if int(code, 16) <= 0x10FFFF else "�"


def _question(
    measure: Literal["calls", "errors", "latency"],
    selection: tuple[str, ...],
    metric: str,
    status: str | None = None,
    quantile: float = 0.0,
) -> MonitorQuery:
    name, matchers, duration, groups = selection
    if name != metric:
        raise UnknownQuery(
            f"{name} is not {metric}; set normalize_calls and normalize_duration to true in "
            "Jaeger's metric backend and leave its namespace and latency_unit alone"
        )
    wanted = _matchers(matchers)
    if wanted.pop(("status_code", "="), None) != status:
        raise UnknownQuery(f"status_code is not matched as Jaeger does for the {measure}")
    services = wanted.pop(("service_name", "=~"), None)
    kinds = wanted.pop(("span_kind", "=~"), "")
    if services is None or wanted:
        raise UnknownQuery("matchers are service_name, span_kind and, for errors, status_code")
    by = [label.strip() for label in groups.split(",")]
    bucket = ["le"] if measure == "latency" else []
    if by not in (["service_name", *bucket], ["service_name", "span_name", *bucket]):
        raise UnknownQuery(f"by ({groups}) is not how Jaeger groups the {measure}")
    return MonitorQuery(
        measure,
        tuple(dict.fromkeys(services.split("|"))),
        _span_kinds(kinds),
        duration_seconds(duration),
        "span_name" in by,
        quantile,
    )


def _matchers(text: str) -> dict[tuple[str, str], str]:
    found: dict[tuple[str, str], str] = {}
    position = 0
    text = text.strip()
    while position < len(text):
        match = re.compile(_MATCHER).match(text, position)
        if match is None or (match[1], match[2]) in found:
            raise UnknownQuery(f"cannot read the label matchers {{{text}}}")
        found[match[1], match[2]] = go_unquote(match[3])
        position = match.end()
    return found


def _span_kinds(pattern: str) -> frozenset[str]:
    kinds = [kind.removeprefix("SPAN_KIND_") for kind in pattern.split("|") if kind]
    for kind in kinds:
        if kind not in SPAN_KINDS:
            raise UnknownQuery(f"{kind!r} is no span kind; kinds are {', '.join(SPAN_KINDS)}")
    return frozenset(kinds)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise UnknownQuery(f"{text!r} is no number") from None

"""Lines of labels: ids from content, times to the nanosecond, and no bytes that crash."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferspan_collector.decode.attributes import RefusedRecord
from inferspan_collector.decode.wire import JSON_VALUES_MAX
from inferspan_collector.label_fields import FIELDS, TRUTHS
from inferspan_collector.receivers.label_lines import (
    LINES_MAX,
    NotLabels,
    TooManyLines,
    read_lines,
    rfc_3339_ns,
)
from inferspan_collector.testing import NOW_NS

ROOT = Path(__file__).parents[2]
EXAMPLES = {
    **{"prediction_id": "order-17", "model": "fraud", "class": "legit", "index": 1, "weight": 0.5},
    **{"time": "2026-11-02T09:00:00Z", "kind": "feedback", "annotator_kind": "HUMAN"},
    **{"revision": 1, "action": "upsert"},
}
GOOD = {"prediction_id": "order-17", "model": "fraud", "class": "legit"}

# --- ids ------------------------------------------------------------------------------------------


def ids_of(*rows: dict[str, object], received_ns: int = NOW_NS) -> list[str | None]:
    body = "\n".join(map(json.dumps, rows)).encode()
    return [line.label_id for line in read_lines(body, ndjson=True, received_ns=received_ns)]


def test_a_row_loaded_again_has_the_same_id() -> None:
    again = dict(reversed(GOOD.items()))
    assert ids_of(GOOD) == ids_of(again, received_ns=NOW_NS + 10**15)
    assert len(ids_of(GOOD)[0]) == 32


def test_what_says_the_same_has_the_same_id() -> None:
    one = {**GOOD, "class": 1, "time": "2026-11-18T07:00:00+01:00", "target": "default"}
    other = {**GOOD, "class": "1", "time": "2026-11-18T06:00:00Z", "weight": 1}
    assert ids_of(one) == ids_of(other)


@pytest.mark.parametrize(
    "change",
    [
        {"prediction_id": "order-18"},
        {"model": "churn"},
        {"class": "fraud"},
        {"index": 1},
        {"target": "chargeback"},
        {"time": "2026-11-18T06:00:00Z"},
        {"revision": 1},
        {"source": "bank"},
        {"version": "7"},
        {"action": "delete"},
        {"entity_id": "card-9"},
    ],
)
def test_what_says_something_else_has_another_id(change: dict[str, object]) -> None:
    assert ids_of(GOOD) != ids_of({**GOOD, **change})


def test_the_environment_narrows_a_label_and_makes_no_other_of_it() -> None:
    """The SDK says it once, for all that it sends; a line says it for itself."""
    assert ids_of(GOOD) == ids_of({**GOOD, "environment": "prod"})


def test_every_field_of_the_documentation_is_accepted_and_no_other() -> None:
    keys = [key for row in documented_rows() for key in re.findall(r"`(\w+)`", row)]
    assert sorted(keys) == sorted(FIELDS)
    for key in keys:
        line = {**EXAMPLES, key: EXAMPLES.get(key, "x")}
        if key == "item_id":
            line["class"] = True
        if key in TRUTHS:
            del line["class"]
            line[key] = {"classes": ["a"], "value": 1.5, "values": [1.5]}.get(key, "a")
        (read,) = read_lines(json.dumps(line).encode(), ndjson=True, received_ns=NOW_NS)
        assert read.error == "", key


def documented_rows() -> Iterator[str]:
    """First cells of the table of keys in docs/send-labels.md."""
    table = (ROOT / "docs/send-labels.md").read_text(encoding="utf-8").partition("| key |")[2]
    for line in table.splitlines()[2:]:
        if not line.startswith("|"):
            return
        yield line.split("|")[1]


# --- times ----------------------------------------------------------------------------------------


@given(st.integers(1, 7_000_000_000), st.integers(0, 999_999_999), st.integers(-23 * 60, 23 * 60))
def test_rfc_3339_is_read_to_the_nanosecond(seconds: int, ns: int, offset: int) -> None:
    local = datetime.fromtimestamp(seconds + offset * 60, UTC).replace(tzinfo=None)
    sign = "-" if offset < 0 else "+"
    zone = f"{sign}{abs(offset) // 60:02d}:{abs(offset) % 60:02d}"
    assert rfc_3339_ns(f"{local.isoformat()}.{ns:09d}{zone}") == seconds * 10**9 + ns


@given(st.text(max_size=30))
def test_other_texts_are_refused_not_crashed_on(text: str) -> None:
    with pytest.raises(RefusedRecord, match="time = "):
        rfc_3339_ns(text)


# --- bytes ---


def test_too_many_lines_are_413() -> None:
    most = read_lines(b"{}\n" * LINES_MAX, ndjson=True, received_ns=NOW_NS)
    assert len(most) == LINES_MAX
    with pytest.raises(TooManyLines, match=str(LINES_MAX)):
        read_lines(b"{}\n" * (LINES_MAX + 1), ndjson=True, received_ns=NOW_NS)


def test_json_of_too_many_values_is_refused_before_it_is_read() -> None:
    many = b'{"values": [' + b"[]," * (JSON_VALUES_MAX // 2) + b"[]]}"
    with pytest.raises(NotLabels, match=f"over {JSON_VALUES_MAX} JSON values"):
        read_lines(b"[%b]" % many, ndjson=False, received_ns=NOW_NS)
    dear, neighbour = read_lines(many + b"\n7", ndjson=True, received_ns=NOW_NS)
    assert (dear.number, dear.label, dear.reason) == (1, None, "bad_json")
    assert dear.error == f"the line holds over {JSON_VALUES_MAX} JSON values"
    assert "is not a JSON object" in neighbour.error


@given(st.binary(max_size=200), st.booleans())
def test_no_bytes_crash_the_reader(body: bytes, ndjson: bool) -> None:
    try:
        lines = read_lines(body, ndjson=ndjson, received_ns=NOW_NS)
    except NotLabels:
        return
    assert all(line.error for line in lines if line.label is None)


JSON_VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=9)),
    lambda inner: st.lists(inner, max_size=3),
)


@given(st.dictionaries(st.sampled_from(FIELDS), JSON_VALUES))
def test_a_line_is_a_label_or_says_why_not(fields: dict[str, object]) -> None:
    body = json.dumps(fields, allow_nan=True).encode()
    (line,) = read_lines(body, ndjson=True, received_ns=NOW_NS)
    assert (line.label is None) == bool(line.error)
    if line.label is not None:
        assert line.label.label_id == line.label_id != ""
        assert 0 < line.label.time < 2**63
        assert line.label.weight > 0

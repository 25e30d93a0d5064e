"""`POST /v1/labels`: an answer per line, and neighbours of a bad line are stored."""

from __future__ import annotations

import gzip
import json
import math
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import numpy as np
import pytest
from label_receiver import GOOD, Receiver, problem_of, receiving
from receiving import Switch, connected, serving

from inferspan_collector import telemetry as counters
from inferspan_collector.config import Limits
from inferspan_collector.receivers.label_lines import (
    LINES_MAX,
)
from inferspan_collector.submission import Overloaded, Unstorable
from inferspan_collector.testing import NOW_NS
from waiting import wait_until

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

LIMIT = 256 * 1024


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[Switch, str]]:
    switch = Switch()
    with serving(switch) as url:
        yield switch, url


@pytest.fixture
def receiver(server: tuple[Switch, str]) -> Iterator[Receiver]:
    with receiving(server, Limits(request_bytes=LIMIT)) as found:
        yield found


# --- lines ----------------------------------------------------------------------------------------


def test_each_line_is_answered_and_neighbours_of_a_bad_one_are_stored(receiver: Receiver) -> None:
    answers = receiver.push({**GOOD, "id": "a"}, "", "{", {**GOOD, "id": "b"})
    assert [(a["line"], a["id"], a["result"]) for a in answers] == [
        (1, "a", "waiting"),
        (3, None, "invalid"),
        (4, "b", "waiting"),
    ]
    assert receiver.sink.labels.label_id.objects().tolist() == ["a", "b"]
    assert [transport for _, transport in receiver.sink.submitted] == ["labels"]
    count = receiver.telemetry.get
    assert count(counters.ACCEPTED, signal="labels", transport="labels") == 2
    assert count(counters.REFUSED, signal="labels", reason="bad_json") == 1
    assert count(counters.LABELS, result="invalid") == 1
    assert count(counters.REQUESTS, transport="labels", code="200") == 1


@pytest.mark.parametrize("result", ["joined", "waiting", "superseded", "duplicate"])
def test_the_store_says_what_became_of_a_label(receiver: Receiver, result: str) -> None:
    receiver.sink.label_result = result
    assert [answer["result"] for answer in receiver.push(GOOD)] == [result]


def test_every_field(receiver: Receiver) -> None:
    receiver.push(
        {
            "prediction_id": "order-17",
            "entity_id": "card-9",
            "index": 3,
            "model": "fraud",
            "version": "7",
            "environment": "prod",
            "target": "chargeback",
            "class": "fraud",
            "time": "2026-11-18T07:00:00.123456789+01:00",
            "id": "l-1",
            "source": "bank",
            "kind": "feedback",
            "annotator_kind": "HUMAN",
            "revision": 2,
            "action": "upsert",
            "weight": 0.5,
        }
    )
    batch = receiver.sink.labels
    found = {}
    for name in type(batch).__slots__:
        column = getattr(batch, name)
        found[name] = (column if isinstance(column, np.ndarray) else column.objects()).tolist()[0]
    assert math.isnan(found.pop("value"))
    moment = datetime(2026, 11, 18, 6, 0, 0, tzinfo=UTC)
    assert found == {
        "label_id": "l-1",
        "revision": 2,
        "environment": "prod",
        "model": "fraud",
        "version": "7",
        "prediction_id": "order-17",
        "index": 3,
        "item_id": None,
        "link_trace": [0, 0],
        "link_span": 0,
        "response_id": None,
        "entity_id": "card-9",
        "target": "chargeback",
        "kind": "feedback",
        "actual": "fraud",
        "text": None,
        "time": int(moment.timestamp()) * 10**9 + 123_456_789,
        "received": NOW_NS,
        "source": "bank",
        "annotator_kind": "HUMAN",
        "deleted": False,
        "weight": 0.5,
    }


@pytest.mark.parametrize(
    ("truth", "actual", "value"),
    [
        ({"class": True}, "true", math.nan),
        ({"class": 1}, "1", 1.0),
        ({"class": 1.0}, "1", 1.0),
        ({"class": "1"}, "1", 1.0),
        ({"value": 38.2}, "38.2", 38.2),
        ({"classes": ["b", "a"]}, '["a","b"]', math.nan),
        ({"classes": [1, 2.0, True]}, '["1","2","true"]', math.nan),
        ({"values": [1, 2.5]}, "[1.0,2.5]", math.nan),
        ({"text": "because"}, None, math.nan),
        ({"action": "delete"}, None, math.nan),
    ],
)
def test_the_truth(receiver: Receiver, truth: dict[str, object], actual, value: float) -> None:
    receiver.push({"prediction_id": "p", "model": "m", **truth})
    batch = receiver.sink.labels
    assert batch.actual.objects().tolist() == [actual]
    np.testing.assert_array_equal(batch.value, [value])
    assert batch.deleted.tolist() == ["action" in truth]


def test_a_label_for_an_unknown_model_waits(receiver: Receiver) -> None:
    answers = receiver.push({"prediction_id": "p", "model": "never seen", "class": "x"})
    assert [answer["result"] for answer in answers] == ["waiting"]


def test_an_integer_prediction_id_is_its_text(receiver: Receiver) -> None:
    receiver.push({**GOOD, "prediction_id": 17})
    assert receiver.sink.labels.prediction_id.objects().tolist() == ["17"]


INVALID = [
    ("7", "not a JSON object"),
    ("[]", "not a JSON object"),
    ("{'class': 1}", "not JSON"),
    ('{"value": NaN}', "NaN is never a label"),
    ('{"class": "a", "class": "b"}', "given twice"),
    ("[" * 100_000, "nested too deep"),
    ({**GOOD, "lable": 1}, "'lable' is not a field of a label; known are prediction_id"),
    ({"prediction_id": "p", "model": "m", "actual": 1}, "not a field of a label; write class;"),
    ({"prediction_id": "p", "model": "m", "clas": "x"}, "not a field of a label; write class;"),
    (
        {"prediction_id": "p", "model": "m", "value": "1"},
        "value = '1' is not a number; send it without quotes, or as class",
    ),
    ({**GOOD, "weight": "1"}, "weight = '1' is not a number; send it without quotes"),
    ({**GOOD, "response_id": "r"}, "not a field of a label"),
    ({"model": "fraud", "class": "x"}, "give prediction_id"),
    ({"entity_id": "c", "class": "x"}, "without it entity_id names no prediction"),
    ({**GOOD, "environment": 7.5}, "environment = 7.5 is not a text"),
    ({"prediction_id": "p", "class": "x"}, "model is missing"),
    ({"prediction_id": "p", "model": "m"}, "exactly one of class, classes, value"),
    ({**GOOD, "value": 1.0}, "this one has class, value"),
    ({**GOOD, "class": None}, "this one has none"),
    ({**GOOD, "class": ["a"]}, "is no class"),
    ({**GOOD, "prediction_id": True}, "not a text"),
    ({**GOOD, "prediction_id": 1.5}, "not a text"),
    ('{"prediction_id": "\\ud800", "model": "m", "class": "x"}', "half a surrogate pair"),
    ('{"prediction_id": "p", "model": "m", "class": "\\ud800"}', "half a surrogate pair"),
    ({**GOOD, "model": "a\nb"}, "holds a control character"),
    ({**GOOD, "index": -1}, "index = -1 is not within 0…"),
    ({**GOOD, "index": True}, "not an integer"),
    ({**GOOD, "weight": 0}, "not greater than 0"),
    ({**GOOD, "action": "remove"}, "not one of upsert, delete"),
    ({**GOOD, "revision": 2**63}, "not within"),
    ('{"prediction_id": "p", "model": "m", "value": 1e999}', "never a label"),
    ({**GOOD, "time": "2026-11-18T07:00:00"}, "has no offset"),
    ({**GOOD, "time": "yesterday"}, "not RFC 3339"),
    ({**GOOD, "time": "2026-02-30T07:00:00Z"}, "does not exist"),
    ({**GOOD, "time": "2026-11-18"}, "not RFC 3339"),
    ({**GOOD, "time": 1_795_000_000}, "multiply seconds by 1e9"),
    ({**GOOD, "time": 1.5}, "not an integer"),
    ({**GOOD, "time": 0}, "not within"),
    ({**GOOD, "time": 2**63}, "not within"),
]


@pytest.mark.parametrize(("line", "error"), INVALID)
def test_an_invalid_line_says_why(receiver: Receiver, line: object, error: str) -> None:
    bad, good = receiver.push(line, {**GOOD, "id": "good"})
    assert (bad["result"], good["result"]) == ("invalid", "waiting")
    assert error in bad["error"]
    assert len(bad["error"]) < 400
    assert receiver.sink.labels.label_id.objects().tolist() == ["good"]


def test_a_line_that_is_not_utf_8_falls_alone(receiver: Receiver) -> None:
    response = receiver.post(b'{"class": "\xff"}\n' + json.dumps(GOOD).encode())
    results = [json.loads(line)["result"] for line in response.text.splitlines()]
    assert results == ["invalid", "waiting"]


def test_all_invalid_is_400_and_stores_nothing(receiver: Receiver) -> None:
    assert [answer["result"] for answer in receiver.push({}, {})] == ["invalid"] * 2
    assert receiver.sink.submitted == []
    assert receiver.telemetry.get(counters.REFUSED, signal="labels") == 2


@pytest.mark.parametrize("body", [b"", b"\n\n \r\n"])
def test_nothing_to_do_is_a_success(receiver: Receiver, body: bytes) -> None:
    response = receiver.post(body)
    assert (response.status_code, response.content) == (200, b"")


@pytest.mark.parametrize("content_type", ["application/x-ndjson", "application/json"])
def test_a_byte_order_mark_is_no_mistake(receiver: Receiver, content_type: str) -> None:
    body = b"\xef\xbb\xbf" + json.dumps(GOOD).encode()
    assert receiver.post(body, content_type=content_type).text.count("waiting") == 1


def test_windows_line_ends(receiver: Receiver) -> None:
    line = json.dumps(GOOD).encode()
    assert receiver.post(line + b"\r\n" + line + b"\r\n").text.count("waiting") == 2


# --- the request as a whole -----------------------------------------------------------------------


@pytest.mark.parametrize("document", [GOOD, [GOOD, {}]])
def test_json_holds_one_object_or_an_array(receiver: Receiver, document: object) -> None:
    response = receiver.post(json.dumps(document).encode(), content_type="application/json")
    answers = [json.loads(line) for line in response.text.splitlines()]
    expected = ["waiting", "invalid"][: len(answers)]
    assert (response.status_code, [a["result"] for a in answers]) == (200, expected)
    assert [a["line"] for a in answers] == list(range(1, len(answers) + 1))


@pytest.mark.parametrize(
    ("encoding", "compress"), [("gzip", gzip.compress), ("zstd", zstd.compress)]
)
def test_encodings(receiver: Receiver, encoding: str, compress) -> None:
    response = receiver.post(compress(json.dumps(GOOD).encode()), content_encoding=encoding)
    assert response.status_code == 200


def test_a_dry_run_stores_nothing_and_says_what_would_become_of_each_line(
    receiver: Receiver,
) -> None:
    unknown = {**GOOD, "prediction_id": "order-18"}
    receiver.sink.label_result = "superseded"
    answers = receiver.push(GOOD, {}, unknown, query="?dry_run=true")
    assert [answer["result"] for answer in answers] == ["superseded", "invalid", "superseded"]
    assert receiver.sink.submitted == []
    assert receiver.telemetry.get(counters.ACCEPTED) == 0
    assert receiver.telemetry.get(counters.REFUSED) == 0


@pytest.mark.parametrize(
    ("body", "query", "headers", "status"),
    [
        (b"{}", "", {"content_type": "text/csv"}, 415),
        (b"{}", "", {"content_type": ""}, 415),
        (b"{}", "", {"content_encoding": "br"}, 415),
        (b"{}", "?dry_run=maybe", {}, 400),
        (b"{}", "?dry-run=true", {}, 400),
        (b"{}", "?dry_run=true&dry_run=false", {}, 400),
        (b"nothing", "", {"content_encoding": "gzip"}, 400),
        (b"{", "", {"content_type": "application/json"}, 400),
        (bytes(LIMIT + 1), "", {}, 413),
        (gzip.compress(b" " * 64 * LIMIT), "", {"content_encoding": "gzip"}, 413),
    ],
)
def test_refusals_name_value_rule_and_remedy(
    receiver: Receiver, body: bytes, query: str, headers: dict[str, str], status: int
) -> None:
    response = receiver.post(body, query, **headers)
    assert response.status_code == status
    assert problem_of(response).keys() >= {"title", "detail", "value", "rule", "remedy"}
    assert receiver.telemetry.get(counters.REQUESTS, transport="labels", code=str(status)) == 1
    assert receiver.sink.submitted == []


def test_other_methods_are_405(receiver: Receiver) -> None:
    response = receiver.client.get("/v1/labels")
    assert (response.status_code, response.headers["allow"]) == (405, "POST")
    assert problem_of(response)["value"] == "GET"


def test_too_many_lines_are_said(receiver: Receiver) -> None:
    body = gzip.compress(b"7\n" * (LINES_MAX + 1))
    response = receiver.post(body, content_encoding="gzip")
    assert problem_of(response)["rule"] == f"a request holds at most {LINES_MAX} labels"


def test_what_lines_become_is_held_within_the_budget_until_they_are_answered(
    server: tuple[Switch, str],
) -> None:
    limits = Limits(request_bytes=LIMIT, queue_bytes=4 * 1024 * 1024)
    body = "\n".join(json.dumps({**GOOD, "id": str(n)}) for n in range(1_000)).encode()
    with receiving(server, limits) as receiver, ThreadPoolExecutor() as pool:
        receiver.sink.holding = True
        first = pool.submit(receiver.post, body)
        wait_until(lambda: receiver.sink.submitted, 20, "the first to be submitted")
        held = receiver.budget.held
        with receiver.budget.holding(limits.queue_bytes - held - len(body)):
            refused = receiver.post(body)
        receiver.sink.release()
        assert first.result().status_code == 200
        wait_until(lambda: receiver.budget.held == 0, 20, "all to be let go")
    assert held >= 512 * 1_000
    assert refused.status_code == 503
    assert problem_of(refused)["detail"].startswith("requests under way hold")


def test_an_overload_says_when_to_come_again(receiver: Receiver) -> None:
    receiver.sink.refusing = Overloaded("the queue is full", retry_after_seconds=7)
    response = receiver.post(json.dumps(GOOD).encode())
    assert (response.status_code, response.headers["retry-after"]) == (503, "7")
    assert problem_of(response)["detail"] == "the queue is full"


def test_a_request_that_can_never_be_stored_is_400(receiver: Receiver) -> None:
    receiver.sink.failing = Unstorable("a value the store cannot hold")
    response = receiver.post(json.dumps(GOOD).encode())
    assert response.status_code == 400
    assert problem_of(response)["value"] == "a value the store cannot hold"


def test_an_unexpected_error_is_503(receiver: Receiver, caplog: pytest.LogCaptureFixture) -> None:
    receiver.sink.failing = ZeroDivisionError("a defect")
    response = receiver.post(json.dumps(GOOD).encode())
    assert (response.status_code, response.headers["retry-after"]) == (503, "1")
    assert receiver.telemetry.get(counters.CONTAINED, where="labels") == 1
    assert "a defect" in caplog.text


def test_who_goes_away_is_counted(receiver: Receiver) -> None:
    with connected(str(receiver.client.base_url)) as connection:
        connection.sendall(
            b"POST /v1/labels HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-ndjson\r\n"
            b"Content-Length: 1000\r\n\r\n{"
        )
    wait_until(lambda: receiver.telemetry.get(counters.REQUESTS, code="499") == 1, 20)

"""Uploads that become whole within moments: read as one, and each answered for itself."""

from __future__ import annotations

import asyncio
import gzip
import tracemalloc
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from hashlib import sha256
from typing import Any

import pytest

from inferspan import semconv
from inferspan_collector import http_uploads
from inferspan_collector.batches import Decoded
from inferspan_collector.config import Config, Limits
from inferspan_collector.config.auth import HASH_PREFIX
from inferspan_collector.decode import warm
from inferspan_collector.gathering import QUIET_SECONDS
from inferspan_collector.receivers import otlp_http
from inferspan_collector.receivers.access import EVERYBODY, Access
from inferspan_collector.receivers.bodies import Budget
from inferspan_collector.submission import Overloaded
from inferspan_collector.telemetry import ACCEPTED, CONTAINED, REFUSED, REQUESTS, Telemetry
from inferspan_collector.testing import (
    RecordingSink,
    label_span,
    log_record,
    logs_request,
    prediction_span,
    traces_request,
)

Sent = tuple[bytes, str]
"""A body, and the token of its sender."""
TOKENS = {"all": ["ingest", "labels"], "predictions": ["ingest"]}


@pytest.fixture(scope="module", autouse=True)
def _warmed() -> None:
    """What decodes is compiled before an answer is waited for."""
    warm()


def predictions(*ids: str) -> bytes:
    outputs = {semconv.OUTPUT_CLASS: "fraud"}
    return traces_request([prediction_span(each, outputs) for each in ids]).SerializeToString()


def refused() -> bytes:
    outputs = {semconv.OUTPUT_CLASS: "fraud"}
    of_none = prediction_span("of no model", outputs, model="")
    return traces_request([prediction_span("b", outputs), of_none]).SerializeToString()


def labels(*ids: str) -> bytes:
    said = {semconv.LABEL_CLASS: "fraud"}
    spans = [label_span(each, said) for each in ids]
    return traces_request(spans, scope=semconv.SCOPE_LABELS).SerializeToString()


class Receiver:
    """A receiver without sockets: uploads are given to it whole, several in one turn."""

    def __init__(self, access: Access | None = None, limits: Limits | None = None) -> None:
        self.sink, self.telemetry, limits = RecordingSink(), Telemetry(), limits or Limits()
        self.budget = Budget.of(limits)
        self._app = otlp_http.application(
            self.sink, self.telemetry, limits, self.budget, access or EVERYBODY
        )

    async def post(
        self, *sent: Sent, encoding: str = "identity", path: str = "/v1/traces"
    ) -> list[tuple[int, bytes]]:
        """All in one turn; their statuses and bodies."""
        loop = asyncio.get_running_loop()
        answers = [loop.create_future() for _ in sent]
        uploads = [
            self.begin(one, answer, encoding, path)
            for one, answer in zip(sent, answers, strict=True)
        ]
        for upload in uploads:
            upload.whole()
        async with asyncio.timeout(20):
            return await asyncio.gather(*answers)

    def begin(
        self,
        sent: Sent,
        answer: asyncio.Future[tuple[int, bytes]],
        encoding: str = "identity",
        path: str = "/v1/traces",
    ) -> http_uploads.Upload:
        """One whose body is there and which is to be told that it is whole."""
        body, token = sent
        upload = self._app.begin(_scope(token, encoding, path), len(body), _telling(answer))
        assert upload is not None
        upload.memory[:] = body
        return upload

    def rows(self) -> list[tuple[Sequence[str], Sequence[str]]]:
        """(ids of predictions, ids of labelled ones) of what the store was given, each time."""
        return [
            (
                decoded.predictions.prediction_id.objects().tolist(),
                decoded.labels.prediction_id.objects().tolist(),
            )
            for decoded, _ in self.sink.submitted
        ]


def _scope(token: str, encoding: str, path: str) -> dict[str, object]:
    headers = [(b"host", b"localhost"), (b"content-type", b"application/x-protobuf")]
    headers.append((b"content-encoding", encoding.encode()))
    if token:
        headers.append((b"authorization", b"Bearer " + token.encode()))
    return {"type": "http", "method": "POST", "path": path, "headers": headers}


def _telling(answer: asyncio.Future[tuple[int, bytes]]) -> Callable[..., None]:
    return lambda status, headers, body: answer.set_result((status, body))


def test_they_are_stored_as_one_and_each_is_answered() -> None:
    receiver = Receiver()
    answers = asyncio.run(
        receiver.post((predictions("a", "b"), ""), (predictions("c"), ""), (labels("a"), ""))
    )
    assert answers == [(200, b"")] * 3
    assert receiver.rows() == [(["a", "b", "c"], ["a"])]
    assert receiver.telemetry.get(ACCEPTED, signal="predictions") == 3
    assert receiver.telemetry.get(ACCEPTED, signal="labels") == 1
    assert receiver.telemetry.get(REQUESTS, code="200") == 3
    assert (receiver.budget.held, receiver.budget.requests) == (0, 0)


def test_logs_that_come_together_keep_no_spans_apart() -> None:
    said = {semconv.MODEL_NAME: "fraud", semconv.PREDICTION_ID: "a", semconv.LABEL_CLASS: "fraud"}
    events = [log_record(semconv.EVENT_LABEL, {**said, semconv.LABEL_ID: id}) for id in "xy"]
    logs = [(logs_request([event]).SerializeToString(), "") for event in events]
    receiver = Receiver()

    async def post() -> None:
        await receiver.post(*logs, path="/v1/logs")
        await receiver.post((predictions("a"), ""), (predictions("b"), ""))

    asyncio.run(post())
    assert receiver.rows() == [([], ["a"]), ([], ["a"]), (["a", "b"], [])]


def test_a_bad_one_is_refused_and_harms_no_other() -> None:
    receiver = Receiver()
    answers = asyncio.run(
        receiver.post((predictions("a"), ""), (b"\x0a\xff\xff", ""), (refused(), ""))
    )
    assert [status for status, _ in answers] == [200, 400, 200]
    assert answers[0][1] == b""
    assert b"model" in answers[2][1]  # partial success: what of it was left out
    assert receiver.rows() == [(["a"], []), (["b"], [])]
    assert receiver.telemetry.get(REFUSED, signal="predictions") == 1
    assert (receiver.budget.held, receiver.budget.requests) == (0, 0)


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_who_sends_what_is_odd_keeps_no_others_from_being_read_as_one(encoding: str) -> None:
    receiver = Receiver()
    packed = gzip.compress if encoding == "gzip" else bytes
    odd = [(packed(b"\x0a\xff\xff"), ""), (b"no gzip", ""), (packed(refused()), "")]

    async def post() -> None:
        for _ in range(2):
            good = [(packed(predictions(*name * 9)), "") for name in "abc"]
            answers = await receiver.post(odd[0], good[0], odd[1], *good[1:], encoding=encoding)
            assert [status for status, _ in answers] == [400, 200, 400, 200, 200]
            answers = await receiver.post(*good, odd[2], encoding=encoding)
            assert [status for status, _ in answers] == [200] * 4
            assert b"model" in answers[3][1]

    asyncio.run(post())
    together = (["a"] * 9 + ["b"] * 9 + ["c"] * 9, [])
    assert receiver.rows() == [together, together, (["b"], [])] * 2
    assert receiver.telemetry.get(ACCEPTED, signal="predictions") == 4 * 27 + 2
    assert (receiver.budget.held, receiver.budget.requests) == (0, 0)


def test_nobody_sends_labels_by_the_rights_of_others() -> None:
    auth = {
        name: {"hash": HASH_PREFIX + sha256(name.encode()).hexdigest(), "rights": rights}
        for name, rights in TOKENS.items()
    }
    receiver = Receiver(Access(Config.model_validate({"auth": {"tokens": auth}}).auth))
    answers = asyncio.run(
        receiver.post(
            (labels("a"), "predictions"),
            (labels("b"), "all"),
            (predictions("c"), "predictions"),
            (labels("d"), "all"),
        )
    )
    assert [status for status, _ in answers] == [200] * 4
    assert b"forbidden" in answers[0][1]
    assert [body for _, body in answers[1:]] == [b""] * 3
    assert receiver.sink.predictions.prediction_id.objects().tolist() == ["c"]
    assert sorted(receiver.sink.labels.prediction_id.objects().tolist()) == ["b", "d"]


def test_compressed_ones_are_read_as_one() -> None:
    receiver = Receiver()
    sent = [(gzip.compress(predictions(name)), "") for name in "abc"]
    answers = asyncio.run(receiver.post(*sent, encoding="gzip"))
    assert answers == [(200, b"")] * 3
    assert receiver.rows() == [(["a", "b", "c"], [])]


def test_bombs_that_come_together_are_not_inflated_together() -> None:
    receiver = Receiver()
    bomb = gzip.compress(bytes(otlp_http.INFLATED_AT_ONCE_BYTES - 1))
    tracemalloc.start()
    try:
        answers = asyncio.run(receiver.post(*[(bomb, "")] * 20, encoding="gzip"))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert [status for status, _ in answers] == [400] * 20
    assert peak < 4 * otlp_http.INFLATED_AT_ONCE_BYTES


def test_what_cannot_be_stored_now_is_told_to_all_of_them() -> None:
    receiver = Receiver()
    receiver.sink.failing = Overloaded("the disk is full; send this again", 5)
    answers = asyncio.run(receiver.post((predictions("a"), ""), (predictions("b"), "")))
    assert [status for status, _ in answers] == [503, 503]
    assert receiver.telemetry.get(ACCEPTED) == 0


def test_what_there_is_no_room_for_is_not_read() -> None:
    receiver = Receiver()
    receiver.sink.refusing = Overloaded("the queue is full; send this again", 5)
    answers = asyncio.run(receiver.post((predictions("a"), ""), (predictions("b"), "")))
    assert [status for status, _ in answers] == [503, 503]
    assert receiver.rows() == []
    assert (receiver.budget.held, receiver.budget.requests) == (0, 0)


def test_a_defect_in_reading_them_as_one_is_counted_and_costs_nobody_an_answer() -> None:
    receiver = Receiver()
    pending = receiver.sink.keep

    def keep(decoded: Decoded, transport: str, waited: float) -> Future[Any]:
        if len(decoded.predictions) > 1:
            raise ZeroDivisionError
        return pending(decoded, transport, waited)

    receiver.sink.keep = keep  # type: ignore[method-assign]
    answers = asyncio.run(receiver.post((predictions("a"), ""), (predictions("b"), "")))
    assert [status for status, _ in answers] == [200, 200]
    assert receiver.rows() == [(["a"], []), (["b"], [])]
    assert receiver.telemetry.get(CONTAINED, where="otlp_http") == 1


def test_no_more_are_read_as_one_than_an_empty_queue_holds() -> None:
    limits = Limits(queue_bytes=1024 * 1024, request_bytes=1024 * 1024, group_bytes=65_536)
    receiver = Receiver(limits=limits)
    bodies = [predictions(*(f"{number}-{row}" for row in range(100))) for number in range(20)]
    answers = asyncio.run(receiver.post(*((body, "") for body in bodies)))
    assert [status for status, _ in answers] == [200] * 20
    rows = [len(decoded.predictions) for decoded, _ in receiver.sink.submitted]
    assert sum(rows) == 2_000
    assert len(rows) < 20
    # What a row weighs there at least, whatever its bytes.
    assert max(rows) * 512 <= limits.queue_bytes


class InTurns:
    """Uploads that become whole one after the other, by a clock that stands between them."""

    def __init__(self, receiver: Receiver, *bodies: bytes) -> None:
        loop = asyncio.get_running_loop()
        self._now = loop.time()
        loop.time = lambda: self._now  # type: ignore[method-assign]
        self.answers = [loop.create_future() for _ in bodies]
        self._uploads = [
            receiver.begin((body, ""), answer)
            for body, answer in zip(bodies, self.answers, strict=True)
        ]

    async def whole(self, number: int) -> None:
        """So many turns pass that what is to be stored now is."""
        self._uploads[number].whole()
        await self.wait(0.0)

    async def wait(self, seconds: float) -> None:
        self._now += seconds
        for _ in range(5):
            await asyncio.sleep(0)


def test_who_is_whole_waits_for_those_that_come_next() -> None:
    receiver = Receiver()

    async def post() -> None:
        turns = InTurns(receiver, predictions("a"), predictions("b"), predictions("c"))
        for number in range(3):
            await turns.whole(number)
            await turns.wait(QUIET_SECONDS / 4)
        assert receiver.rows() == []
        await turns.wait(QUIET_SECONDS)
        assert receiver.rows() == [(["a", "b", "c"], [])]

    asyncio.run(post())


def test_what_is_read_by_itself_in_any_case_waits_for_nobody() -> None:
    receiver = Receiver()

    async def post() -> None:
        said = {semconv.MODEL_NAME: "fraud", semconv.PREDICTION_ID: "a", semconv.LABEL_ID: "x"}
        event = log_record(semconv.EVENT_LABEL, {**said, semconv.LABEL_CLASS: "fraud"})
        await receiver.post((predictions("a"), ""), (refused(), ""))
        turns = InTurns(receiver, predictions("c"))
        stored = len(receiver.rows())
        await turns.whole(0)
        assert receiver.rows()[stored:] == [(["c"], [])]
        answer = asyncio.get_running_loop().create_future()
        logs = logs_request([event]).SerializeToString()
        receiver.begin((logs, ""), answer, path="/v1/logs").whole()
        await turns.wait(0.0)
        assert receiver.rows()[stored + 1 :] == [([], ["a"])]

    asyncio.run(post())


def test_compressed_ones_count_by_what_they_say_they_hold() -> None:
    receiver = Receiver()
    # Ids of which nothing can be left out: each body is a seventh of its size compressed.
    sent = [
        predictions(*(sha256(f"{name}-{row}".encode()).hexdigest() for row in range(3_600)))
        for name in "ab"
    ]
    bodies = [gzip.compress(body) for body in sent]
    assert sum(map(len, sent)) < 3_000_000 < 12 * sum(map(len, bodies))
    answers = asyncio.run(receiver.post(*((body, "") for body in bodies), encoding="gzip"))
    assert answers == [(200, b"")] * 2
    assert len(receiver.rows()) == 1


def test_nobody_waits_for_one_that_does_not_come() -> None:
    receiver = Receiver()

    async def post() -> None:
        turns = InTurns(receiver, predictions("a"), predictions("b"), predictions("slow"))
        await turns.whole(0)
        await turns.wait(QUIET_SECONDS / 2)
        await turns.whole(1)
        assert receiver.rows() == []
        await turns.wait(QUIET_SECONDS + 0.001)
        assert receiver.rows() == [(["a", "b"], [])]

    asyncio.run(post())


def test_nobody_waits_longer_than_a_group_does() -> None:
    receiver = Receiver(limits=Limits(group_milliseconds=4))
    bodies = [predictions(name) for name in "abcdefgh"]

    async def post() -> None:
        turns = InTurns(receiver, *bodies)
        for number in range(7):
            await turns.whole(number)
            await turns.wait(0.75 * QUIET_SECONDS)
        assert receiver.rows()[0][0][0] == "a"

    asyncio.run(post())


def test_there_being_enough_nobody_waits() -> None:
    receiver = Receiver(limits=Limits(queue_bytes=1024 * 1024, request_bytes=1024 * 1024))
    bodies = [predictions(*(f"{number}-{row}" for row in range(100))) for number in range(20)]

    async def post() -> None:
        turns = InTurns(receiver, *bodies)
        for number in range(19):
            await turns.whole(number)
        assert 1 < len(receiver.rows()) < 10

    asyncio.run(post())

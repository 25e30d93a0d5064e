"""`POST /v1/labels`: labels as NDJSON, each line answered with what became of it."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl

from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from inferspan_collector.batches import Decoded, LabelBatch, PredictionBatch, Refusal
from inferspan_collector.config import Limits
from inferspan_collector.decode.columns import label_batch
from inferspan_collector.decode.in_parts import read_in_parts
from inferspan_collector.problems import problem
from inferspan_collector.receivers import bodies, inflating
from inferspan_collector.receivers.defects import Defects
from inferspan_collector.receivers.failures import Failure, answered
from inferspan_collector.receivers.intake import committed, count
from inferspan_collector.receivers.label_lines import (
    LINES_MAX,
    Line,
    NotLabels,
    TooManyLines,
    read_lines,
    rows_at_most,
)
from inferspan_collector.receivers.pending_labels import UNLIMITED, PendingLabels
from inferspan_collector.submission import Sink
from inferspan_collector.telemetry import REQUESTS, Telemetry

PATH: Final = "/v1/labels"
TRANSPORT: Final = "labels"
DRY_RUN: Final = "dry_run"
NDJSON: Final = "application/x-ndjson"
JSON: Final = "application/json"
_TITLES: Final = {
    400: "Unreadable labels",
    405: "Method not allowed",
    408: "Too slow",
    413: "Too large",
    415: "Unsupported media type",
    503: "Try again later",
}


def routes(
    sink: Sink,
    telemetry: Telemetry,
    limits: Limits,
    budget: bodies.Budget,
    pending: PendingLabels = UNLIMITED,
) -> list[Route]:
    """The label receiver, to be mounted on the API port.

    `?dry_run=true` stores nothing and says of each line what would become of it now.

    Args:
        sink: takes the labels, and answers dry runs.
        telemetry: counts.
        limits: `request_bytes` is the largest body.
        budget: what requests under way may hold, shared with the other receivers.
        pending: limits the labels that wait.
    """
    return [Route(PATH, _Receiver(sink, telemetry, limits, budget, pending))]


@dataclass(frozen=True, slots=True)
class _Request:
    lines: list[Line]
    decoded: Decoded


class _Receiver:
    def __init__(
        self,
        sink: Sink,
        telemetry: Telemetry,
        limits: Limits,
        budget: bodies.Budget,
        pending: PendingLabels,
    ) -> None:
        self._sink = sink
        self._telemetry = telemetry
        self._defects = Defects(telemetry, TRANSPORT)
        self._limit = limits.request_bytes
        self._budget = budget
        self._pending = pending

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answering = self._answer(scope, receive)
        response = await answered(answering, _failed, self._telemetry, TRANSPORT)
        if response is not None:
            self._telemetry.add(REQUESTS, transport=TRANSPORT, code=str(response.status_code))
            await response(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive) -> Response:
        if scope["method"] != "POST":
            rule = f"{PATH} takes labels by POST"
            raise bodies.RefusedBody(405, scope["method"], rule, "send POST", (("allow", "POST"),))
        headers = bodies.Headers.of(scope)
        if headers.media_type not in (NDJSON, JSON):
            raise bodies.RefusedBody(
                415,
                f"Content-Type {headers.media_type!r:.80}",
                f"{NDJSON} (an object per line) and {JSON} (an object or an array) are read",
                f"send the header Content-Type: {NDJSON}",
            )
        dry_run = _dry_run(scope)
        with contextlib.ExitStack() as held:
            async with bodies.received(headers, receive, self._limit, self._budget) as body:
                self._sink.check_room(len(body), TRANSPORT)
                # Longer than the body: each line is answered.
                reserve = held.enter_context(self._budget.making_rows(len(body)))
                request = await asyncio.to_thread(self._read, headers, body, reserve)
                if dry_run:
                    # Within the budget, which limits how much waits for a rehearsal.
                    would_be = await committed(self._sink.rehearse(request.decoded.labels))
                    return await asyncio.to_thread(_response, request.lines, would_be)
            decoded = await self._pending.admit_here(request.decoded)
            results = (await committed(self._sink.submit(decoded, TRANSPORT))).labels
            self._pending.note(results)
            count(request.decoded, self._telemetry, TRANSPORT)
            return await asyncio.to_thread(_response, request.lines, results)

    def _read(
        self, headers: bodies.Headers, body: bytes, reserve: Callable[[int], None]
    ) -> _Request:
        with self._defects.refusing():
            content = bytes(inflating.inflated(body, headers.encoding, self._limit))
            reserve(rows_at_most(content))
            received_ns = self._sink.now_ns()
            lines = _lines(content, headers.media_type == NDJSON, received_ns)
            batch = _batch(lines, received_ns)
        for line in lines:
            if line.defect is not None:
                self._defects.note(line.defect, f"line {line.number} of it was refused")
        refused = (line for line in lines if line.label is None)
        decoded = Decoded(
            predictions=PredictionBatch.empty(),
            labels=batch,
            refused=tuple(Refusal("labels", line.reason, line.error) for line in refused),
            clock_skewed=sum(line.label.skewed for line in lines if line.label is not None),
            size_bytes=len(content),
        )
        return _Request(lines, decoded)


def _batch(lines: list[Line], received_ns: int) -> LabelBatch:
    """The labels of all lines that have one; those that make none for a defect are refused."""
    taken = [place for place, line in enumerate(lines) if line.label is not None]

    def stacked(some: Sequence[int]) -> LabelBatch:
        labels = (lines[place].label for place in some)
        return label_batch([label for label in labels if label is not None], received_ns)

    batch, blamed = read_in_parts(taken, stacked)
    for place, defect in blamed.items():
        lines[taken[place]] = lines[taken[place]].undecodable(defect)
    return batch


def _dry_run(scope: Scope) -> bool:
    given = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
    for name, _ in given:
        if name != DRY_RUN:
            value, rule = f"the parameter {name!r:.40}", f"{DRY_RUN} is the only one"
            raise bodies.RefusedBody(400, value, rule, "send ?dry_run=true, or none to store")
    if len(given) > 1:
        value, rule = f"{DRY_RUN} {len(given)} times", "it is given once"
        raise bodies.RefusedBody(400, value, rule, "send ?dry_run=true")
    text = given[0][1] if given else "false"
    if text not in ("true", "false"):
        value = f"dry_run = {text!r:.40}"
        raise bodies.RefusedBody(400, value, "it is true or false", "send ?dry_run=true")
    return text == "true"


def _response(lines: list[Line], results: Sequence[str]) -> Response:
    stored = iter(results)
    answers: list[dict[str, object]] = []
    for line in lines:
        answer: dict[str, object] = {"line": line.number, "id": line.label_id}
        if line.label is None:
            answer |= {"result": "invalid", "error": line.error}
        else:
            answer["result"] = next(stored)
        answers.append(answer)
    status = 400 if lines and not results else 200
    content = "".join(json.dumps(answer) + "\n" for answer in answers)
    return Response(content, status, media_type=NDJSON)


def _lines(content: bytes, ndjson: bool, received_ns: int) -> list[Line]:
    try:
        return read_lines(content, ndjson=ndjson, received_ns=received_ns)
    except TooManyLines as error:
        rule = f"a request holds at most {LINES_MAX} labels"
        raise bodies.RefusedBody(413, str(error), rule, "send several requests") from error
    except NotLabels as error:
        rule = f"{NDJSON} has an object per line, {JSON} an object or an array"
        raise bodies.RefusedBody(400, str(error), rule, "correct the body") from error


def _failed(failure: Failure) -> Response:
    said = {"value": failure.value, "rule": failure.rule, "remedy": failure.remedy}
    return problem(
        failure.status,
        _TITLES[failure.status],
        failure.message,
        headers=dict(failure.all_headers),
        **{name: text for name, text in said.items() if text},
    )

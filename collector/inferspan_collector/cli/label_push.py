"""Send label records to a collector: in batches, with retries, each answer kept by line."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from inferspan_collector.cli.client import Answer, Client, Unreachable, expect_success
from inferspan_collector.cli.label_files import Row
from inferspan_collector.cli.label_spellings import LabelledClasses

BATCH_ROWS: Final = 5_000
ATTEMPTS_MAX: Final = 8
WAIT_SECONDS_MAX: Final = 30.0
RETRYABLE: Final = (429, 502, 503, 504)
NDJSON: Final = {"Content-Type": "application/x-ndjson"}
NOT_FOUND: Final = 404
UNMATCHED: Final = "waiting"
"""The collector's word for a label that no stored prediction matches yet."""
JOINED: Final = "joined"
EXAMPLES_MAX: Final = 5


@dataclass(frozen=True, slots=True)
class Failure:
    """A row that was not accepted."""

    line: int
    reason: str


@dataclass(slots=True)
class Tally:
    """What became of the rows of one file."""

    results: Counter[str] = field(default_factory=Counter)
    """Accepted rows by the collector's word: joined, waiting, duplicate, superseded…"""
    failed: int = 0
    without_truth: int = 0
    unmatched_ids: list[str] = field(default_factory=list)
    """The first few ids that match no stored prediction."""
    classes: LabelledClasses = field(default_factory=LabelledClasses)
    """Of rows that joined."""

    @property
    def accepted(self) -> int:
        """Rows that the collector took, or would take."""
        return self.results.total()


def push(
    client: Client,
    rows: Iterable[Row],
    *,
    dry_run: bool,
    on_failure: Callable[[Failure], None],
    on_batch: Callable[[int], None],
    wait: Callable[[float], object],
    batch_rows: int = BATCH_ROWS,
) -> Tally:
    """Send all rows; a refused one never takes its neighbours with it.

    Args:
        client: where to.
        rows: as read from the file.
        dry_run: ask what would match, store nothing.
        on_failure: told of every row that was not accepted, in the order they become known.
        on_batch: told how many rows were dealt with.
        wait: waits that many seconds before a retry.
        batch_rows: rows of one request.

    Raises:
        Unreachable: no collector answers, in 8 attempts; what was sent before stays, and
            pushing the file again changes nothing about it.
        ValueError: what answers is no collector's API.
        Refused: the collector refuses the request as a whole.
    """
    tally = Tally()
    answered = False
    path = "/v1/labels?dry_run=true" if dry_run else "/v1/labels"
    for batch in _batches(rows, batch_rows):
        sent = [row for row in batch if row.record is not None]
        for row in batch:
            if row.reason is not None:
                tally.failed += 1
                on_failure(Failure(row.line, row.reason))
        tally.without_truth += sum(1 for row in batch if row.record is None and row.reason is None)
        if sent:
            lines = (json.dumps(row.record, ensure_ascii=False, default=str) for row in sent)
            body = "\n".join(lines).encode("utf-8", "replace")
            answer = _post(client, path, body, wait, patient=answered)
            answered = True
            _keep(tally, sent, answer, on_failure)
        on_batch(len(batch))
    return tally


def _keep(
    tally: Tally, sent: list[Row], answer: Answer, on_failure: Callable[[Failure], None]
) -> None:
    """Add one request's answers; each names the line of the request that it is for."""
    for text in answer.body.splitlines():
        result = json.loads(text)
        row = sent[int(result["line"]) - 1]
        word = str(result["result"])
        if result.get("error"):
            tally.failed += 1
            on_failure(Failure(row.line, str(result["error"])))
            continue
        tally.results[word] += 1
        if word == JOINED and row.record:
            tally.classes.add(row.record)
        if word == UNMATCHED and len(tally.unmatched_ids) < EXAMPLES_MAX and row.record:
            tally.unmatched_ids.append(
                str(row.record.get("prediction_id") or row.record.get("entity_id"))
            )


def _post(
    client: Client, path: str, body: bytes, wait: Callable[[float], object], *, patient: bool
) -> Answer:
    """Post until the collector has an answer; labels are known by their ids, so twice is once.

    `patient`: it has answered before, so that silence means a restart and not a wrong address.
    """
    for attempt in range(ATTEMPTS_MAX):
        last = attempt == ATTEMPTS_MAX - 1
        try:
            answer = client.request("POST", path, body, NDJSON)
        except Unreachable:
            if last or not patient:
                raise
            wait(min(2.0**attempt, WAIT_SECONDS_MAX))
            continue
        if answer.status not in RETRYABLE or last:
            break
        wait(_retry_after(answer, default=2.0**attempt))
    if answer.headers.get("content-type", "").startswith(NDJSON["Content-Type"]):
        return answer  # whatever the status: it says what became of each line
    if answer.status == NOT_FOUND:
        raise ValueError(
            f"{client.api} is not a collector's API: it answers POST {path} with 404; name the api "
            "address that `inferspan serve` shows with --api URL"
        )
    return expect_success(answer)


def _retry_after(answer: Answer, default: float) -> float:
    try:
        seconds = float(answer.headers.get("retry-after", default))
    except ValueError:
        seconds = default  # a date: rare, and not worth a clock
    return min(max(seconds, 0.0), WAIT_SECONDS_MAX)


def _batches(rows: Iterable[Row], size: int) -> Iterator[list[Row]]:
    """Cut a stream of rows into lists of at most `size`."""
    stream = iter(rows)
    while batch := list(itertools.islice(stream, size)):
        yield batch

"""What every receiver does with a request once it is handed on: wait, count."""

from __future__ import annotations

import asyncio
from collections import Counter
from concurrent.futures import CancelledError, Future
from dataclasses import replace
from typing import TypeVar

from inferspan_collector.batches import Decoded, LabelBatch, PredictionBatch, Refusal, StageBatch
from inferspan_collector.receivers.access import INGEST, Rights
from inferspan_collector.receivers.access import LABELS as LABELLING
from inferspan_collector.submission import Overloaded, Stopping
from inferspan_collector.telemetry import (
    ACCEPTED,
    CLOCK_SKEWED,
    IGNORED,
    LABELS,
    MAPPED,
    REFUSED,
    Telemetry,
)

_T = TypeVar("_T")

FORBIDDEN = "forbidden"
_NEED = "need a token with the right `{}`; use one that has it, or add it in auth.tokens"


def permitted(decoded: Decoded, rights: Rights) -> Decoded:
    """What the sender may send of a request; the rest is refused, row by row, as `forbidden`.

    Labels, evaluation events among them, need the right `labels`, predictions `ingest`: whoever may
    send the one must not thereby forge the other.
    """
    if LABELLING not in rights and len(decoded.labels):
        refusal = Refusal("labels", FORBIDDEN, f"labels {_NEED.format(LABELLING)}")
        refused = (*decoded.refused, *(refusal,) * len(decoded.labels))
        decoded = replace(decoded, labels=LabelBatch.empty(), refused=refused)
    if INGEST not in rights and len(decoded.stages):
        # Nobody waits for them: they are said with the predictions that they are of.
        ignored = decoded.ignored + len(decoded.stages)
        decoded = replace(decoded, stages=StageBatch.empty(), ignored=ignored)
    if INGEST not in rights and len(decoded.predictions):
        refusal = Refusal("predictions", FORBIDDEN, f"predictions {_NEED.format(INGEST)}")
        refused = (*decoded.refused, *(refusal,) * len(decoded.predictions))
        # Without their other names, too: the first that a span is given stands.
        decoded = replace(
            decoded,
            predictions=PredictionBatch.empty(),
            named=None,
            slim_records=0,
            refused=refused,
        )
    return decoded


async def committed(future: Future[_T]) -> _T:
    """Wait for a commit in an event loop.

    Raises:
        Overloaded: the pipeline gave the request up because it is stopping; or as the future ends.
    """
    if future.done():
        return outcome(future)
    try:
        # Shielded: a request that is cancelled must not cancel the commit it waits for.
        return await asyncio.shield(asyncio.wrap_future(future))
    except asyncio.CancelledError:
        if not future.cancelled():
            raise
        raise Stopping() from None


def outcome(future: Future[_T]) -> _T:
    """What became of a commit that has ended; raises as `committed`."""
    if future.cancelled():
        raise Stopping()
    return future.result()


def committed_within(future: Future[_T], seconds: float) -> _T:
    """Wait for a commit in a thread, at most so long.

    Raises:
        Overloaded: no commit within that time, which does not say that there will be none; the
            pipeline gave the request up because it is stopping; or as the future ends.
    """
    try:
        return future.result(seconds)
    except TimeoutError:
        raise Overloaded(
            f"not stored within {seconds:.3g} s; send this again", reason="commit_slow"
        ) from None
    except CancelledError:
        raise Stopping() from None


def count(decoded: Decoded, telemetry: Telemetry, transport: str) -> None:
    """Count what a request held, once it is committed: a retry must not count it twice."""
    telemetry.add(ACCEPTED, len(decoded.predictions), signal="predictions", transport=transport)
    telemetry.add(ACCEPTED, decoded.slim_records, signal="slim_records", transport=transport)
    telemetry.add(ACCEPTED, len(decoded.labels), signal="labels", transport=transport)
    telemetry.add(ACCEPTED, len(decoded.stages), signal="stages", transport=transport)
    telemetry.add(IGNORED, decoded.ignored, transport=transport)
    for mapping, n in decoded.mapped.items():
        telemetry.add(MAPPED, n, mapping=mapping)
    telemetry.add(CLOCK_SKEWED, decoded.clock_skewed, transport=transport)
    if not decoded.refused:
        return
    reasons = Counter((refusal.signal, refusal.reason) for refusal in decoded.refused)
    for (signal, reason), n in reasons.items():
        telemetry.add(REFUSED, n, signal=signal, transport=transport, reason=reason)
        if signal == "labels":
            telemetry.add(LABELS, n, result="invalid")

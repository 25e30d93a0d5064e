"""inferspan's collector: whether it is ready, what it refused, how full it is."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Final

from inferspan_collector.cli.client import Client, Refused, Unreachable, expect_success
from inferspan_collector.cli.doctor import losses
from inferspan_collector.cli.doctor.asking import Samples, samples, total
from inferspan_collector.cli.doctor.finding import Finding, right, unknown, wrong
from inferspan_collector.health_limits import DISK_FREE_BYTES_MIN, FULL_SHARE, MEANT_TO_FILL

PART: Final = "collector"
SERIES_MAX: Final = 10_000
"""Series of one scrape; each costs Prometheus some kilobytes."""
_NAMED_MAX: Final = 5
_REJECTED: Final = "inferspan_published_evaluations"


def examine(client: Client, model: str | None = None) -> Iterator[Finding]:
    """Ask whether it is ready, then for its own metrics.

    Args:
        client: of its API.
        model: whose labels are asked about; None = every model's.
    """
    try:
        ready = client.request("GET", "/readyz")
        if ready.status != 200:
            said = json.loads(ready.body).get("detail", "") if ready.body else ""
            yield wrong(
                PART,
                "/readyz",
                f"HTTP {ready.status} {said:.200}",
                "HTTP 200",
                "wait, or look in its log",
            )
        else:
            yield right(PART, "/readyz", f"ready at {client.api}")
        text = expect_success(client.request("GET", "/metrics")).body.decode("utf-8", "replace")
    except Unreachable as error:
        yield wrong(PART, "api", str(error), "an answer", "start it, or name it with --api URL")
        return
    except Refused as error:
        fix = "give a token with the right `read`: --token-file FILE"
        yield wrong(PART, "/metrics", str(error), "HTTP 200", fix)
        return
    except ValueError:
        yield wrong(PART, "api", "no JSON", "inferspan's API", "name it with --api URL (4319)")
        return
    found = samples(text)
    if "inferspan_accepted_records" not in found and "inferspan_store_bytes" not in found:
        yield wrong(
            PART, "/metrics", "no series of inferspan's", "inferspan_…", "name its API with --api"
        )
        return
    yield from _received(found)
    yield from _waiting(found, model)
    yield from losses.examine(PART, found)
    yield from _room(found)
    yield from _evaluations(found)
    series = sum(len(each) for each in found.values())
    if series > SERIES_MAX:
        yield wrong(
            PART, "series on /metrics", f"{series:,}", f"at most {SERIES_MAX:,}",
            "lower limits.classes, or scrape less often: each costs Prometheus memory",
        )  # fmt: skip
    else:
        yield right(PART, "series on /metrics", f"{series:,}, each leaves with its model")


def _received(found: Samples) -> Iterator[Finding]:
    predictions = total(found, "inferspan_accepted_records", signal="predictions")
    others = total(found, "inferspan_ignored_spans")
    before = total(found, "inferspan_stored_predictions")
    if predictions:
        yield right(PART, "predictions", f"{predictions:,.0f} taken since it started")
    elif others and not before:
        yield wrong(
            PART, "predictions", f"none among {others:,.0f} spans", "spans of inferspan's, or ones "
            "that a mapping knows", "read those of other SDKs and servers: mappings: [gen_ai, …], "
            "docs/bring-your-own-spans.md; or decorate the call with inferspan.predict",
        )  # fmt: skip
    else:
        held = f", {before:,.0f} of before" if before else ""
        yield unknown(PART, "predictions", f"none since it started{held}", "see `sender`")
    labels = total(found, "inferspan_accepted_records", signal="labels")
    if labels:
        yield right(PART, "labels", f"{labels:,.0f} taken since it started")
    else:
        yield unknown(PART, "labels", "none since it started")


def _waiting(found: Samples, asked: str | None) -> Iterator[Finding]:
    """Labels without a prediction: wrong of the model that is asked about, else worth a look."""
    name = "inferspan_join_pending"
    waiting = {labels.get("model", ""): n for labels, n in found.get(name, []) if n}
    concerned = waiting if asked is None else {asked: waiting.pop(asked, 0.0)}
    if sum(concerned.values()):
        yield wrong(
            PART, name, _labels_of(concerned), "0",
            "their id, model, environment or version matches no prediction: compare one with "
            "`…/predictions`; is INFERSPAN_ID_KEY set on one side only?",
        )  # fmt: skip
    else:
        of = "" if asked is None else f" of {asked}"
        yield right(PART, name, f"every label{of} has its prediction")
    if waiting and asked is not None:
        yield unknown(
            PART, f"{name} of others", _labels_of(waiting),
            f"where these are labels of {asked}, send them with model={asked}",
        )  # fmt: skip


def _labels_of(waiting: Mapping[str, float]) -> str:
    """`1 label waits: 1 of fraud`, the models with most labels first."""
    most = sorted(waiting.items(), key=lambda each: (-each[1], each[0]))
    named = [f"{n:,.0f} of {model or 'no model'}" for model, n in most[:_NAMED_MAX]]
    if len(most) > _NAMED_MAX:
        named.append(f"more of {len(most) - _NAMED_MAX} other models")
    total_n = sum(waiting.values())
    return f"{total_n:,.0f} {'label waits' if total_n == 1 else 'labels wait'}: {', '.join(named)}"


def _room(found: Samples) -> Iterator[Finding]:
    held = {labels["part"]: value for labels, value in found.get("inferspan_held_bytes", [])}
    limits = {
        labels["part"]: value for labels, value in found.get("inferspan_held_bytes_limit", [])
    }
    full = [
        part
        for part, limit in limits.items()
        if part not in MEANT_TO_FILL and held.get(part, 0) > FULL_SHARE * limit
    ]
    for part in full:
        yield wrong(
            PART, f"inferspan_held_bytes {part}",
            f"{held[part]:,.0f} of {limits[part]:,.0f}", f"below {FULL_SHARE:.0%}",
            "the store does not keep up; see /metrics inferspan_stage_seconds_total",
        )  # fmt: skip
    if not full:
        used = sum(held.values())
        yield right(PART, "memory", f"{_megabytes(used)} held, every part within its limit")
    free = total(found, "inferspan_store_disk_free_bytes")
    if free < DISK_FREE_BYTES_MIN:
        yield wrong(
            PART, "inferspan_store_disk_free_bytes", f"{free / 1e9:.2f} GB",
            f"{DISK_FREE_BYTES_MIN / 1e9:g} GB or more",
            "make room: a full disk refuses everything",
        )  # fmt: skip
    else:
        yield right(PART, "disk", f"{free / 1e9:,.0f} GB free")


def _megabytes(held: float) -> str:
    return f"{held / 1e6:,.0f} MB" if held >= 1e6 else "less than 1 MB"


def _evaluations(found: Samples) -> Iterator[Finding]:
    rejected = total(found, _REJECTED, result="rejected")
    tried = total(found, _REJECTED, result="error")
    sent = total(found, _REJECTED, result="ok")
    if rejected or (tried and not sent):
        yield wrong(
            PART, _REJECTED, f"{rejected:,.0f} rejected, {tried:,.0f} to be tried again", "0",
            "jaeger.otlp names Jaeger's OTLP/HTTP endpoint (collector/jaeger/jaeger.yaml: 14318)",
        )  # fmt: skip
    elif sent:
        yield right(PART, "evaluation spans", f"{sent:,.0f} sent to Jaeger")
    elif _REJECTED in found:
        yield right(PART, "evaluation spans", "jaeger.otlp is set, nothing to send yet")
    else:
        yield unknown(
            PART, "evaluation spans", "none sent", "to see accuracy in Jaeger: jaeger.otlp"
        )

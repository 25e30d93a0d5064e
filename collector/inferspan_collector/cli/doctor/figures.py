"""What each figure of a model needs, and whether it is there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import quote

from inferspan_collector.cli.client import Client, Refused, Unreachable
from inferspan_collector.cli.doctor.finding import Finding, right, unknown, wrong
from inferspan_collector.cli.printable import quoted
from inferspan_collector.health_limits import MONITOR_SECONDS

PART: Final = "figures"
_SETTLED_MIN: Final = 0.5
_NO_CHANCE: Final = 10
"""A model that is right every second time errs so often in a row once in a thousand times."""


def examine(client: Client, model: str) -> Iterator[Finding]:
    """Every figure of the model: its value, or what it needs.

    The reasons are the API's own, each with its remedy.
    """
    base = f"/api/v1/models/{quote(model, safe='')}"
    try:
        windows = client.get(f"{base}/quality", every="all")["windows"]
        estimates = client.get(f"{base}/estimates", every="all")
        drift = client.get(f"{base}/drift", every="all")
        axes = {each["model"]: each["time_axis"] for each in client.get("/api/v1/models")}
    except Unreachable:
        return  # `collector` says so
    except Refused as error:
        yield wrong(PART, model, str(error), "a model that sends predictions", "see `sender`")
        return
    if not windows:
        yield wrong(PART, model, "no prediction", "one or more", "see `sender`")
        return
    yield from _labels(windows[0], estimates)
    yield from _axis(axes.get(model), model, estimates["label_lag"]["p50"] or 0.0)
    yield from _spellings(windows[0], model)
    for name, figure in windows[0]["metrics"].items():
        yield _figure(name, figure, model)
    yield from _estimated(estimates)
    features = [name for name in drift["columns"] if name.startswith("feature.")]
    if features:
        yield right(PART, "drift of features", ", ".join(sorted(features)))
    else:
        yield unknown(
            PART, "drift of features", "none are recorded",
            "declare them: features=… of inferspan.predict, inferspan.instrument or "
            "INFERSPAN_INSTRUMENT; if they are, the SDK's log says why they were left out",
        )  # fmt: skip
    if windows[0]["latency"].get("objective") is None:
        yield unknown(PART, "latency objective", "none", f"set models.{model}.latency_objective_ms")


def _figure(name: str, figure: Mapping[str, Any], model: str) -> Finding:
    if figure["value"] is None:
        seen, _, fix = str(figure["reason"]).partition(";")
        return unknown(PART, name, seen, fix.strip())
    few = "" if figure.get("known", True) else f", fewer than models.{model}.minimum_n"
    return right(PART, name, f"{figure['value']:.6g} of {figure['n']:,}{few}")


def _labels(window: Mapping[str, Any], estimates: Mapping[str, Any]) -> Iterator[Finding]:
    n, labelled = window["predictions"], window["labeled"]
    if not labelled:
        yield wrong(
            PART, "labels", f"none of {n:,} predictions has one", "one or more",
            "send them: inferspan.label(prediction_id, truth), or `inferspan labels push`",
        )  # fmt: skip
        return
    yield right(PART, "labels", f"{labelled:,} of {n:,} predictions ({labelled / n:.1%})")
    whole = estimates["windows"]
    settled = whole[0]["settled"] if whole else None
    if settled is not None and settled < _SETTLED_MIN:
        yield unknown(
            PART, "settled", f"{settled:.0%} of the truth should be there by now",
            "wait, or look at the estimates",
        )  # fmt: skip


def _axis(axis: str | None, model: str, lag_seconds: float) -> Iterator[Finding]:
    """Where Jaeger's tab Monitor shows the model, and whether labels are in time for it."""
    if axis == "label_arrival":
        yield right(PART, "Jaeger's Monitor", f"{model} stands where its labels come")
    elif lag_seconds > MONITOR_SECONDS:
        yield unknown(
            PART, "Jaeger's Monitor",
            f"half of the labels take {lag_seconds / 86_400:.1f} days; it looks back two",
            f"set models.{model}.time_axis: label_arrival, and it shows them when they come",
        )  # fmt: skip
    elif axis is not None:
        yield right(
            PART, "Jaeger's Monitor", f"a Jaeger shows {model} where its predictions were made"
        )


def _spellings(window: Mapping[str, Any], model: str) -> Iterator[Finding]:
    """Classes that labels name and no prediction does: a rare class, or another spelling."""
    confusion = window.get("confusion") or {"classes": [], "actual_by_predicted": []}
    classes, matrix = confusion["classes"], confusion["actual_by_predicted"]
    actual = [name for name, row in zip(classes, matrix, strict=True) if sum(row)]
    said = [name for name, n in zip(classes, map(sum, zip(*matrix, strict=True)), strict=True) if n]
    never = [name for name in actual if name not in said]
    if not never or not said:
        return
    name, seen = "classes of labels", f"labels say {quoted(never)}, which no prediction says"
    fix = f"send what it says, or set models.{model}.class_aliases"
    if len(never) == len(actual) and window["labeled"] >= _NO_CHANCE:
        # No label names a class of the model's: all of it is judged wrong.
        yield wrong(PART, name, seen, f"what {model} says: {quoted(said)}", fix)
    else:
        fix = f"{model} says {quoted(said)}; if it is another spelling, {fix}"
        yield unknown(PART, name, seen, fix)


def _estimated(estimates: Mapping[str, Any]) -> Iterator[Finding]:
    if estimates["method"] is None:
        seen, _, fix = str(estimates["reason"]).partition(";")
        yield unknown(PART, "estimates without labels", seen, fix.strip())
        return
    reference = estimates["reference"]
    yield right(
        PART, "estimates without labels",
        f"{estimates['method']}, learnt from {reference['learnt_from']:,} rows of the reference "
        f"({reference['source']})",
    )  # fmt: skip

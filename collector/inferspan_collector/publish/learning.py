"""Thresholds of quality figures, learnt from the windows of a reference, and who is outside of
them.

Works on windows as the API shows them, so that whatever figure there is has its thresholds too.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import cache, lru_cache
from typing import Any, Final

import numpy as np

from inferspan_collector.config import Model
from inferspan_collector.drift.counts import Float64
from inferspan_collector.drift.thresholds import NO_THRESHOLDS, Thresholds, learnt
from inferspan_collector.publish import known_baselines
from inferspan_collector.publish.known_baselines import KnownBaseline
from inferspan_collector.publish.parameters import minute, rfc3339
from inferspan_collector.quality import names
from inferspan_collector.quality.ranges import range_of
from inferspan_collector.quality.short_names import SHORT_NAMES
from inferspan_collector.store.cells import MINUTE_NS
from inferspan_collector.store.reader import Reader

MINUTES_PARAMETERS: Final = ("reference_from", "reference_to")
PARAMETERS: Final = (*MINUTES_PARAMETERS, known_baselines.PARAMETER)


def reference_minutes(
    values: Mapping[str, str], section: Model
) -> tuple[int | None, int | None] | None:
    """From and to of the reference, Unix minutes, as asked or configured; None without one.

    Raises:
        BadParameter: a time is none.
    """
    if any(name in values for name in MINUTES_PARAMETERS):
        start, end = (minute(values, name) for name in MINUTES_PARAMETERS)
        return start, end
    configured = section.reference
    if configured.since is None and configured.until is None:
        return None
    ends = (configured.since, configured.until)
    start, end = (None if time is None else int(time.timestamp()) // 60 for time in ends)
    return start, end


def thresholds(reference: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Thresholds]]:
    """Group (as JSON) → figure → thresholds, of the windows of a reference."""
    figures: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for window in reference:
        mine = figures[_group(window)]
        for name, figure in window["metrics"].items():
            if figure["value"] is not None:
                mine[name].append(figure["value"])
    return {
        group: {name: _learnt(name, values) for name, values in named.items()}
        for group, named in figures.items()
    }


def constants(section: Model) -> dict[str, Thresholds]:
    """The configured thresholds, by figure, both names of an error meaning the same; of drift
    figures also by `<column>.<figure>`.
    """
    found = {name: Thresholds(each.lower, each.upper) for name, each in section.thresholds.items()}
    for long, short in SHORT_NAMES.items():
        either = found.get(long) or found.get(short)
        if either is not None:
            found[long] = found.get(long, either)
            found[short] = found.get(short, either)
    return found


def constants_of(section: Model, column: str) -> dict[str, Thresholds]:
    """Those of the drift of one column; what is said of it goes before what is said of all."""
    said = constants(section)
    own = f"{column}."
    return said | {
        name.removeprefix(own): each for name, each in said.items() if name.startswith(own)
    }


def baselines(
    reader: Reader,
    values: Mapping[str, str],
    model: str,
    target: str,
    windows: Sequence[Mapping[str, Any]],
) -> dict[str, KnownBaseline]:
    """Group (as JSON) → the baseline that it is measured against, where there is one.

    Groups of a version have that version's; {} where a reference in time is asked for.

    Raises:
        BadParameter: one is named that there is not.
    """
    if any(name in values for name in MINUTES_PARAMETERS):
        return {}
    asked = values.get("version")
    # Once a version: there are many groups of one where slices are asked for.
    known = {
        version: known_baselines.chosen(reader, values, model, target, version)
        for version in {window["group"].get("version", asked) for window in windows}
    }
    if not any(known.values()):
        return {}
    versions = {_group(window): window["group"].get("version", asked) for window in windows}
    return {
        group: baseline
        for group, version in versions.items()
        if (baseline := known[version]) is not None
    }


def judged(
    windows: Sequence[dict[str, Any]],
    values: Mapping[str, str],
    section: Model,
    known: Mapping[str, KnownBaseline],
    then: Callable[[int | None, int | None], Sequence[dict[str, Any]]],
) -> dict[str, Any]:
    """`reference` of an answer, {} without one; its windows get thresholds and alerts.

    Args:
        windows: of the answer, as JSON; changed where there are thresholds.
        values: the question's parameters.
        section: the model's configuration.
        known: as `baselines` gives them.
        then: the windows of a reference in time, of its first minute and the minute after it.

    Raises:
        BadParameter: a time is none.
    """
    reference = reference_minutes(values, section)
    if known:
        return against_baselines(windows, known, section)
    if reference is not None:
        before = then(*reference)
        add_alerts(windows, thresholds(before), section)
        return {"reference": reference_json(reference, len(before))}
    if section.thresholds:
        add_alerts(windows, {}, section)
    return {}


def against_baselines(
    windows: Sequence[dict[str, Any]], known: Mapping[str, KnownBaseline], section: Model
) -> dict[str, Any]:
    """`reference` of an answer that is measured against baselines; its windows get alerts."""
    limits = {
        group: {
            shown: _learnt(name, each.figures[name])
            for name in each.figures
            for shown in {name, SHORT_NAMES.get(name, name)}
        }
        for group, each in known.items()
    }
    distinct = {each.head.number: each for each in known.values()}
    add_alerts(windows, limits, section)
    baselines_json = [each.json() for _, each in sorted(distinct.items())]
    return {"reference": {"source": "baseline", "baselines": baselines_json}}


def add_alerts(
    windows: Sequence[dict[str, Any]],
    found: Mapping[str, Mapping[str, Thresholds]],
    section: Model,
) -> None:
    """Say of each figure of some windows its two thresholds, and whether it is outside of them.

    Args:
        windows: as JSON; their figures are changed, of which there are very many.
        found: group (as JSON) → figure → what was learnt.
        section: the model's configuration; its constants go before what was learnt.
    """
    said = constants(section)
    for window in windows:
        learnt_here = found.get(_group(window), {})
        for name, figure in window["metrics"].items():
            limits = said.get(name) or learnt_here.get(name) or NO_THRESHOLDS
            value = figure["value"]
            figure["lower_threshold"], figure["upper_threshold"] = limits.low, limits.high
            # What rests on too few rows is not known, so it is not known to be outside either.
            known = value is not None and figure.get("known", True)
            figure["alert"] = known and limits.outside(value)


def reference_json(minutes: tuple[int | None, int | None], windows: int) -> dict[str, Any]:
    """What the answer says of the reference."""
    start, end = (None if m is None else rfc3339(m * MINUTE_NS) for m in minutes)
    return {"from": start, "to": end, "windows": windows}


def _learnt(name: str, values: Sequence[float] | Float64) -> Thresholds:
    # Of a team's own figures nothing is known.
    least, greatest = range_of(name) if name in _ours() else (None, None)
    return learnt(np.array(values), least=least, greatest=greatest)


@cache
def _ours() -> frozenset[str]:
    return names() | frozenset(SHORT_NAMES.values())


def _group(window: Mapping[str, Any]) -> str:
    return _as_json(tuple(window["group"].items()))


@lru_cache(maxsize=8_192)
def _as_json(group: tuple[tuple[str, str | None], ...]) -> str:
    return json.dumps(dict(group), sort_keys=True)

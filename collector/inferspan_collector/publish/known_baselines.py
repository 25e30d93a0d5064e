"""Baselines of the store, made ready for questions, and which of them a question is about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np

from inferspan_collector.baselines import document
from inferspan_collector.baselines.document import Baseline
from inferspan_collector.baselines.fits import foresight_of
from inferspan_collector.baselines.frozen_columns import reference_of
from inferspan_collector.drift.counts import Float64
from inferspan_collector.drift.passes import Reference
from inferspan_collector.estimates.foresight import Foresight
from inferspan_collector.last_used import LastUsed
from inferspan_collector.publish.parameters import BadParameter, rfc3339
from inferspan_collector.store.baselines import Head
from inferspan_collector.store.reader import Reader

PARAMETER: Final = "reference_baseline"
NONE: Final = "none"
READY_MAX: Final = 16
"""Baselines that are kept ready, each of some megabytes at most."""


@dataclass(frozen=True)
class KnownBaseline:
    """A baseline, and what questions need of it, made once."""

    head: Head
    content: Baseline

    @cached_property
    def columns(self) -> Mapping[str, Reference]:
        """What drift is measured against, by column."""
        return {name: reference_of(column) for name, column in self.content.columns.items()}

    @cached_property
    def foresight(self) -> Foresight:
        """What estimates are made with."""
        return foresight_of(self.content.estimates)

    @property
    def truths(self) -> dict[str, Float64]:
        """Estimated figure → what was true of each window of the file."""
        return {name: _numbers(each) for name, each in self.content.estimates.windows.items()}

    @property
    def figures(self) -> dict[str, Float64]:
        """Figure → its value in each window of the file."""
        return {name: _numbers(figure.windows) for name, figure in self.content.figures.items()}

    def json(self) -> dict[str, Any]:
        """What answers say of it, its offline figures included."""
        return {
            "number": self.head.number,
            "received": rfc3339(self.head.received),
            **document.shown(self.content),
        }


def chosen(
    reader: Reader, values: Mapping[str, str], model: str, target: str, version: str | None
) -> KnownBaseline | None:
    """The baseline of a question: the one it names, else the newest that fits its version.

    Args:
        reader: the store.
        values: the question's parameters.
        model: its model.
        target: which truth it is about.
        version: the only version that it is about, if so: then that version's, else one of any
            version.

    Raises:
        BadParameter: it names one that there is not.
    """
    asked = values.get(PARAMETER)
    if asked == NONE:
        return None
    heads = reader.baselines(model)
    if asked is not None:
        found = [head for head in heads if str(head.number) == asked]
        if not found:
            known = ", ".join(str(head.number) for head in heads) or "none"
            raise BadParameter(
                PARAMETER, asked, f"no such baseline of {model}; known: {known}",
                f"name one of those, or {NONE}",
            )  # fmt: skip
    else:
        mine = [head for head in heads if head.target == target]
        found = mine if version is None else [h for h in mine if h.version == version]
        found = found or [head for head in mine if head.version is None]
    return ready(reader, found[0]) if found else None


def ready(reader: Reader, head: Head) -> KnownBaseline | None:
    """The baseline of a head; None where it has left meanwhile."""
    text = reader.baseline(head.number)
    if text is None:
        return None
    known = _READY.get((head, text))
    if known is None:
        # Made twice where two ask for a new one at once: some milliseconds.
        known = KnownBaseline(head, document.parsed(text))
        _READY.put((head, text), known)
    return known


_READY: Final[LastUsed[tuple[Head, str], KnownBaseline]] = LastUsed(READY_MAX)
"""Known by all that they hold: there are other stores."""


def _numbers(values: tuple[float | None, ...]) -> Float64:
    return np.array([np.nan if value is None else value for value in values], np.float64)

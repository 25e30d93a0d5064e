"""What a load is made of: which predictions and labels, in which order, at which pace."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal, Protocol

import numpy as np

from ingest.bodies import PER_REQUEST, Times, UInt64

LABELLED_EVERY: Final = 2
"""Every second prediction gets a label."""
TURN: Final = PER_REQUEST * LABELLED_EVERY
"""Predictions between two requests of labels."""
TURN_SPANS: Final = TURN + PER_REQUEST
LAG_TURNS: Final = 12
"""Labels come so many turns after their predictions: more than are under way at once, so that
most labels find their prediction and a few come first, as they do."""

DRAWS: Final = 16
"""Loads of scattered labels that one range of predictions is good for."""

Transport = Literal["http", "grpc"]


@dataclass(frozen=True, slots=True)
class Batch:
    """What one request holds."""

    kind: Literal["predictions", "labels"]
    numbers: UInt64


class Batches(Protocol):
    """Batches in the order in which they are sent; the same each time."""

    @property
    def predictions(self) -> int:
        """How many, all together."""

    @property
    def spans(self) -> int:
        """Predictions and labels."""

    def __iter__(self) -> Iterator[Batch]:
        """Make them."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """Predictions, half of them labelled: two requests of predictions, one of labels, and so on.

    Args:
        first: number of the first prediction.
        turns: how many times three requests.
    """

    first: int
    turns: int

    def __iter__(self) -> Iterator[Batch]:
        """The last labels follow at the end, so that every load leaves none waiting."""
        span = np.arange(PER_REQUEST, dtype=np.uint64)
        for turn in range(self.turns + LAG_TURNS):
            begin = self.first + turn * TURN
            if turn < self.turns:
                yield Batch("predictions", np.uint64(begin) + span)
                yield Batch("predictions", np.uint64(begin + PER_REQUEST) + span)
            if turn >= LAG_TURNS:
                labelled = span * np.uint64(LABELLED_EVERY)
                yield Batch("labels", np.uint64(begin - LAG_TURNS * TURN) + labelled)

    @property
    def predictions(self) -> int:
        return self.turns * TURN

    @property
    def spans(self) -> int:
        return self.predictions + self.predictions // LABELLED_EVERY


@dataclass(frozen=True, slots=True)
class Unlabelled:
    """Predictions alone."""

    first: int
    requests: int

    def __iter__(self) -> Iterator[Batch]:
        span = np.arange(PER_REQUEST, dtype=np.uint64)
        for request in range(self.requests):
            yield Batch("predictions", np.uint64(self.first + request * PER_REQUEST) + span)

    @property
    def predictions(self) -> int:
        return self.requests * PER_REQUEST

    @property
    def spans(self) -> int:
        return self.predictions


@dataclass(frozen=True, slots=True)
class Scattered:
    """Labels of predictions that came at any time before, two requests of new ones before each.

    Every such load draws from a residue class of its own, so that none labels twice.

    Args:
        first: number of the first new prediction.
        turns: how many times three requests; `alone`: one request each.
        labelled: the range of numbers that are drawn from.
        draw: which residue class, below `DRAWS`.
        alone: labels only.
    """

    first: int
    turns: int
    labelled: range
    draw: int
    alone: bool = False

    def __iter__(self) -> Iterator[Batch]:
        candidates = self.labelled[self.draw :: DRAWS]
        chance = np.random.default_rng(self.draw)
        drawn = chance.choice(len(candidates), self.turns * PER_REQUEST, replace=False)
        numbers = (candidates.start + drawn * candidates.step).astype(np.uint64)
        span = np.arange(PER_REQUEST, dtype=np.uint64)
        for turn, labelled in enumerate(numbers.reshape(-1, PER_REQUEST)):
            if not self.alone:
                begin = self.first + turn * TURN
                yield Batch("predictions", np.uint64(begin) + span)
                yield Batch("predictions", np.uint64(begin + PER_REQUEST) + span)
            yield Batch("labels", labelled)

    @property
    def predictions(self) -> int:
        return 0 if self.alone else self.turns * TURN

    @property
    def spans(self) -> int:
        return self.predictions + self.turns * PER_REQUEST


@dataclass(frozen=True, slots=True)
class Load:
    """Requests to send.

    Args:
        batches: what they hold.
        times: when the predictions happened.
        transport: how they are sent.
        gzip: whether they are compressed, as exporters do it.
        spans_per_second: the pace; None = as fast as they are answered.
        features: whether predictions declare 25 features.
    """

    batches: Batches
    times: Times
    transport: Transport = "http"
    gzip: bool = False
    spans_per_second: float | None = None
    features: bool = False

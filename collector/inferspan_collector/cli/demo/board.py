"""What the collector knows right now about the demo's model, as the live table shows it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from inferspan_collector.cli.client import Client, Refused
from inferspan_collector.cli.demo.clinic import Plan
from inferspan_collector.cli.demo.names import HOSPITAL_SLICE, HOSPITALS, MODEL

NOT_FOUND = 404
MISTAKES_SHOWN = 4
LABELLED_MIN = 20
"""Fewer labelled predictions tell nothing of a fall."""
RECENT_SHARE = 0.2
"""`now` is the last fifth of the clinic's time."""


@dataclass(frozen=True, slots=True)
class Accuracy:
    """A share of right answers with its 95 % interval and the labelled predictions behind it."""

    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True, slots=True)
class Hospital:
    """One line of the table. Latencies in seconds, None before the first prediction."""

    name: str
    predictions: int = 0
    labelled: int = 0
    errors: int = 0
    p50: float | None = None
    p95: float | None = None
    before: Accuracy | None = None
    now: Accuracy | None = None

    @property
    def fell(self) -> bool:
        """Whether the intervals do not meet, and enough is labelled to say so."""
        if self.before is None or self.now is None or self.now.n < LABELLED_MIN:
            return False
        return self.now.high < self.before.low


@dataclass(frozen=True, slots=True)
class Mistake:
    """A wrong prediction and the trace it can be seen in."""

    trace_id: str
    hospital: str
    predicted: str
    expected: str


@dataclass(frozen=True, slots=True)
class Expected:
    """What is to be expected of all hospitals since the change, beside what was true before."""

    before: Accuracy
    """True, `n` labelled predictions."""
    now: Accuracy
    """Estimated, of `n` predictions."""
    labelled: int
    """How many of these have a label."""

    @property
    def fell(self) -> bool:
        """Whether the intervals do not meet."""
        return self.now.high < self.before.low


@dataclass(frozen=True, slots=True)
class Board:
    """The whole table."""

    hospitals: tuple[Hospital, ...] = tuple(Hospital(name) for name in HOSPITALS)
    mistakes: tuple[Mistake, ...] = ()
    recent_minutes: int = 0
    """The newest minutes of the clinic that each hospital's `now` is over."""

    expected: Expected | None = None
    """None before the change, after the fix, and where too little is labelled to learn from."""

    @property
    def predictions(self) -> int:
        """Of all hospitals."""
        return sum(hospital.predictions for hospital in self.hospitals)

    @property
    def labelled(self) -> int:
        """Of all hospitals."""
        return sum(hospital.labelled for hospital in self.hospitals)


def look(
    client: Client,
    plan: Plan,
    environment: str,
    start_minute: int,
    minute: int,
    *,
    expecting: bool = True,
) -> Board:
    """Ask the collector.

    Args:
        client: its API.
        plan: when what changes.
        environment: the demo's.
        start_minute: the clinic's minute 0, as a Unix minute.
        minute: the clinic's minute that is being served, from 0.
        expecting: whether to ask what is to be expected, which takes longest.

    Raises:
        Unreachable: the collector does not answer.
        Refused: it answers with an error.
    """

    def windows(start: int | None, end: int | None) -> dict[str, dict[str, Any]]:
        found = client.quality(
            MODEL,
            **{
                "every": "all",
                "by": HOSPITAL_SLICE,
                "environment": environment,
                "from": None if start is None else (start_minute + start) * 60,
                "to": None if end is None else (start_minute + end) * 60,
            },
        )
        return {str(window["group"][HOSPITAL_SLICE]): window for window in found}

    try:
        act = max((m for m in (0, plan.change_minute, plan.fix_minute) if m <= minute), default=0)
        recent_start = max(act, minute - round(plan.minutes * RECENT_SHARE))
        recent = windows(recent_start, minute + 1)
        before = windows(0, plan.change_minute) if minute >= plan.change_minute else {}
        # Asked after its parts, for it grows meanwhile: no part shows more labels than the whole.
        everything = windows(None, None)
        expecting = expecting and plan.change_minute <= minute < plan.fix_minute
        expected = _expected(client, plan, environment, start_minute) if expecting else None
        mistakes = client.predictions(
            MODEL, outcome="incorrect", environment=environment, limit=MISTAKES_SHOWN
        )
    except Refused as error:
        if error.status == NOT_FOUND:
            return Board()  # no prediction has arrived yet
        raise
    return Board(
        tuple(
            _hospital(name, everything.get(name), recent.get(name), before.get(name))
            for name in HOSPITALS
        ),
        tuple(
            Mistake(
                trace_id=row["trace_id"],
                hospital=str(row["slices"].get("hospital", "")),
                predicted=str(row["predicted"]),
                expected=str(row["expected"]),
            )
            for row in mistakes
        ),
        minute + 1 - recent_start,
        expected,
    )


def _expected(client: Client, plan: Plan, environment: str, start_minute: int) -> Expected | None:
    """The accuracy to expect of what was predicted since the change, none of its labels used."""
    change = (start_minute + plan.change_minute) * 60
    asked = {"from": change, "to": (start_minute + plan.fix_minute) * 60, "reference_to": change}
    path = f"/api/v1/models/{MODEL}/estimates"
    answer = client.get(path, every="all", environment=environment, **asked)
    before = client.quality(MODEL, every="all", environment=environment, to=change)
    if answer["method"] is None or not answer["windows"] or not before:
        return None
    window, true = answer["windows"][0], accuracy_of(before[0])
    figure = window["metrics"]["accuracy"]["estimated"]
    if figure["value"] is None or true is None:
        return None
    now = Accuracy(figure["value"], figure["low"], figure["high"], figure["n"])
    return Expected(true, now, round((window["coverage"] or 0.0) * window["predictions"]))


def _hospital(
    name: str,
    everything: dict[str, Any] | None,
    recent: dict[str, Any] | None,
    before: dict[str, Any] | None,
) -> Hospital:
    if everything is None:
        return Hospital(name)
    return Hospital(
        name,
        predictions=everything["predictions"],
        labelled=everything["labeled"],
        errors=everything["errors"],
        p50=everything["latency"]["p50"],
        p95=everything["latency"]["p95"],
        before=accuracy_of(before),
        now=accuracy_of(recent),
    )


def accuracy_of(window: dict[str, Any] | None) -> Accuracy | None:
    """A window's accuracy; None where nothing in it is labelled."""
    if window is None:
        return None
    figure = window["metrics"]["accuracy"]
    if figure["value"] is None:
        return None
    return Accuracy(figure["value"], figure["low"], figure["high"], figure["n"])

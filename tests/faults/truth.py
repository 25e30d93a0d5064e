"""What the figures must be: a model of the promise in memory, and the same as the API tells it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

API_SECONDS = 60.0
ROWS_MAX = 1_000
"""What one answer of the API lists: tests ask for no more under one version."""

Key = tuple[str, str]
"""(version, prediction id)."""
Row = tuple[str | None, str | None]
"""(predicted, expected); expected is None while there is no label, or a withdrawn one."""


@dataclass(frozen=True)
class Prediction:
    """One span of a prediction. The same again is a retry; another span of its key competes."""

    key: Key
    predicted: str
    ids: tuple[bytes, bytes]
    """Trace and span id."""
    time_ns: int
    kind: int = 1

    @property
    def standing(self) -> tuple[object, ...]:
        """Of the spans of one key the greatest counts: a client's last, then the later event."""
        return (self.kind != 3, self.time_ns, *self.ids)


@dataclass(frozen=True)
class Label:
    """One record of a label; `actual` None withdraws."""

    label_id: str
    prediction_id: str
    actual: str | None
    time_ns: int
    revision: int = 0
    version: str | None = None
    source: str | None = None
    target: str = "default"


@dataclass(frozen=True)
class Stage:
    """One span of a step of a prediction. The same again is a retry."""

    of: Prediction
    name: str
    span_id: bytes
    duration_ns: int


Record = Prediction | Label | Stage


class Truth:
    """Every record that counts, whatever the order and however often it came.

    Args:
        ranks: source → rank; others rank below all of them.
    """

    def __init__(self, ranks: Mapping[str, int] | None = None) -> None:
        self._ranks: Mapping[str | None, int] = {**(ranks or {})}
        self._current: dict[Key, Prediction] = {}
        self._labels: dict[str, set[Label]] = defaultdict(set)
        self._stages: set[Stage] = set()

    def add(self, record: Record) -> None:
        """Note a record; one that was noted before changes nothing."""
        if isinstance(record, Stage):
            self._stages.add(record)
        elif isinstance(record, Label):
            self._labels[record.prediction_id].add(record)
        else:
            stands = self._current.get(record.key, record)
            self._current[record.key] = max(stands, record, key=lambda p: p.standing)

    def trace_ids(self) -> dict[Key, bytes]:
        """The trace of every prediction."""
        return {key: prediction.ids[0] for key, prediction in self._current.items()}

    def stages(self, version: str) -> dict[str, tuple[int, int]]:
        """Step → its runs, and the predictions that they are of, as far as these are known."""
        known = [run for run in self._stages if run.of.key in self._current]
        runs = Counter(run.name for run in known if run.of.key[0] == version)
        covered = Counter(
            name for name, key in {(run.name, run.of.key) for run in known} if key[0] == version
        )
        return {name: (n, covered[name]) for name, n in runs.items()}

    def rows(self, target: str = "default", version: str | None = None) -> dict[Key, Row]:
        """Every prediction, once, and what is known of it."""
        return {
            key: (prediction.predicted, self._expected(key, target))
            for key, prediction in self._current.items()
            if version in (None, key[0])
        }

    def _expected(self, key: Key, target: str) -> str | None:
        version, prediction_id = key
        about = [
            label
            for label in self._labels[prediction_id]
            if label.target == target and label.version in (None, version)
        ]
        if not about:
            return None
        winner = max(
            about,
            key=lambda x: (self._ranks.get(x.source, -1), x.revision, x.time_ns, x.label_id),
        )
        return winner.actual


@dataclass(frozen=True)
class Figures:
    """The counts of one window."""

    predictions: int
    labeled: int
    confusion: Mapping[tuple[str, str], int]
    """(actual, predicted) → rows."""

    @classmethod
    def of(cls, rows: Mapping[Key, Row]) -> Figures:
        """What the rows add up to."""
        labelled = Counter((actual, said) for said, actual in rows.values() if actual is not None)
        return cls(len(rows), labelled.total(), {(a, str(p)): n for (a, p), n in labelled.items()})


def ask(api: str, path: str, **parameters: object) -> Any:
    """JSON of the API; None where it says that there is no such model yet."""
    answer = httpx.get(f"{api}{path}", params=dict(parameters), timeout=API_SECONDS)  # type: ignore[arg-type]
    if answer.status_code == httpx.codes.NOT_FOUND:
        return None
    assert answer.is_success, f"{answer.url} → {answer.status_code}: {answer.text}"
    return answer.json()


def listed(api: str, model: str, **parameters: object) -> dict[Key, Row]:
    """The rows that the API lists; none may stand there twice."""
    answer = ask(api, f"/api/v1/models/{model}/predictions", limit=ROWS_MAX, **parameters) or {
        "predictions": []
    }
    found = [
        ((row["version"], row["prediction_id"]), (row["predicted"], row["expected"]))
        for row in answer["predictions"]
    ]
    assert len(found) < ROWS_MAX, "the API lists no more: ask for less at once"
    rows = dict(found)
    assert len(rows) == len(found), "a prediction is listed twice"
    return rows


def counted(api: str, model: str, **parameters: object) -> Figures:
    """The counts of everything, as the API tells them."""
    answer = ask(api, f"/api/v1/models/{model}/quality", every="all", **parameters)
    windows = [] if answer is None else answer["windows"]
    if not windows:
        return Figures(0, 0, {})
    (window,) = windows
    classes = window["confusion"]["classes"] if window["confusion"] else []
    confusion = {
        (actual, predicted): n
        for actual, row in zip(classes, window["confusion"]["actual_by_predicted"], strict=True)
        for predicted, n in zip(classes, row, strict=True)
        if n
    }
    return Figures(window["predictions"], window["labeled"], confusion)


def check(
    api: str, model: str, expected: Mapping[Key, Row], version: str, target: str = "default"
) -> None:
    """Hold the API to the true rows of one version: one by one, and in their counts."""
    found = listed(api, model, version=version, target=target)
    differing = {
        key: (expected.get(key), found.get(key))
        for key in expected.keys() | found.keys()
        if expected.get(key) != found.get(key)
    }
    assert not differing, f"{len(differing)} rows differ, (expected, found): {differing!r:.2000}"
    assert counted(api, model, version=version, target=target) == Figures.of(expected)


def check_stages(
    api: str, model: str, expected: Mapping[str, tuple[int, int]], version: str
) -> None:
    """Hold the API to the true runs of the steps of one version."""
    answer = ask(api, f"/api/v1/models/{model}/stages", every="all", version=version)
    windows = [] if answer is None else answer["windows"]
    steps = windows[0]["stages"] if windows else []
    assert {step["stage"]: (step["n"], step["predictions"]) for step in steps} == expected

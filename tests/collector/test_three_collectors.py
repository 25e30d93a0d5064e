"""Records split among three collectors, then added: what one collector with all of them says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from functools import reduce
from operator import add
from pathlib import Path

import numpy as np
import pytest
from asking import FilledStore
from records import MINUTE_NS, START_NS, Label, Prediction

from inferspan_collector.drift.counts import Counts as DriftCounts
from inferspan_collector.drift.passes import Reference, followed, references_of
from inferspan_collector.estimates.confidence_based import Expected, expected
from inferspan_collector.quality import weighing
from inferspan_collector.quality.counted_windows import counted, grouped_counts
from inferspan_collector.quality.counts import Counts, merged
from inferspan_collector.quality.figure import Question
from inferspan_collector.quality.row_figures import Measured, measured
from inferspan_collector.store.cells import CellQuery
from inferspan_collector.store.row_columns import RowQuery

Row = tuple[Prediction, Label]
WINDOWS = CellQuery(model="m", every=60, by=("version", "slice.country"))


def rows(task: str, n: int = 240) -> list[Row]:
    random = np.random.default_rng(4)
    found = []
    for i in range(n):
        score = float(random.random())
        actual = "yes" if random.random() < score else "no"
        about = {
            "model": "m", "version": str(i % 2), "slices": {"country": "DE" if i % 3 else "FR"},
            "trace": i + 1, "span": i + 1, "event_time": START_NS + i * MINUTE_NS,
            "adjusted_count": (1.0, 2.5, 10.0)[i % 3],
            "features": {"amount": float(random.normal()), "channel": "app" if i % 5 else "web"},
        }  # fmt: skip
        if task == "regression":
            number = float(random.normal() * 10 ** (i % 20))
            prediction = Prediction(
                f"p-{i}", None, task=task, positive_class=None, value=number * 1.1, **about
            )  # type: ignore[arg-type]
            label = Label(
                f"p-{i}", str(number), f"l-{i}", model="m", value=number, weight=1 + i % 2
            )
        else:
            said = "yes" if score > 0.5 else "no"
            prediction = Prediction(
                f"p-{i}", said, task=task, positive_class="yes", score=score, **about
            )  # type: ignore[arg-type]
            label = Label(f"p-{i}", actual, f"l-{i}", model="m", weight=1 + i % 2)
        found.append((prediction, label))
    return found


def split(everything: Sequence[Row]) -> list[list[Row]]:
    """Among three, by no rule that windows or slices know."""
    return [
        [row for i, row in enumerate(everything) if i * 7 % 11 % 3 == number] for number in range(3)
    ]


def filled(directory: Path, mine: Sequence[Row]) -> FilledStore:
    """A collector with these records."""
    directory.mkdir()
    store = FilledStore(directory)
    # Labels first for some, corrections last: the order is of no matter.
    store.add(*(label for _, label in mine[::2]))
    store.add(*(prediction for prediction, _ in mine))
    store.add(*(label for _, label in mine[1::2]))
    return store


def answers(
    directory: Path, mine: Sequence[Row]
) -> tuple[dict[object, Counts], dict[object, Measured]]:
    """What a collector with these records holds."""
    store = filled(directory, mine)
    question = Question("macro", "yes")
    states = measured(store.reader.judged_rows(WINDOWS, 10_000), lambda _: question)
    counts = grouped_counts(store.reader, WINDOWS)
    store.close()
    return dict(counts), dict(states)


@pytest.mark.parametrize("task", ["binary_classification", "regression"])
def test_three_collectors_add_up_to_one(task: str, tmp_path: Path) -> None:
    everything = rows(task)
    parts = [answers(tmp_path / str(number), mine) for number, mine in enumerate(split(everything))]
    counts, states = answers(tmp_path / "one", everything)

    for key, whole_counts in counts.items():
        held = [part[0][key] for part in parts if key in part[0]]
        assert merged(held) == whole_counts
    question = Question("macro", "yes")
    assert states
    for key, whole in states.items():
        held_states = [part[1][key].states for part in parts if key in part[1]]
        for measure, state in whole.states.items():
            total = reduce(add, (held[measure] for held in held_states))
            found, single = total.figures(question), state.figures(question)
            for name, figure in single.items():
                assert found[name].value == figure.value, name
                assert found[name].n == figure.n, name
                ends = found[name].low, found[name].high
                assert (None in ends) == (figure.low is None), name
                if figure.low is not None:
                    assert ends == pytest.approx((figure.low, figure.high), rel=1e-9), name


HOURS = 5
"""Of all rows: more than there are."""


def columns_counted(
    store: FilledStore, references: Mapping[str, Reference]
) -> tuple[dict[str, DriftCounts], list[Expected]]:
    """Every column in frozen bins, and what scores promise, hour by hour."""
    found = store.reader.rows(RowQuery(model="m", features=True))
    hour = (found.event_time - START_NS) // (60 * MINUTE_NS)
    counted = {
        column.name: column.counts
        for column in followed(references, found, hour, HOURS, lambda _: {})
    }
    promised = [
        expected(
            found.score[hour == each],
            found.predicted[hour == each] == "yes",
            found.adjusted_count[hour == each],
        )
        for each in range(HOURS)
    ]
    return counted, promised


def test_drift_estimates_and_weights_of_three_add_up_to_one(tmp_path: Path) -> None:
    everything = rows("binary_classification")
    one = filled(tmp_path / "one", everything)
    stored = one.reader.rows(RowQuery(model="m", features=True))
    references = references_of(stored, np.zeros(len(stored), np.int64), 1)
    assert {"feature.amount", "feature.channel", "predicted.score"} <= references.keys()
    columns, promised = columns_counted(one, references)
    windows = counted(one.reader, WINDOWS)
    weights = weighing.weighed(one.reader, WINDOWS, windows, 10_000)
    assert weights is not None
    one.close()

    parts, weighed_sums = [], np.zeros_like(weights.weights)
    for number, mine in enumerate(split(everything)):
        store = filled(tmp_path / str(number), mine)
        parts.append(columns_counted(store, references))
        here = counted(store.reader, WINDOWS)
        held = weighing.weighed(store.reader, WINDOWS, here, 10_000)
        assert held is not None
        assert here.classes == windows.classes
        places = [windows.keys.index(key) for key in here.keys]
        weighed_sums[places] += held.weights
        store.close()
    np.testing.assert_allclose(weighed_sums, weights.weights, rtol=1e-12)
    for name, whole in columns.items():
        total = reduce(add, (part[0][name] for part in parts))
        for each in fields(DriftCounts):
            np.testing.assert_allclose(
                getattr(total, each.name), getattr(whole, each.name), rtol=1e-9, err_msg=each.name
            )
    for hour, single in enumerate(promised):
        together = reduce(add, (part[1][hour] for part in parts))
        for each in fields(Expected):
            value = getattr(single, each.name)
            assert getattr(together, each.name) == pytest.approx(value, rel=1e-9), each.name

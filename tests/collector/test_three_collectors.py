"""Records split among three collectors, then added: what one collector with all of them says."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from operator import add
from pathlib import Path

import numpy as np
import pytest
from asking import FilledStore
from records import MINUTE_NS, START_NS, Label, Prediction

from inferspan_collector.quality.counted_windows import grouped_counts
from inferspan_collector.quality.counts import Counts, merged
from inferspan_collector.quality.figure import Question
from inferspan_collector.quality.row_figures import Measured, measured
from inferspan_collector.store.cells import CellQuery

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
        }  # fmt: skip
        if task == "regression":
            number = float(random.normal() * 10 ** (i % 20))
            prediction = Prediction(
                f"p-{i}", None, task=task, positive_class=None, value=number * 1.1, **about
            )  # type: ignore[arg-type]
            label = Label(f"p-{i}", str(number), f"l-{i}", model="m", value=number)
        else:
            said = "yes" if score > 0.5 else "no"
            prediction = Prediction(
                f"p-{i}", said, task=task, positive_class="yes", score=score, **about
            )  # type: ignore[arg-type]
            label = Label(f"p-{i}", actual, f"l-{i}", model="m")
        found.append((prediction, label))
    return found


def answers(
    directory: Path, mine: Sequence[Row]
) -> tuple[dict[object, Counts], dict[object, Measured]]:
    """What a collector with these records holds."""
    store = FilledStore(directory)
    # Labels first for some, corrections last: the order is of no matter.
    store.add(*(label for _, label in mine[::2]))
    store.add(*(prediction for prediction, _ in mine))
    store.add(*(label for _, label in mine[1::2]))
    question = Question("macro", "yes")
    states = measured(store.reader.judged_rows(WINDOWS, 10_000), lambda _: question)
    counts = grouped_counts(store.reader, WINDOWS)
    store.close()
    return dict(counts), dict(states)


@pytest.mark.parametrize("task", ["binary_classification", "regression"])
def test_three_collectors_add_up_to_one(task: str, tmp_path: Path) -> None:
    everything = rows(task)
    parts = []
    for number in range(3):
        # By no rule that windows or slices know.
        mine = [row for i, row in enumerate(everything) if i * 7 % 11 % 3 == number]
        directory = tmp_path / str(number)
        directory.mkdir()
        parts.append(answers(directory, mine))
    (tmp_path / "one").mkdir()
    counts, states = answers(tmp_path / "one", everything)

    for key, expected in counts.items():
        held = [part[0][key] for part in parts if key in part[0]]
        assert merged(held) == expected
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

"""A label joins within its target's window, before or after, and is late beyond."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from join_oracle import DAY_NS
from records import START_NS, Label, Prediction, decoded
from stores import Store

from inferspan_collector.store.cells import Committed
from inferspan_collector.telemetry import LABELS


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path)
    yield opened
    opened.database.close()


@pytest.mark.parametrize(("target", "days"), [("default", 90), ("chargeback", 30)])
@pytest.mark.parametrize("label_first", [True, False])
def test_a_label_joins_within_its_targets_window_and_not_beyond(
    store: Store, target: str, days: int, label_first: bool
) -> None:
    within = START_NS + days * DAY_NS
    earlier, later = Prediction("a"), Prediction("b", span=2)
    labels = (
        Label("a", label_id="in time", target=target, received=within),
        Label("b", label_id="too late", target=target, received=within + 1),
    )
    for records in (labels, (earlier, later)) if label_first else ((earlier, later), labels):
        (committed,) = store.commit(records)
    if not label_first:
        assert committed.labels == ("joined", "late")
        assert store.telemetry.get(LABELS, result="late") == 1

    assert [
        r.prediction_id for r in store.reader.predictions("fraud", target=target, outcome="correct")
    ] == ["a"]
    assert store.reader.resolve_labels(decoded(*labels).labels).tolist() == [True, False]


def test_a_late_label_is_known_when_it_comes_again_and_waits_for_nothing(store: Store) -> None:
    late = Label(received=START_NS + 91 * DAY_NS)
    store.commit((Prediction(),))
    assert store.commit((late,), (late,)) == [Committed(0, ("late",)), Committed(0, ("duplicate",))]
    assert store.reader.waiting_labels(2**62) == {}

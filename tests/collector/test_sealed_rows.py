"""Ids that have left memory count once, whatever was erased or failed before rows were sealed."""

from __future__ import annotations

from pathlib import Path

from records import START_NS, Label, Prediction
from stores import FaultyStore, holding

from inferspan_collector.store.cells import Committed


def some(
    prefix: str, count: int, first_span: int, received: int = START_NS
) -> tuple[Prediction, ...]:
    return tuple(
        Prediction(f"{prefix}-{n}", span=first_span + n, received=received) for n in range(count)
    )


def test_a_prediction_that_a_label_links_to_is_found_when_labels_alone_were_sealed(
    tmp_path: Path,
) -> None:
    store = FaultyStore(tmp_path, holding(16, 1_000))
    store.commit((Prediction(),))
    store.commit((Label(None, label_id="link", link_trace=1, link_span=1, actual="legit"),))
    for n in range(16):
        store.commit((Label(f"unknown-{n}", label_id=f"label-{n}"),))

    assert store.commit((Label(revision=1),)) == [Committed(0, ("joined",))]
    assert store.commit((Prediction(span=2),)) == [Committed(1, ())]
    assert store.predictions() == store.cells().total() == 1
    store.database.close()


def test_a_commit_in_doubt_that_was_larger_than_memory_supersedes_what_memory_holds(
    tmp_path: Path,
) -> None:
    store = FaultyStore(tmp_path, holding(16, 1_000))
    first = Prediction()
    store.commit((first,))
    later = Prediction(predicted="legit", span=2, event_time=START_NS + 1)
    batch = (later, *some("other", 5, 10), *[first] * 30, Prediction("last", span=20))
    store.fail("after COMMIT", batch)

    assert store.commit((Label(actual="legit"),)) == [Committed(0, ("joined",))]
    assert {(p, a) for _, p, a, _ in store.cells()} == {("legit", "legit")}
    assert store.commit(batch) == [Committed(0, ())]
    store.database.close()

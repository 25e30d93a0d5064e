"""Ids that have left memory count once, whatever was erased or failed before rows were sealed."""

from __future__ import annotations

import errno
import logging
import tempfile
from pathlib import Path
from typing import Any

import duckdb
import pytest
from records import MINUTE_NS, START_NS, Label, Prediction
from stores import DAY_NS, FaultyStore, holding, rows, tidied, tidied_at

from inferspan_collector.store.cells import Committed
from inferspan_collector.telemetry import CONTAINED

LATER_NS = START_NS + 91 * DAY_NS
"""When what was received first has been erased."""


class Disk:
    """Room for so many temporary files in a directory, then for none."""

    def __init__(self, directory: Path) -> None:
        self.room = 2**62
        self._directory = directory
        self._made = tempfile.TemporaryFile

    def file(self, *, dir: Path) -> Any:
        """What `tempfile.TemporaryFile` gives."""
        if dir == self._directory:
            if self.room == 0:
                raise OSError(errno.ENOSPC, "No space left on device")
            self.room -= 1
        return self._made(dir=dir)


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Disk:
    found = Disk(tmp_path)
    monkeypatch.setattr(tempfile, "TemporaryFile", found.file)
    return found


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


def test_a_label_is_known_again_whose_prediction_was_erased_before_it_was_sealed(
    tmp_path: Path,
) -> None:
    store = FaultyStore(tmp_path, holding(16, 1_000))
    store.commit((Prediction(),))
    label = Label(received=START_NS + 80 * DAY_NS)
    store.commit((label,))
    tidied(store, LATER_NS)
    for each in some("other", 16, 100, LATER_NS):
        store.commit((each,))

    assert store.commit((label,)) == [Committed(0, ("duplicate",))]
    store.database.close()


def test_a_key_counts_once_whose_oldest_row_was_erased_while_it_waited_to_be_sealed(
    tmp_path: Path,
) -> None:
    store = FaultyStore(tmp_path, holding(16, 1_000))
    then = START_NS + 85 * DAY_NS
    young = some("young", 9, 10, then)
    again = Prediction(span=2, received=then)
    # More than is sealed after one transaction, and most of it between the two rows of a key.
    store.commit((*young, Prediction(), *[young[0]] * 5, again))
    unknown = [Label(f"unknown-{n}", label_id=f"label-{n}", received=then) for n in range(16)]
    store.commit((*unknown,))
    tidied(store, LATER_NS)
    store.commit(())

    assert store.commit((again,)) == [Committed(0, ())]
    store.database.close()


@pytest.mark.parametrize("more", range(4))
def test_a_key_counts_once_where_nobody_knows_whether_its_oldest_row_was_erased(
    tmp_path: Path, more: int
) -> None:
    store = FaultyStore(tmp_path, holding(16, 1_000))
    store.commit((Prediction(),))
    tidied(store, START_NS + 90 * DAY_NS - 10 * MINUTE_NS)
    # Before the one that erases it notes the look, and then looks at stages.
    store.faults["after COMMIT"] = [duckdb.IOException("disk full"), None, None]
    with pytest.raises(duckdb.IOException):
        tidied_at(store, START_NS + 90 * DAY_NS + 10 * MINUTE_NS)
    assert rows(store)["predictions"] == 0
    young = some("young", 14, 100, LATER_NS)
    for each in (*young, *[young[-1]] * more):
        store.commit((each,))
    again = Prediction(span=2, received=LATER_NS)
    store.commit((again,))
    store.commit(some("younger", 2, 200, LATER_NS))

    assert store.commit((again,)) == [Committed(0, ())]
    store.database.close()


@pytest.mark.parametrize("room", [1, 2, 3])
@pytest.mark.parametrize("more", range(3))
def test_a_key_counts_once_whose_erased_row_is_found_no_more_while_the_disk_fills_up(
    tmp_path: Path, disk: Disk, more: int, room: int
) -> None:
    store = FaultyStore(tmp_path, holding(8, 1_000))
    store.commit((Prediction(),))
    then = START_NS + 90 * DAY_NS
    young = some("young", 16 + more, 100, then)
    for each in young[:10]:
        store.commit((each,))
    tidied(store, LATER_NS)
    for each in young[10:-2]:
        store.commit((each,))
    again = Prediction(span=77, received=then)
    labels = [Label(f"unknown-{n}", label_id=f"label-{n}") for n in range(2)]
    disk.room = room
    store.commit((*young[-2:], again, *labels))

    assert store.commit((again,)) == [Committed(0, ())]
    store.database.close()


def test_a_full_disk_is_said_once_and_older_ids_are_found_all_the_same(
    tmp_path: Path, disk: Disk, caplog: pytest.LogCaptureFixture
) -> None:
    store = FaultyStore(tmp_path, holding(4, 100))
    said = []
    for room in (0, 2**62, 0):
        disk.room = room
        for each in some(f"of-{len(said)}", 10, 100 * (1 + len(said))):
            store.commit((each,))
        said.append(caplog.text.count("older ids are sought in the file"))
        assert store.commit(some("of-0", 10, 100)) == [Committed(0, ())]

    assert said == [1, 1, 2]
    assert {record.levelno for record in caplog.records} == {logging.WARNING}
    assert store.telemetry.get(CONTAINED, where="after_commit") == 0
    assert store.predictions() == 30
    store.database.close()

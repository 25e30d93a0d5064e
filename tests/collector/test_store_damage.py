"""A store after a power cut, a bad disk or a full one: mended and said, or refused and said."""

from __future__ import annotations

import logging
import os
import resource
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from records import Label, Prediction
from stores import Store

from inferspan_collector.store import durably, repair, write_ahead
from inferspan_collector.store.database import FILE_NAME, Database, StoreError
from inferspan_collector.store.mending import TAILS_MAX

LOG_NAME = f"{FILE_NAME}.wal"
COMMITS = 6


@dataclass(frozen=True)
class Left:
    """The files of a store as the power cut left them: after each commit, what was on disk."""

    directory: Path
    ends: tuple[int, ...]
    """The log's length after the start and after each commit."""

    @property
    def log(self) -> bytes:
        return (self.directory / LOG_NAME).read_bytes()

    def copy(self, target: Path, log: bytes) -> Path:
        """The same files with another log."""
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(self.directory, target)
        (target / LOG_NAME).write_bytes(log)
        return target

    def committed_within(self, length: int) -> int:
        """Commits that lie wholly within so many bytes of the log."""
        return sum(end <= length for end in self.ends[1:])


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> Left:
    directory = tmp_path_factory.mktemp("running")
    store = Store(directory)
    ends = [(directory / LOG_NAME).stat().st_size]
    for n in range(COMMITS):
        store.commit((Prediction(f"order-{n}", span=n + 1), Label(f"order-{n}", label_id=f"l{n}")))
        ends.append((directory / LOG_NAME).stat().st_size)
    copied = tmp_path_factory.mktemp("left") / "data"
    shutil.copytree(directory, copied)
    store.database.close()
    return Left(copied, tuple(ends))


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "data"


def held(directory: Path) -> tuple[int, int]:
    """Predictions, and outcomes, that a store counts."""
    store = Store(directory)
    try:
        return store.predictions(), store.cells().total()
    finally:
        store.database.close()


def test_the_checksums_are_duckdbs(left: Left) -> None:
    log = write_ahead.inspect(left.log)

    assert log.state == "whole"
    assert log.transactions > COMMITS


@settings(max_examples=25, deadline=None)
@given(cut=st.integers(0, 1_000_000), then=st.sampled_from([b"", b"\0" * 4096, b"\xff" * 100]))
def test_a_torn_tail_is_cut_and_loses_nothing_that_was_committed(
    left: Left, tmp_path_factory: pytest.TempPathFactory, cut: int, then: bytes
) -> None:
    log = left.log
    cut = left.ends[0] + cut % (len(log) - left.ends[0] + 1)
    directory = left.copy(tmp_path_factory.mktemp("torn") / "data", log[:cut] + then)

    committed = left.committed_within(cut)
    assert held(directory) == (committed, committed)
    whole = not then and cut in left.ends
    tail = directory / f"{LOG_NAME}.tail-1"
    assert tail.exists() != whole
    if not whole:
        valid = left.ends[committed]
        assert tail.read_bytes() == (log[:cut] + then)[valid:]


def test_what_was_cut_is_said_and_counted(
    left: Left, place: Path, caplog: pytest.LogCaptureFixture
) -> None:
    left.copy(place, left.log[:-3] + b"\0" * 512)
    with caplog.at_level(logging.WARNING):
        database = Database.open(place)

    (cut,) = database.cuts
    assert cut.kept_bytes == left.ends[-2]
    assert cut.lost == 0
    assert str(cut.tail) in caplog.text
    database.close()
    assert Database.open(place).cuts == ()


def test_a_log_with_not_even_a_header_is_cut_to_nothing(left: Left, place: Path) -> None:
    left.copy(place, b"\0" * 8192)

    Database.open(place).close()
    assert (place / f"{LOG_NAME}.tail-1").stat().st_size == 8192


def test_tails_are_kept_up_to_a_number(left: Left, place: Path) -> None:
    left.copy(place, left.log)
    Database.open(place).close()
    for n in range(TAILS_MAX + 2):
        (place / LOG_NAME).write_bytes(b"\0" * (n + 1))
        Database.open(place).close()

    assert len(list(place.glob("*.tail-*"))) == TAILS_MAX
    assert (place / f"{LOG_NAME}.tail-{TAILS_MAX}").stat().st_size == TAILS_MAX + 2


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**9), st.integers(1, 255))
def test_damage_before_a_committed_transaction_is_refused_and_nothing_touched(
    left: Left, tmp_path_factory: pytest.TempPathFactory, place: int, flipped: int
) -> None:
    log = bytearray(left.log)
    # Anywhere before the end of the last but one commit, sizes included, which DuckDB believes.
    place = left.ends[0] + place % (left.ends[-2] - left.ends[0])
    log[place] ^= flipped
    directory = left.copy(tmp_path_factory.mktemp("broken") / "data", bytes(log))

    with pytest.raises(StoreError, match=r"whole transactions follow the damage.*store repair"):
        Database.open(directory)
    assert (directory / LOG_NAME).read_bytes() == log

    condition = repair.check(directory)
    assert not condition.sound
    done = repair.repair(directory)
    (cut,) = done.cuts
    assert cut.lost >= 1
    assert cut.tail.read_bytes() == log[cut.kept_bytes :]
    committed = left.committed_within(place)
    assert held(directory) == (committed, committed)


def test_a_sound_store_is_called_so_and_left_alone(left: Left, place: Path) -> None:
    left.copy(place, left.log)
    before = {path: path.read_bytes() for path in place.glob(f"{FILE_NAME}*")}

    condition = repair.check(place)

    assert condition.sound
    assert {t.name: t.rows for t in condition.tables}["predictions"] == COMMITS
    assert {path: path.read_bytes() for path in place.glob(f"{FILE_NAME}*")} == before
    assert repair.repair(place).before is None
    assert held(place) == (COMMITS, COMMITS)


def test_a_damaged_block_costs_its_piece_of_its_table_and_no_more(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.commit(tuple(Prediction(f"order-{n}", span=n + 1) for n in range(3000)))
    store.commit(tuple(Label(f"order-{n}", label_id=f"l{n}") for n in range(3000)))
    store.database.close()
    path = tmp_path / FILE_NAME
    content = bytearray(path.read_bytes())
    at = content.index(b"order-1234")
    content[at : at + 4] = b"\1\2\3\4"
    path.write_bytes(content)

    condition = repair.check(tmp_path)
    damaged = {table.name for table in condition.tables if table.unreadable}
    assert not condition.sound
    assert 1 <= len(damaged) <= 2
    assert damaged <= {"predictions", "labels"}

    done = repair.repair(tmp_path)
    assert done.before is not None
    assert done.before.read_bytes() == content
    assert repair.check(tmp_path).sound
    # The figures are of the cells, which were not hit.
    assert held(tmp_path) == (3000, 3000)


def test_a_file_that_cannot_be_opened_names_what_to_do(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"not a database at all" * 500)

    with pytest.raises(StoreError, match=r"cannot open .*store check .*restore a backup"):
        Database.open(tmp_path)
    assert repair.check(tmp_path).fault
    with pytest.raises(StoreError, match="restore a backup"):
        repair.repair(tmp_path)


def test_a_directory_that_is_open_is_not_repaired(tmp_path: Path) -> None:
    database = Database.open(tmp_path)
    with pytest.raises(StoreError, match=rf"a collector has .* open \(PID {os.getpid()}\)"):
        repair.repair(tmp_path)
    with pytest.raises(StoreError, match="in use by another process"):
        Database.open(tmp_path)
    database.close()
    Database.open(tmp_path).close()


IN_A_PROCESS = """
import os, pathlib, resource, signal, sys
sys.path.insert(0, sys.argv[2])
from records import Prediction
from stores import Store
from inferspan_collector.store.database import Database, StoreError
{body}
"""


def in_a_process(body: str, directory: Path) -> str:
    """What a program says that may not write as it pleases."""
    done = subprocess.run(
        (
            sys.executable,
            "-c",
            IN_A_PROCESS.format(body=body),
            str(directory),
            str(Path(__file__).parent),
        ),
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_directory_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    said = in_a_process(
        "if os.getuid() == 0: os.setuid(65534)\n"
        "try: Database.open(pathlib.Path('.'))\n"
        "except StoreError as error: print(error)",
        tmp_path,
    )
    tmp_path.chmod(0o755)

    assert "cannot write in" in said
    assert "--data" in said


def test_a_full_disk_is_named_and_harms_nothing_that_is_there(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.commit((Prediction(),))
    store.database.close()
    # To a process whose files may not grow, the disk is full.
    size = max(path.stat().st_size for path in tmp_path.iterdir())
    said = in_a_process(
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, {size}))\n"
        "try:\n"
        "    store = Store(pathlib.Path(sys.argv[1]))\n"
        "    for n in range(1000):\n"
        "        store.commit((Prediction('x' * 100_000, span=n + 2),))\n"
        "except Exception as error: print(type(error).__name__, error)\n"
        "os._exit(0)",
        tmp_path,
    )
    assert "File too large" in said or "No space" in said
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != size

    assert held(tmp_path)[0] >= 1


def test_each_new_logs_name_is_put_on_disk_before_its_first_commit_is_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A power cut cannot be had here, so this looks at what is asked of the operating system.
    synced: list[Path] = []
    store = Store(tmp_path)
    monkeypatch.setattr(durably, "sync_directory", synced.append)
    for round_ in range(2):
        for n in range(2):
            store.commit((Prediction(f"o{round_}-{n}", span=round_ * 2 + n + 1),))
        with store.database.cursor() as cursor:
            cursor.execute("CHECKPOINT")
    store.database.close()

    assert synced == [tmp_path, tmp_path]

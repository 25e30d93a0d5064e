"""Whatever comes, fails and leaves, with little memory: what was acknowledged counts once."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from histories import Disk, History, holding
from stores import FaultyStore

from inferspan_collector.store import loading, retention, sealed_rows

CONFIGS = [holding(*keys) for keys in ((100, 300), (20, 3), (64, 1), (400, 1_000), (9_999, 9))]


@pytest.mark.parametrize("seed", range(2))
def test_what_was_acknowledged_counts_once_in_any_history(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    disk = Disk(tmp_path)
    monkeypatch.setattr(tempfile, "TemporaryFile", disk.file)
    # So small that everything there is happens often.
    monkeypatch.setattr(sealed_rows, "_GATHERED_ROWS_MAX", 1_000)
    monkeypatch.setattr(sealed_rows, "_CHUNK", 100)
    monkeypatch.setattr(loading, "_CHUNK", 150)
    monkeypatch.setattr(retention, "STEP_ROWS", 300)
    store = FaultyStore(tmp_path, CONFIGS[seed])
    history = History(store, disk, CONFIGS, seed)
    try:
        for n in range(40):
            history.step()
            if n % 10 == 0:
                history.check()
        history.check()
    finally:
        store.database.close()

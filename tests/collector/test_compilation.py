"""Where compiled code is kept, and when it is compiled anew."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ENTRY = """
from inferspan_collector.compilation import entry
from inner import inner

@entry
def outer(number):
    return inner(number)

print(outer(20), sum(outer.stats.cache_hits.values()))
"""
INNER = """
from inferspan_collector.compilation import part

@part
def inner(number):
    return number + {added}
"""


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    directory = tmp_path / "sources"
    directory.mkdir()
    (directory / "outer.py").write_text(ENTRY)
    (directory / "inner.py").write_text(INNER.format(added=1))
    return directory


def run(sources: Path, **environment: str) -> tuple[int, int]:
    """What the compiled function returns, and how often it came from the disk."""
    bare = {name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"}
    ended = subprocess.run(
        [sys.executable, "-B", sources / "outer.py"],
        env={**bare, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    result, hits = map(int, ended.stdout.split())
    return result, hits


def test_the_second_process_finds_what_the_first_compiled(sources: Path) -> None:
    assert run(sources) == (21, 0)
    assert run(sources) == (21, 1)
    assert list((sources / "__pycache__").glob("*.nbc"))


def test_a_change_of_a_source_beside_it_compiles_it_anew(sources: Path) -> None:
    run(sources)
    (sources / "inner.py").write_text(INNER.format(added=2))
    assert run(sources) == (22, 0)


def test_it_is_kept_where_the_environment_says(sources: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    assert run(sources, NUMBA_CACHE_DIR=str(kept)) == (21, 0)
    assert run(sources, NUMBA_CACHE_DIR=str(kept)) == (21, 1)
    assert not (sources / "__pycache__").exists()


def unwritable(sources: Path) -> None:
    """Where a directory is wanted is a file; root may write into any directory."""
    (sources / "__pycache__").touch()


def test_it_is_kept_for_the_user_where_the_package_cannot_be_written(
    sources: Path, tmp_path: Path
) -> None:
    unwritable(sources)
    assert run(sources, XDG_CACHE_HOME=str(tmp_path / "cache")) == (21, 0)
    assert run(sources, XDG_CACHE_HOME=str(tmp_path / "cache")) == (21, 1)


def test_it_runs_where_nothing_can_be_written(sources: Path) -> None:
    unwritable(sources)
    assert run(sources, XDG_CACHE_HOME=str(sources / "__pycache__")) == (21, 0)
    assert run(sources, XDG_CACHE_HOME=str(sources / "__pycache__")) == (21, 0)

"""Where compiled code is kept, and when it is compiled anew."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from waiting import wait_until

ENTRY = """
from inferspan_collector.compilation import entry, is_kept
from inner import inner

@entry
def outer(number):
    return inner(number)

kept = is_kept(outer)
result = outer(20)
assert kept == bool(outer.stats.cache_hits), kept
print(result, sum(outer.stats.cache_hits.values()))
"""
WARMED = """
from inferspan_collector import decode, warming
from inferspan_collector.decode.compiled.scan import scan

kept = decode.is_compiled()
warming.warm()
print(int(kept), sum(scan.stats.cache_hits.values()))
"""
CONFINED = """
import os

from inferspan_collector import warming

may = os.sched_getaffinity(0)
os.sched_setaffinity(0, {min(may)})
print(len(may), warming.usable_cores())
"""
LEFT = """
import sys
from inferspan_collector import warming

print(warming.begin().pid)
sys.exit(3)
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


def run(program: Path, **environment: str) -> tuple[int, int]:
    """What the compiled function returns, and how often it came from the disk."""
    bare = {name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"}
    ended = subprocess.run(
        [sys.executable, "-B", program],
        env={**bare, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    result, hits = map(int, ended.stdout.split())
    return result, hits


def test_the_second_process_finds_what_the_first_compiled(sources: Path) -> None:
    assert run(sources / "outer.py") == (21, 0)
    assert run(sources / "outer.py") == (21, 1)
    assert list((sources / "__pycache__").glob("*.nbc"))


def test_a_change_of_a_source_beside_it_compiles_it_anew(sources: Path) -> None:
    run(sources / "outer.py")
    (sources / "inner.py").write_text(INNER.format(added=2))
    assert run(sources / "outer.py") == (22, 0)


def test_it_is_kept_where_the_environment_says(sources: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    assert run(sources / "outer.py", NUMBA_CACHE_DIR=str(kept)) == (21, 0)
    assert run(sources / "outer.py", NUMBA_CACHE_DIR=str(kept)) == (21, 1)
    assert not (sources / "__pycache__").exists()


def unwritable(sources: Path) -> None:
    """Where a directory is wanted is a file; root may write into any directory."""
    (sources / "__pycache__").touch()


def test_it_is_kept_for_the_user_where_the_package_cannot_be_written(
    sources: Path, tmp_path: Path
) -> None:
    unwritable(sources)
    assert run(sources / "outer.py", XDG_CACHE_HOME=str(tmp_path / "cache")) == (21, 0)
    assert run(sources / "outer.py", XDG_CACHE_HOME=str(tmp_path / "cache")) == (21, 1)


def test_it_runs_where_nothing_can_be_written(sources: Path) -> None:
    unwritable(sources)
    assert run(sources / "outer.py", XDG_CACHE_HOME=str(sources / "__pycache__")) == (21, 0)
    assert run(sources / "outer.py", XDG_CACHE_HOME=str(sources / "__pycache__")) == (21, 0)


def test_a_first_start_leaves_the_decoders_to_another_process(tmp_path: Path) -> None:
    program = tmp_path / "warmed.py"
    program.write_text(WARMED)
    kept = str(tmp_path / "kept")
    for was_there in (0, 1):
        assert run(program, NUMBA_CACHE_DIR=kept) == (was_there, 1)


def test_cores_that_a_process_may_not_use_are_not_counted(tmp_path: Path) -> None:
    program = tmp_path / "confined.py"
    program.write_text(CONFINED)
    assert run(program) == (len(os.sched_getaffinity(0)), 1)


def has_ended(process: str) -> bool:
    try:
        return " Z " in Path("/proc", process, "stat").read_text()
    except OSError:
        return True


def test_a_start_that_fails_leaves_no_process_behind(tmp_path: Path) -> None:
    program = tmp_path / "left.py"
    program.write_text(LEFT)
    kept = tmp_path / "kept"
    ended = subprocess.run(
        [sys.executable, "-B", program],
        env={**os.environ, "NUMBA_CACHE_DIR": str(kept)},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert ended.returncode == 3
    wait_until(lambda: has_ended(ended.stdout.strip()), 60, "the process that compiles to end")
    assert not list(kept.rglob("scan.scan-*"))

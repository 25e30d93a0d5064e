"""What must not be in the repository, whoever wrote it."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

FORBIDDEN = {
    "a path of one machine": r"(?<![\w.])/(work|farm|root)/",
    "the host of a package registry": (
        r"\b(pypi\.org|pythonhosted\.org|proxy\.golang\.org|sum\.golang\.org|registry\.npmjs\.org"
        r"|repo1?\.maven\.org)\b"
    ),
    "unfinished work": r"#\s*(TODO|FIXME|XXX)\b",
}
LOCK_FILES = {"uv.lock", "poetry.lock", "Pipfile.lock", "pdm.lock"}

PICTURE_BYTES_MAX = 100_000


def is_picture(path: Path) -> bool:
    """Whether it is what the documentation shows."""
    return path.parent == ROOT / "docs/images" and path.suffix == ".png"


def tracked() -> Iterator[Path]:
    """Every file that is, or is about to be, in the repository."""
    listed = subprocess.run(
        ("git", "-c", "safe.directory=*", "ls-files", "-z", "-co", "--exclude-standard"),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (path := ROOT / name).is_file():
            yield path


@pytest.mark.parametrize("what", FORBIDDEN)
def test_no_file_holds(what: str) -> None:
    pattern = re.compile(FORBIDDEN[what])
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:120]}"
        for path in tracked()
        if not is_picture(path)
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if pattern.search(line)
    ]
    assert found == []


def test_no_lock_file_and_no_binary_but_small_pictures_of_the_docs() -> None:
    files = list(tracked())
    assert [path.name for path in files if path.name in LOCK_FILES] == []
    binary = [path for path in files if b"\0" in path.read_bytes()]
    assert [str(path) for path in binary if not is_picture(path)] == []
    assert [str(path) for path in binary if path.stat().st_size > PICTURE_BYTES_MAX] == []


def test_tests_do_not_wait_by_the_clock() -> None:
    # ruff bans time.sleep; its asynchronous twin is a method of a module it cannot ban in part.
    waits = re.compile(r"asyncio\.sleep\((?!0\))")
    files = [path for path in tracked() if path.is_relative_to(ROOT / "tests")]
    assert [str(p) for p in files if p.suffix == ".py" and waits.search(p.read_text())] == []

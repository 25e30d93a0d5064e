"""Failpoints: each stands in one place, and nobody meets one by accident."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from inferspan_collector import failpoints

PACKAGE = Path(failpoints.__file__).parent
REACH = """
import logging, os, sys
from inferspan_collector import failpoints
logging.basicConfig(format="%(message)s")
try:
    failpoints.arm(os.environ)
except failpoints.UnknownFailpoint as error:
    sys.exit(str(error))
for _ in range(3):
    failpoints.reach("before-commit")
    failpoints.reach("after-commit")
    print("reached", flush=True)
"""


def reach(**environment: str) -> subprocess.CompletedProcess[str]:
    """Reach two of them three times, in a process of its own."""
    return subprocess.run(
        (sys.executable, "-c", REACH),
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_each_stands_in_one_place_and_has_a_name() -> None:
    sources = [path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py")]
    found = Counter(
        name for source in sources for name in re.findall(r'failpoints\.reach\("(.*)"\)', source)
    )
    assert found == Counter(failpoints.NAMES)
    assert failpoints.__doc__ is not None
    described = (PACKAGE / "failpoints.py").read_text(encoding="utf-8")
    assert [name for name in failpoints.NAMES if f"- `{name}`:" not in described] == []


def test_it_dies_exactly_there() -> None:
    ended = reach(INFERSPAN_FAILPOINTS="armed", INFERSPAN_FAILPOINT="after-commit:2")
    assert ended.returncode == -signal.SIGKILL
    assert ended.stdout == "reached\n"
    assert "this collector will kill itself" in ended.stderr


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({}, ""),
        ({"INFERSPAN_FAILPOINTS": "armed"}, ""),
        ({"INFERSPAN_FAILPOINT": "after-commit:1"}, "is set and ignored"),
        (
            {"INFERSPAN_FAILPOINT": "after-commit:1", "INFERSPAN_FAILPOINTS": "1"},
            "is set and ignored",
        ),
    ],
)
def test_one_of_the_two_variables_kills_nobody(environment: dict[str, str], said: str) -> None:
    ended = reach(**environment)
    assert ended.returncode == 0
    assert ended.stdout == "reached\n" * 3
    assert said in ended.stderr


@pytest.mark.parametrize("point", ["", "after-commit", "after-commit:0", "nowhere:1"])
def test_a_failpoint_that_is_none_stops_the_start(point: str) -> None:
    ended = reach(INFERSPAN_FAILPOINTS="armed", INFERSPAN_FAILPOINT=point)
    assert ended.returncode == 1
    assert f"INFERSPAN_FAILPOINT={point!r}: not NAME:COUNT" in ended.stderr
    assert "after-commit" in ended.stderr

"""The fuzzer, for about a minute: `make test-faults` runs it for an hour."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
RUNS = 70_000


def test_any_bytes_are_read_alike_both_ways(tmp_path: Path) -> None:
    limit = os.environ.get("FUZZ_SECONDS")
    new, findings = tmp_path / "new", tmp_path / "findings"
    new.mkdir()
    findings.mkdir()
    # The same runs every time, unless a time is asked for.
    extent = ["-seed=1", f"-runs={RUNS}"] if limit is None else [f"-max_total_time={limit}"]
    ended = subprocess.run(
        [
            sys.executable,
            HERE / "fuzz_decode.py",
            *extent,
            "-max_len=4096",
            "-timeout=60",
            # It goes by the greatest memory ever held, which a process has from the one that
            # started it: here from a test run that may have held gigabytes.
            "-rss_limit_mb=0",
            "-verbosity=0",
            f"-artifact_prefix={findings}/",
            new,
        ],
        capture_output=True,
        text=True,
    )
    found = {path.name: path.read_bytes().hex() for path in findings.iterdir()}
    assert (ended.returncode, found) == (0, {}), ended.stderr[-4000:] + ended.stdout[-4000:]


def test_the_fuzzer_finds_what_differs(tmp_path: Path) -> None:
    """A decoder with a defect planted in it does not pass."""
    planted = tmp_path / "planted.py"
    planted.write_text(
        "import sys\n"
        f"sys.argv[0] = {str(HERE / 'fuzz_decode.py')!r}\n"
        f"sys.path.insert(0, {str(HERE)!r})\n"
        "import fuzz_decode\n"
        "from inferspan_collector.decode.compiled import names\n"
        "score = names.TABLE[:, 2] == names.slot_of('inferspan.output.score')\n"
        "names.TABLE[score, 2] = names.UNKNOWN\n"
        "fuzz_decode.main()\n"
    )
    ended = subprocess.run(
        [sys.executable, planted, "-runs=200", f"-artifact_prefix={tmp_path}/", tmp_path],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert ended.returncode != 0
    assert "AssertionError" in ended.stdout + ended.stderr

"""Runs our conformance cases against other tracing SDKs: the table of docs/comparison.md.

The cases (tests/sdk/conformance) say what tracing a function must not change. They know an SDK
only through a small adapter, so the same files judge all of them. Each SDK gets a process, each
case a fresh context, and each wrapper shape that the adapter names is tried. A case is passed when
all of its runs are; what an SDK does not offer is no failure of it.

Run it with `make bench-conformance`: it needs the environment of `make peers`. Takes some minutes.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Final

from peers import PEERS

ROOT: Final = Path(__file__).parents[1]
CASES: Final = ROOT / "tests/sdk/conformance"
PAGE: Final = ROOT / "docs/comparison.md"
BEGIN: Final = "<!-- begin of the generated part: make bench-conformance -->"
END: Final = "<!-- end of the generated part -->"
OURS: Final = "inferspan"
SECONDS_A_CASE: Final = 20
SECONDS_AN_SDK: Final = 900


@dataclass
class Tally:
    """Runs of one case for one SDK."""

    passed: int = 0
    failed: int = 0
    not_offered: int = 0

    @property
    def applies(self) -> bool:
        """Whether the SDK claims to do this at all."""
        return bool(self.passed or self.failed)

    @property
    def holds(self) -> bool:
        """Whether every run passed."""
        return self.applies and not self.failed

    def cell(self) -> str:
        """As a table shows it."""
        if not self.applies:
            return "n/a"
        runs = self.passed + self.failed
        if not self.failed:
            return "yes"
        return f"{self.passed} of {runs}" if self.passed else "no"


Outcomes = dict[str, Tally]
"""Tallies by `file::case`."""


def run_cases(key: str, files: list[str]) -> Outcomes:
    """Run the cases for one SDK in a process of its own."""
    with tempfile.TemporaryDirectory() as directory:
        written = Path(directory) / "outcomes"
        written.touch()
        environment = {
            **os.environ,
            "CONFORMANCE_OUTCOMES": str(written),
            "PYTHONPATH": str(Path(__file__).parent),
        }
        if key != OURS:
            environment["CONFORMANCE_ADAPTER"] = f"conformance_peers:{key}"
        command = [sys.executable, "-m", "pytest", *files, "-p", "conformance_outcomes"]
        # Warnings of an SDK are no failures here, the order is the same for all, and no traceback
        # shows values whose repr ends the process.
        command += [
            "--tb=no",
            "-p",
            "no:randomly",
            "-p",
            "no:cacheprovider",
            "-o",
            "filterwarnings=ignore",
        ]
        command += ["--timeout", str(SECONDS_A_CASE), "--continue-on-collection-errors"]
        with (Path(directory) / "log").open("w+") as log:
            subprocess.run(
                command, cwd=ROOT, env=environment, stdout=log, stderr=log, timeout=SECONDS_AN_SDK
            )
            lines = written.read_text(encoding="utf-8").splitlines()
            if not lines:
                log.seek(0)
                raise SystemExit(f"{key}: no case ran\n{log.read()[-4000:]}")
    return tallied(json.loads(line) for line in lines)


def tallied(lines: Iterable[Mapping[str, str]]) -> Outcomes:
    """Add up the runs of each case: one that failed once failed, whatever else was told of it."""
    runs: dict[str, str] = {}
    for line in lines:
        if line["outcome"] == "not collected":
            raise SystemExit(f"{line['case']} could not be collected; see what it imports")
        if runs.get(line["case"]) != "failed":
            runs[line["case"]] = line["outcome"]
    if missing := [run for run, outcome in runs.items() if outcome == "not run"]:
        raise SystemExit(f"{len(missing)} runs did not happen, among them {missing[0]}")
    outcomes: Outcomes = defaultdict(Tally)
    for run, outcome in runs.items():
        tally = outcomes[Path(run.partition("[")[0]).name]
        field = {"passed": "passed", "not offered": "not_offered"}.get(outcome, "failed")
        setattr(tally, field, getattr(tally, field) + 1)
    return outcomes


def heading(file: str) -> str:
    """The first line of a case file's docstring."""
    told = ast.get_docstring(ast.parse((CASES / file).read_text(encoding="utf-8")))
    return (told or file).splitlines()[0]


def table(names: list[str], rows: Iterable[list[str]]) -> list[str]:
    """A table of Markdown."""
    return [
        f"| {' | '.join(names)} |",
        f"|{'---|' * len(names)}",
        *(f"| {' | '.join(row)} |" for row in rows),
    ]


def report(outcomes: Mapping[str, Outcomes]) -> str:
    """The generated part of the page."""
    titles = [OURS, *(f"{PEERS[k].name} {PEERS[k].version}" for k in outcomes if k != OURS)]
    cases = sorted({case for found in outcomes.values() for case in found})
    files = list(dict.fromkeys(case.partition("::")[0] for case in cases))

    def sums(file: str) -> list[str]:
        cells = []
        for found in outcomes.values():
            applying = [t for c, t in found.items() if c.startswith(file) and t.applies]
            cells.append(f"{sum(t.holds for t in applying)} of {len(applying)}")
        return cells

    python = ".".join(map(str, sys.version_info[:3]))
    lines = [
        BEGIN,
        "",
        f"Run on {time.strftime('%Y-%m-%d', time.gmtime())} with Python {python} and OpenTelemetry "
        f"{version('opentelemetry-sdk')}.",
        "",
        *table(
            ["cases passed", *titles],
            [*([heading(file), *sums(file)] for file in files), ["**all**", *sums("")]],
        ),
        "",
        "Each case; `3 of 8` = passed for 3 of its 8 runs (decorators × inputs):",
    ]
    for file in files:
        rows = [
            [
                case.partition("::")[2].removeprefix("test_").replace("_", " "),
                *(found[case].cell() for found in outcomes.values()),
            ]
            for case in cases
            if case.startswith(f"{file}::")
        ]
        lines += ["", f"### {heading(file).split(':')[0]}", "", *table(["", *titles], rows)]
    return "\n".join([*lines, "", END])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "sdk", nargs="*", choices=[[], OURS, *PEERS], help="which to run; none named = all"
    )
    parser.add_argument(
        "--files", nargs="*", default=[str(CASES)], help="case files (default: all)"
    )
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.relative_to(ROOT)}")
    asked = parser.parse_args()
    outcomes = {}
    for key in asked.sdk or [OURS, *PEERS]:
        outcomes[key] = run_cases(key, asked.files)
        holding = sum(tally.holds for tally in outcomes[key].values())
        applying = sum(tally.applies for tally in outcomes[key].values())
        print(f"{key:16} {holding} of {applying} cases", flush=True)
    if len({frozenset(found) for found in outcomes.values()}) > 1:
        raise SystemExit("the cases changed while they ran; run this again")
    if asked.write:
        before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
        after = rest.partition(END)[2]
        PAGE.write_text(before + report(outcomes) + after, encoding="utf-8")
    else:
        print(report(outcomes))


if __name__ == "__main__":
    main()

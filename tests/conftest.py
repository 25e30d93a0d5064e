"""What holds for every test: a clean environment, repeatable examples, and no silent skip."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Generator, Iterator
from pathlib import Path

import hypothesis
import pytest

# Two shared cores make single examples slow now and then; a limit per example would be luck.
hypothesis.settings.register_profile("here", deadline=None, print_blob=True)
hypothesis.settings.load_profile("here")


@pytest.fixture(autouse=True, scope="session")
def _no_settings_from_outside() -> Iterator[None]:
    """What this shell has set for OpenTelemetry or inferspan must not decide a test."""
    with pytest.MonkeyPatch.context() as patch:
        for name in tuple(os.environ):
            # INFERSPAN_CACHE only says where the real servers are kept between runs.
            if name.startswith(("OTEL_", "INFERSPAN_")) and name != "INFERSPAN_CACHE":
                patch.delenv(name)
        yield


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The addresses of `inferspan serve`, run as a user runs it, on free ports."""
    free = "127.0.0.1:0"
    addresses = ("--otlp-http", free, "--otlp-grpc", free, "--api", free)
    command = (Path(sys.executable).with_name("inferspan"), "serve", *addresses)
    directory = tmp_path_factory.mktemp("served")
    with (
        (directory / "log").open("w+") as log,
        subprocess.Popen(
            command, cwd=directory, stdout=subprocess.PIPE, stderr=log, text=True
        ) as process,
    ):
        assert process.stdout is not None
        ready = process.stdout.readline()
        assert ready, f"inferspan serve ended: {(directory / 'log').read_text()}"
        yield json.loads(ready)
        process.terminate()
    assert process.returncode == 0


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A skipped test looks like a passed one: what a machine lacks is a failure that says so."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = (
            f"{item.nodeid} was skipped: {report.longrepr}. Tests are not skipped here; mark what "
            "needs a real server with `real`, and say in one line what the machine lacks."
        )
    return report

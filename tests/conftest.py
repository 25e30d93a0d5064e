"""What holds for every test: a clean environment, repeatable examples, and no silent skip."""

from __future__ import annotations

import os
from collections.abc import Generator

import hypothesis
import pytest

# Two shared cores make single examples slow now and then; a limit per example would be luck.
hypothesis.settings.register_profile("here", deadline=None, print_blob=True)
hypothesis.settings.load_profile("here")


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """What this shell has set for OpenTelemetry or inferspan must not decide a test."""
    for name in tuple(os.environ):
        # INFERSPAN_CACHE only says where the real servers are kept between runs.
        if name.startswith(("OTEL_", "INFERSPAN_")) and name != "INFERSPAN_CACHE":
            monkeypatch.delenv(name)


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

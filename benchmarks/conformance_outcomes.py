"""pytest plugin: what became of each case, one JSON object a line, in `CONFORMANCE_OUTCOMES`.

Each case runs in a context of its own and after a collection of garbage, so that what one leaves
behind (a leaked span, an open stream) is not the next one's fault. An interrupt that a case lets
out fails that case alone. Failing examples are not shrunk.
"""

from __future__ import annotations

import contextvars
import gc
import json
import os
from collections.abc import Generator
from typing import Any

import hypothesis
import pytest

NOT_OFFERED = "NotOffered"


def pytest_sessionstart() -> None:
    hypothesis.settings.register_profile(
        "outcomes",
        deadline=None,
        database=None,
        derandomize=True,
        phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate],
    )
    hypothesis.settings.load_profile("outcomes")


def pytest_collection_finish(session: pytest.Session) -> None:
    gc.freeze()
    for item in session.items:
        _write(item.nodeid, "not run")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    runtest = item.runtest

    def run() -> None:
        try:
            contextvars.Context().run(runtest)
        except KeyboardInterrupt as interrupt:
            raise AssertionError("an interrupt came out of the case") from interrupt

    item.runtest = run  # type: ignore[method-assign]
    return (yield)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    error = call.excinfo
    report.user_properties.append(("error", error.typename if error is not None else ""))
    if call.when == "teardown":
        gc.collect()
    return report


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    error = dict(report.user_properties)["error"]
    if report.when != "call" and not report.failed:
        return
    _write(report.nodeid, "not offered" if error == NOT_OFFERED else report.outcome)


def pytest_collectreport(report: pytest.CollectReport) -> None:
    if report.failed:
        _write(report.nodeid, "not collected")


def _write(case: str, outcome: str) -> None:
    with open(os.environ["CONFORMANCE_OUTCOMES"], "a", encoding="utf-8") as file:
        file.write(json.dumps({"case": case, "outcome": outcome}) + "\n")

"""Real servers for the whole test run; the log of each stands beside a test that failed."""

from __future__ import annotations

from collections.abc import Generator, Iterator

import pytest

from servers import running
from servers.build import BuildError

_servers: list[running.Server] = []


@pytest.fixture(scope="session")
def jaeger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[running.Jaeger]:
    """One real Jaeger, shared: give each test its own service names."""
    try:
        with running.jaeger(tmp_path_factory.mktemp("jaeger")) as started:
            _servers.append(started.server)
            yield started
            _servers.remove(started.server)
    except BuildError as error:
        pytest.fail(str(error), pytrace=False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed and item.get_closest_marker("real"):
        report.sections += [(f"log of {server.name}", server.log_tail()) for server in _servers]
    return report

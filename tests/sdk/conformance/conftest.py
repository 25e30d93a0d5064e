"""Each case runs once for every shape of wrapper, and fails on the SDK's own hidden errors."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from sdk.conformance.adapter import Adapter, Captured, Wrap, adapter_named

ADAPTER = adapter_named(os.environ.get("CONFORMANCE_ADAPTER"))


@pytest.fixture
def adapter() -> Iterator[Adapter]:
    """The SDK under test. A case that means its errors asks for `faults()` itself."""
    ADAPTER.faults()
    yield ADAPTER
    assert ADAPTER.faults() == []


@pytest.fixture
def captured(adapter: Adapter) -> Iterator[Captured]:
    """The spans that have ended so far."""
    with adapter.capture() as captured:
        yield captured


@pytest.fixture(params=list(ADAPTER.shapes))
def trace(request: pytest.FixtureRequest) -> Wrap:
    """Every shape of wrapper."""
    return ADAPTER.shapes[request.param]


@pytest.fixture(params=list(ADAPTER.decorators))
def decorate(request: pytest.FixtureRequest) -> Wrap:
    """Every decorator."""
    return ADAPTER.decorators[request.param]


@pytest.fixture
def trace_one() -> Wrap:
    """One shape, for cases about processes and frameworks, where shapes make no difference."""
    return next(iter(ADAPTER.decorators.values()))


@pytest.fixture(autouse=True)
def contained_errors() -> list[BaseException]:
    """In place of the SDK tests' own: here `adapter` asks for hidden errors, of any SDK."""
    return []

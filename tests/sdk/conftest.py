"""What holds for every test of the SDK: contained errors are failures, settings are fresh."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from inferspan import settings
from inferspan.testing import CapturedSpans, capture_spans, record_contained_errors


@pytest.fixture(autouse=True)
def contained_errors() -> Iterator[list[BaseException]]:
    """Errors that inferspan kept to itself; a test that means them clears the list."""
    with record_contained_errors() as collected:
        yield collected
    if collected:
        raise collected[0]


@pytest.fixture(autouse=True)
def _fresh_settings() -> Iterator[None]:
    previous = settings.install(None)
    yield
    settings.install(previous)


@pytest.fixture
def spans() -> Iterator[CapturedSpans]:
    with capture_spans() as caught:
        yield caught

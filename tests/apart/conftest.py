"""What tests of libraries in environments of their own share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import inferspan
from inferspan.testing import CapturedSpans, capture_spans, record_contained_errors


@pytest.fixture
def spans() -> Iterator[CapturedSpans]:
    with capture_spans() as caught:
        yield caught


@pytest.fixture
def contained_errors() -> Iterator[list[BaseException]]:
    """Errors that inferspan kept to itself: there are none."""
    with record_contained_errors() as collected:
        yield collected
    assert collected == []


@pytest.fixture
def uninstrumented() -> Iterator[None]:
    """Whatever a test instruments is put back."""
    yield
    inferspan.uninstrument()

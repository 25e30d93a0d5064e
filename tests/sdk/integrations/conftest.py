"""Whatever a test instruments is put back after it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import inferspan


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    yield
    inferspan.uninstrument()

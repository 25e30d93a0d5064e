"""Whatever a test instruments is put back after it."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

import inferspan

# Read as PyTorch is imported; else the last bit of a sum depends on where in memory a copy's
# weights lie.
os.environ["MKL_CBWR"] = "COMPATIBLE"


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    yield
    inferspan.uninstrument()

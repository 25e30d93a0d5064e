"""A set of 32-bit tags with open addressing, compiled; one cache miss a question."""

from __future__ import annotations

from typing import Any

import numpy as np

from inferspan_collector.compilation import entry


@entry
def add(tags: Any, lows: Any, highs: Any) -> Any:
    """Take keys in; returns how many were not there."""
    mask = np.uint64(len(tags) - 1)
    added = 0
    for row in range(len(lows)):
        tag = max(highs[row], np.uint32(1))
        at = lows[row] & mask
        while tags[at] != 0 and tags[at] != tag:
            at = (at + np.uint64(1)) & mask
        if tags[at] == 0:
            tags[at] = tag
            added += 1
    return added


@entry
def may_hold(tags: Any, lows: Any, highs: Any) -> Any:
    """Which keys may have been taken in: bool[N]."""
    mask = np.uint64(len(tags) - 1)
    found = np.zeros(len(lows), np.bool_)
    for row in range(len(lows)):
        tag = max(highs[row], np.uint32(1))
        at = lows[row] & mask
        while tags[at] != 0:
            if tags[at] == tag:
                found[row] = True
                break
            at = (at + np.uint64(1)) & mask
    return found

"""Equal rows, found by hashing, compiled."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from inferspan_collector.compilation import entry

_FACTOR: Final = np.uint64(0x9E3779B97F4A7C15)


@entry
def groups(words: Any) -> Any:
    """The group of each row of K columns, int64[K, N], and the first row of each group."""
    columns, rows = words.shape
    size = 16
    while size < 2 * rows:
        size *= 2
    shift = np.uint64(32)
    table = np.full(size, -1, np.int32)
    group = np.empty(rows, np.int32)
    first = np.empty(rows, np.int32)
    found = 0
    for row in range(rows):
        h = np.uint64(0)
        for place in range(columns):
            h = (h ^ np.uint64(words[place, row])) * _FACTOR
            h ^= h >> shift
        at = np.int64(h & np.uint64(size - 1))
        while True:
            known = table[at]
            if known < 0:
                table[at] = found
                first[found] = row
                group[row] = found
                found += 1
                break
            same = True
            for place in range(columns):
                if words[place, first[known]] != words[place, row]:
                    same = False
                    break
            if same:
                group[row] = known
                break
            at = (at + 1) & (size - 1)
    return group, first[:found].copy()


@entry
def sums(group: Any, size: Any, weights: Any) -> Any:
    """The sum of the weights of each group."""
    total = np.zeros(size, np.int64)
    for row in range(len(group)):
        total[group[row]] += weights[row]
    return total

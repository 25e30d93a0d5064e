"""Rows of the file by a hash of their id, compiled: a segment is written once and asked often.

A segment's hashes stand in buckets by their upper bits, about 16 in each, of which `starts` has the
ends; of each hash the next 32 bits are kept, and how far its row is behind the segment's first.
Counting sort: two passes, no order inside a bucket. A question is two cache misses and about 16
comparisons; a hash that is not there is found about once in 300 million questions.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from inferspan_collector.compilation import entry, part


@part
def _bucket(hashed: Any, bits: Any) -> Any:
    return np.int64(hashed >> np.uint64(64 - bits))


@part
def _tag(hashed: Any, bits: Any) -> Any:
    return np.uint32((hashed >> np.uint64(32 - bits)) & np.uint64(0xFFFFFFFF))


@entry
def sealed(hashes: Any, behind: Any, bits: Any) -> Any:
    """A segment: uint32[2**bits + 1] starts, uint32[N] tags, uint32[N] rows behind the first.

    `hashes` is uint64[N], `behind` uint32[N]; 0 < bits <= 32.
    """
    starts = np.zeros((1 << bits) + 1, np.uint32)
    for row in range(len(hashes)):
        starts[_bucket(hashes[row], bits) + 1] += np.uint32(1)
    for bucket in range(1 << bits):
        starts[bucket + 1] += starts[bucket]
    free = starts[:-1].copy()
    tags = np.empty(len(hashes), np.uint32)
    rows = np.empty(len(hashes), np.uint32)
    for row in range(len(hashes)):
        bucket = _bucket(hashes[row], bits)
        at = free[bucket]
        free[bucket] = at + np.uint32(1)
        tags[at] = _tag(hashes[row], bits)
        rows[at] = behind[row]
    return starts, tags, rows


@entry
def found(starts: Any, tags: Any, rows: Any, bits: Any, wanted: Any) -> Any:
    """Which hash has which row: int64[M] places in `wanted`, and uint32[M] rows."""
    n = 0
    for place in range(len(wanted)):
        bucket = _bucket(wanted[place], bits)
        tag = _tag(wanted[place], bits)
        for at in range(starts[bucket], starts[bucket + 1]):
            n += tags[at] == tag
    places = np.empty(n, np.int64)
    behind = np.empty(n, np.uint32)
    if n == 0:
        return places, behind
    n = 0
    for place in range(len(wanted)):
        bucket = _bucket(wanted[place], bits)
        tag = _tag(wanted[place], bits)
        for at in range(starts[bucket], starts[bucket + 1]):
            if tags[at] == tag:
                places[n] = place
                behind[n] = rows[at]
                n += 1
    return places, behind

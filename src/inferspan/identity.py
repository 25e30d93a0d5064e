"""Where ids come from: UUIDv7 for records, random trace and span ids, HMAC for personal ids.

All of them are drawn from a generator of our own. OpenTelemetry draws its ids from the global
`random`; user code that seeds it (`random.seed(42)` before each call) repeats them.
"""

from __future__ import annotations

import itertools
import os
import random
import struct
import time
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from opentelemetry.sdk.trace.id_generator import IdGenerator

from inferspan.containment import errors

_random = random.Random()


def uuid7(time_ns: int, bits: int) -> str:
    """Write a UUIDv7 (RFC 9562, section 5.7) as 32 hex digits.

    Args:
        time_ns: Unix time in nanoseconds; its milliseconds (48 bits) lead, so ids sort by time.
        bits: 74 random bits.
    """
    milliseconds = time_ns // 1_000_000 & 0xFFFF_FFFF_FFFF
    high, low = bits >> 62, bits & 0x3FFF_FFFF_FFFF_FFFF
    return f"{milliseconds << 80 | 0x7 << 76 | high << 64 | 0b10 << 62 | low:032x}"


_IDS_OF_A_SERIES: Final = 1 << 20
_pack: Final = struct.Struct(">QII").pack


class _Series:
    """UUIDv7 ids of this process: the time, and then a random beginning and a counter.

    RFC 9562, section 6.2, method 1: of the 74 bits after the time, 42 are drawn anew for every
    series and the last 32 count on from a random number. It costs a quarter of drawing them all.
    """

    def __init__(self) -> None:
        self.start()

    def start(self) -> None:
        """Begin a series of its own; a forked child has to."""
        random_bits = int(uuid7(0, _random.getrandbits(74)), 16)
        high, low = random_bits >> 64, random_bits & 0xFFFF_FFFF_FFFF_FFFF
        # The counter's own 32 bits have room for a series, however it begins.
        low -= low & _IDS_OF_A_SERIES
        fixed, counted = low >> 32, low & 0xFFFF_FFFF
        # One object: a thread that changes the series does not mix two of them.
        self.current = (high, fixed, itertools.count(counted), counted + _IDS_OF_A_SERIES)


_series: Final = _Series()
_replaced: Callable[[], str] | None = None


def new_record_id(now_ns: int | None = None) -> str:
    """A new id for a prediction or a label that came without one: UUIDv7, 32 hex digits.

    Args:
        now_ns: Unix time in nanoseconds, where the caller has just read it.
    """
    # All in one frame: a call of a function costs as much as the id.
    if _replaced is not None:
        return _replaced()
    high, fixed, counter, last = _series.current
    counted = next(counter)
    if counted >= last:
        _series.start()
    # Formatting integers costs twice as much, and so does counting in more than 63 bits.
    milliseconds = (now_ns or time.time_ns()) // 1_000_000
    return _pack((milliseconds << 16 | high) & 0xFFFF_FFFF_FFFF_FFFF, fixed, counted).hex()


def uuid7s(times_ns: Sequence[int]) -> list[str]:
    """New ids for many records at once, one per time (Unix ns)."""
    if _replaced is not None:
        return [_replaced() for _ in times_ns]
    count = len(times_ns)
    octets = np.frombuffer(_random.randbytes(16 * count), np.uint8).reshape(count, 16).copy()
    milliseconds = np.array(times_ns, np.int64) // 1_000_000
    octets[:, :6] = milliseconds.astype(">i8").view(np.uint8).reshape(count, 8)[:, 2:]
    octets[:, 6] = octets[:, 6] & 0x0F | 0x70
    octets[:, 8] = octets[:, 8] & 0x3F | 0x80
    digits = octets.tobytes().hex()
    return [digits[at : at + 32] for at in range(0, 32 * count, 32)]


def random_bytes(count: int) -> bytes:
    """Random bytes of our own generator; of 8 or more, never all zero in practice."""
    return _random.randbytes(count)


def replace_record_ids(source: Callable[[], str] | None) -> None:
    """Draw record ids from `source` (None: from our generator again). For tests."""
    global _replaced
    _replaced = source


class RandomIds(IdGenerator):
    """Trace and span ids that no `random.seed()` of the user's repeats."""

    def generate_span_id(self) -> int:
        """64 random bits, not zero."""
        return _random.getrandbits(64) or 1

    def generate_trace_id(self) -> int:
        """128 random bits, not zero."""
        return _random.getrandbits(128) or 1

    def is_trace_id_random(self) -> bool:
        """Samplers may rely on the ids' randomness."""
        return True


def _after_fork() -> None:
    # A child that kept the parent's state would repeat its ids, one by one.
    _random.seed(os.urandom(32))
    _series.start()
    errors.renew_lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)

"""The section `store`: the file, and what it may take."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from pydantic import Field, field_validator, model_validator

from inferspan_collector.config.section import Section
from inferspan_collector.config.spans import Span, span_ns

MEMORY_BYTES_MIN: Final = 1_000_000
"""With less DuckDB cannot even open its file."""
_MEMORY: Final = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,15})?) ?([KMGT]i?)?B", re.IGNORECASE)
_MEMORY_SHARE: Final = re.compile(r"([1-9][0-9]?|100)%")
_POWERS: Final = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4}
SIZE_LIMIT_MIN: Final = 10_000_000
"""An empty store and what one transaction adds need some room."""


def amount_bytes(amount: str) -> int | None:
    """The bytes of `500MB` or `1.5GiB`; None where it is none of these."""
    match = _MEMORY.fullmatch(amount)
    if match is None:
        return None
    unit = (match[2] or "").upper()
    return int(float(match[1]) * (1024 if unit.endswith("I") else 1000) ** _POWERS[unit[:1]])


class Retention(Section):
    """How long rows and counters are kept; rows by the time of receipt, counters by their own."""

    rows: Span = "90d"
    """How long a label may come after its prediction, or before it, where its target does not say
    otherwise. Rows live as long as the longest of these."""
    minutes: Span = "14d"
    """Counters of minutes; older ones are those of whole hours."""
    hours: Span = "400d"
    """Counters of hours."""

    @property
    def minutes_ns(self) -> int:
        """`minutes` in nanoseconds."""
        return span_ns(self.minutes)

    @property
    def hours_ns(self) -> int:
        """`hours` in nanoseconds."""
        return span_ns(self.hours)

    @model_validator(mode="after")
    def _in_this_order(self) -> Retention:
        if self.minutes_ns > self.hours_ns:
            raise ValueError(
                f"minutes = {self.minutes} is longer than hours = {self.hours}; counters of "
                "minutes become those of hours, so keep the hours as long at least"
            )
        return self


class Store(Section):
    """The DuckDB file."""

    data: Path = Path("inferspan-data")
    memory: str = "512MB"
    """DuckDB's memory limit: an amount, or a share of the machine's (`50%`)."""
    compact_every: int = Field(500, ge=1, strict=True)
    """Transactions between two compactions of the counter tables."""
    retention: Retention = Retention()
    size_limit: str | None = None
    """What the file may hold: an amount. Beyond it the oldest rows leave before their time."""

    @property
    def size_limit_bytes(self) -> int | None:
        """`size_limit` in bytes."""
        return None if self.size_limit is None else amount_bytes(self.size_limit)

    @field_validator("size_limit")
    @classmethod
    def _a_size(cls, value: str | None) -> str | None:
        if value is not None and (amount_bytes(value) or 0) < SIZE_LIMIT_MIN:
            raise ValueError(
                f"{value!r} is no size from {SIZE_LIMIT_MIN // 1_000_000}MB up; write it as 500MB "
                "or 20GiB"
            )
        return value

    hot_keys: int = Field(5_000_000, ge=0, strict=True)
    """Newest prediction ids that memory holds; older ones are found in the file. What each of them
    takes says `config.memory`."""
    cold_keys: int = Field(25_000_000, ge=0, strict=True)
    """Older ids for which memory has room; with many more, new ids are looked up on disk."""

    @field_validator("memory")
    @classmethod
    def _an_amount(cls, value: str) -> str:
        if _MEMORY_SHARE.fullmatch(value):
            return value
        if (amount_bytes(value) or 0) < MEMORY_BYTES_MIN:
            raise ValueError(
                f"{value!r} is no amount of memory from {MEMORY_BYTES_MIN // 1_000_000}MB up; "
                "write it as 500MB, 1.5GiB or 50%"
            )
        return value

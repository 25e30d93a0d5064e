"""The section `store`: the file, and what it may take."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from pydantic import Field, field_validator

from inferspan_collector.config.section import Section

MEMORY_BYTES_MIN: Final = 1_000_000
"""With less DuckDB cannot even open its file."""
_MEMORY: Final = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,15})?) ?([KMGT]i?)?B", re.IGNORECASE)
_MEMORY_SHARE: Final = re.compile(r"([1-9][0-9]?|100)%")
_POWERS: Final = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4}


class Store(Section):
    """The DuckDB file."""

    data: Path = Path("inferspan-data")
    memory: str = "1GB"
    """DuckDB's memory limit: an amount, or a share of the machine's (`50%`)."""
    compact_every: int = Field(500, ge=1, strict=True)
    """Transactions between two compactions of the counter tables."""

    @field_validator("memory")
    @classmethod
    def _an_amount(cls, value: str) -> str:
        if _MEMORY_SHARE.fullmatch(value):
            return value
        match = _MEMORY.fullmatch(value)
        unit = (match[2] or "").upper() if match else ""
        scale = (1024 if unit.endswith("I") else 1000) ** _POWERS[unit[:1]]
        if match is None or float(match[1]) * scale < MEMORY_BYTES_MIN:
            raise ValueError(
                f"{value!r} is no amount of memory from {MEMORY_BYTES_MIN // 1_000_000}MB up; "
                "write it as 500MB, 1.5GiB or 50%"
            )
        return value

"""What an examination says: one line, right or wrong, and of what is wrong the fix."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final

from inferspan_collector.cli.printable import printable

RIGHT: Final = "ok"
WRONG: Final = "WRONG"
UNKNOWN: Final = "?"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the examination."""

    part: str
    """`sender`, `gateway`, `collector`, `figures`, `jaeger` or `prometheus`."""
    name: str
    """What was looked at: a variable, a key, a series, a figure."""
    state: str
    """`RIGHT`, `WRONG`, or `UNKNOWN`: could not be looked at."""
    seen: str
    expected: str = ""
    fix: str = ""

    def line(self) -> str:
        """For people."""
        told = f"{self.state:5}  {self.part:10}  {self.name}: {self.seen}"
        if self.expected:
            told += f"; expected {self.expected}"
        if self.fix:
            told += f"; {self.fix}"
        return printable(told)

    def json(self) -> dict[str, Any]:
        """For a program."""
        return asdict(self)


def right(part: str, name: str, seen: str) -> Finding:
    """It is as it should be."""
    return Finding(part, name, RIGHT, seen)


def wrong(part: str, name: str, seen: str, expected: str, fix: str) -> Finding:
    """It is not: the value seen, the value expected, and what to do."""
    return Finding(part, name, WRONG, seen, expected, fix)


def unknown(part: str, name: str, seen: str, fix: str = "") -> Finding:
    """It could not be looked at, and that may be right."""
    return Finding(part, name, UNKNOWN, seen, "", fix)

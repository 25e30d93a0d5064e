"""Texts for a terminal: somebody else's, and numbers of things."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

NAMED_MAX: Final = 5


def printable(text: object) -> str:
    """A text of somebody else's, so that it stands on one line and moves no cursor."""
    return "".join(char if char.isprintable() else "�" for char in str(text))


def counted(n: int, noun: str) -> str:
    """So many of a thing, `1 label`, `1,200 labels`; `noun` takes an s."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def quoted(names: Sequence[str]) -> str:
    """The first few names, and how many more there are: `` `a`, `b` and 3 more``."""
    more = f" and {len(names) - NAMED_MAX} more" if len(names) > NAMED_MAX else ""
    return ", ".join(f"`{printable(name):.40}`" for name in names[:NAMED_MAX]) + more

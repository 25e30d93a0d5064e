"""Texts for a terminal: somebody else's, and numbers of things."""

from __future__ import annotations


def printable(text: object) -> str:
    """A text of somebody else's, so that it stands on one line and moves no cursor."""
    return "".join(char if char.isprintable() else "�" for char in str(text))


def counted(n: int, noun: str) -> str:
    """So many of a thing, `1 label`, `1,200 labels`; `noun` takes an s."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"

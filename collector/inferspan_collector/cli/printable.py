"""Texts of somebody else's on a terminal."""

from __future__ import annotations


def printable(text: object) -> str:
    """A text of somebody else's, so that it stands on one line and moves no cursor."""
    return "".join(char if char.isprintable() else "�" for char in str(text))

"""An error in one line, for messages and logs."""

from __future__ import annotations


def first_line(error: BaseException) -> str:
    """The first line of what an error says; of one that says nothing, its name."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]

"""What a defect of the decoder costs: the records that are to blame for it, and no others.

Decoding is pure, so that whatever it fails with, beside want of memory, it fails with again: told
to come again, the sender of such bytes would do so for ever, and hold back all that it has behind
them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypeVar

PASSING: Final = (MemoryError, OSError)
"""Errors that say nothing of the bytes: the same request may fare better later."""
BLAMED_MAX: Final = 32
"""Records of one request that are looked for: each costs as many readings of a part as the request
can be halved. Where more fail, the request is read no further."""

_Record = TypeVar("_Record")
_Result = TypeVar("_Result")


def read_in_parts(
    records: Sequence[_Record], read: Callable[[Sequence[_Record]], _Result]
) -> tuple[_Result, dict[int, Exception]]:
    """Read all records but those at which reading fails.

    Args:
        records: of one request.
        read: reads some of them, in their order; pure.

    Returns:
        What `read` gives of all the others, and the error of each one left out, by its place.

    Raises:
        MemoryError, OSError: as `read` does.
        Exception: as `read` does of the others, or of `BLAMED_MAX` records.
    """
    try:
        return read(records), {}
    except PASSING:
        raise
    except Exception:
        blamed = _blamed(records, read)
    return read([record for place, record in enumerate(records) if place not in blamed]), blamed


def _blamed(
    records: Sequence[_Record], read: Callable[[Sequence[_Record]], object]
) -> dict[int, Exception]:
    blamed: dict[int, Exception] = {}
    parts = [range(len(records))]
    while parts:
        part = parts.pop()
        try:
            read(records[part.start : part.stop])
        except PASSING:
            raise
        except Exception as error:
            if len(part) > 1:
                middle = (part.start + part.stop) // 2
                parts += (range(middle, part.stop), range(part.start, middle))
            elif len(part) and len(blamed) < BLAMED_MAX:
                blamed[part.start] = error
            else:
                raise
    return blamed

"""Columns of a slim record as bytes: integers, codes with a dictionary, numbers; all pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    # Importing inferspan need not wait for it.
    from numpy.typing import NDArray

_CODE_TYPES: Final = (("<u1", 1 << 8), ("<u2", 1 << 16), ("<u4", 1 << 32))
_UINT32_MAX: Final = (1 << 32) - 1


def unsigned(numbers: Sequence[int]) -> bytes:
    """Unsigned integers of 4 bytes each if all fit, else of 8."""
    width = "<u4" if max(numbers) <= _UINT32_MAX else "<u8"
    return np.array(numbers, width).tobytes()


def flags(answers: Sequence[bool]) -> bool | bytes:
    """One answer if it is that of all, else a bit each, the lowest of a byte first."""
    first = answers[0]
    if answers.count(first) == len(answers):
        return first
    return np.packbits(np.array(answers, np.bool_), bitorder="little").tobytes()


def code_dictionary(texts: Iterable[str | None]) -> tuple[list[str], bytes]:
    """Distinct texts in order of appearance, and codes: 0 = absent."""
    seen: dict[str, int] = {}
    codes = [0 if each is None else seen.setdefault(each, len(seen) + 1) for each in texts]
    kind = next(kind for kind, end in _CODE_TYPES if len(seen) < end)
    return list(seen), np.array(codes, kind).tobytes()


def floats(numbers: Sequence[float | None] | NDArray[np.float64]) -> bytes | None:
    """float32 where that loses nothing, else float64; None where there is no number at all."""
    wide: NDArray[np.float64] = np.asarray(numbers, "<f8")  # None becomes NaN
    known = ~np.isnan(wide)
    if not known.any():
        return None
    with np.errstate(over="ignore"):
        narrow = wide.astype("<f4")
    lossless = bool(np.all(narrow[known] == wide[known]))
    return (narrow if lossless else wide).tobytes()

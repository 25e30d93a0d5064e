"""What compiled code asks of interned texts: arrays by number, grown as numbers are given."""

from __future__ import annotations

import sys
from typing import Final

import numpy as np

from inferspan_collector.batches import (
    Bool,
    Float64,
    Int32,
    Int64,
    Objects,
    Strings,
    UInt64,
    object_column,
)
from inferspan_collector.config import Config
from inferspan_collector.several_classes import is_ranking
from inferspan_collector.store.cells import SERIES_KEYS
from inferspan_collector.store.interning import Interner, SliceKey

CLASSES_MAX: Final = 65_536
"""Classes with a code; predictions and labels of further ones are joined in SQL."""
ABSENT: Final = -2
"""The code of an environment or version that is not there, which no label can name."""
UNKNOWN: Final = -3

_NUMERIC: Final = ("regression", "forecasting")


class Codes:
    """Texts and their codes, in order of first appearance, up to a limit."""

    def __init__(self, limit: int = CLASSES_MAX) -> None:
        self._codes: dict[str, int] = {}
        self.texts: list[str] = []
        self._limit = limit

    def of(self, text: str) -> int:
        """The text's code, or `UNKNOWN` beyond the limit."""
        code = self._codes.get(text)
        if code is None:
            if len(self.texts) >= self._limit:
                return UNKNOWN
            code = self._codes[text] = len(self.texts)
            self.texts.append(text)
        return code

    def known(self, text: str) -> int:
        """The text's code if it has one, else `UNKNOWN`."""
        return self._codes.get(text, UNKNOWN)

    def column(self, strings: Strings) -> Int32:
        """The code of each text of a column; -1 where it is absent."""
        codes = np.array([*map(self.of, strings.values), -1], np.int32)
        return codes[strings.codes]


class SeriesFacts:
    """The series by number: number 0 is none."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._places = Codes(sys.maxsize)
        self.models: list[str] = [""]
        self._rows: list[tuple[int, int, int, bool, float]] = [(0, ABSENT, ABSENT, False, np.nan)]
        self._arrange()

    def learn(self, interner: Interner) -> None:
        """Take in what was interned since."""
        if len(self._rows) == len(interner.series_keys) + 1:
            return
        fields = [
            SERIES_KEYS.index(k) for k in ("environment", "version", "model", "task", "operation")
        ]
        for key, number in list(interner.series_keys.items())[len(self._rows) - 1 :]:
            environment, version, model, task, operation = (key[place] for place in fields)
            tolerance = self._config.model(str(model)).tolerance
            self._rows.append(
                (
                    interner.series_identities[number],
                    self._place(environment),
                    self._place(version),
                    task in _NUMERIC or is_ranking(task, operation),
                    np.nan if tolerance is None else tolerance,
                )
            )
            self.models.append(str(model))
        self._arrange()

    def named(self, column: Strings) -> Int32:
        """The code of the environment or version that each label names; -1 = it names none.

        One that no series has gets a code that none has.
        """
        return np.array([*map(self.name, column.values), -1], np.int32)[column.codes]

    def name(self, text: str | None) -> int:
        """The code of one such text."""
        return -1 if text is None else self._places.known(text)

    def _place(self, text: str | None) -> int:
        return ABSENT if text is None else self._places.of(text)

    def _arrange(self) -> None:
        identity, environment, version, numeric, tolerance = zip(*self._rows, strict=True)
        self.identity: UInt64 = np.array(identity, np.uint64)
        self.places: Int32 = np.array([environment, version], np.int32).T.copy()
        self.numeric: Bool = np.array(numeric, np.bool_)
        """Judged by numbers, if at all: no classes are compared."""
        self.tolerance: Float64 = np.array(tolerance, np.float64)


class SliceFacts:
    """Slice combinations by number, each as the cells its rows count in."""

    def __init__(self) -> None:
        self._codes: dict[tuple[str, str], int] = {("", ""): 0}
        self.pairs: list[tuple[str, str]] = [("", "")]
        self._known = 0
        self._members: list[int] = []
        self._ends: list[int] = [0]
        self._arrange()

    def learn(self, slice_sets: dict[SliceKey, int]) -> None:
        """Take in what was interned since."""
        if self._known == len(slice_sets):
            return
        for pairs in list(slice_sets)[self._known :]:
            self._members += [0, *map(self._code, pairs)]
            self._ends.append(len(self._members))
        self._known = len(slice_sets)
        self._arrange()

    def _code(self, pair: tuple[str, str]) -> int:
        code = self._codes.setdefault(pair, len(self.pairs))
        if code == len(self.pairs):
            self.pairs.append(pair)
        return code

    def texts(self) -> tuple[Objects, Objects]:
        """The key and the value of each code."""
        return self._texts

    def _arrange(self) -> None:
        keys = object_column(key for key, _ in self.pairs)
        self._texts = keys, object_column(value for _, value in self.pairs)
        self.members: Int32 = np.array(self._members, np.int32)
        self.ends: Int64 = np.array(self._ends, np.int64)

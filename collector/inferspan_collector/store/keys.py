"""Ids as 128-bit keys, which the store joins and finds by.

An id of 32 lowercase hexadecimal digits, as the SDK makes them, is its own key, and its text is
never stored. Any other id's key is a hash with a secret of the file's own, so that nobody can make
two ids meet, and its text is stored beside it. No id at all is the key 0, and no id has that key.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from typing import Final, Self

import duckdb
import numpy as np

from inferspan_collector.batches import Bool, Objects, Strings, Texts, UInt8, UInt64
from inferspan_collector.store.compiled import sip
from inferspan_collector.store.compiled.ids import keys as compiled_keys

_PUBLIC: Final = (np.uint64(0x696E666572737061), np.uint64(0x6E2E636F6E74656E))
"""The key of hashes that must be the same in every store."""
PADDING: Final = "-" * 12
"""Before each id that is stored as text. DuckDB keeps the first 12 bytes of the least and the
greatest text of a column among its statistics, and old statistics in the file: no id is to be
found there after it was forgotten."""


@dataclass(frozen=True, slots=True, eq=False)
class Keys:
    """One key a row: `high` and `low` are its halves; `hashed` says where the text is not in it."""

    high: UInt64
    low: UInt64
    hashed: Bool


@dataclass(frozen=True, slots=True)
class Secret:
    """The file's own secret: 128 bits, made once."""

    high: np.uint64
    low: np.uint64

    @classmethod
    def of(cls, cursor: duckdb.DuckDBPyConnection) -> Self:
        """Read it; a file that has none yet gets one."""
        found = cursor.execute("SELECT high, low FROM id_secret").fetchall()
        if not found:
            found = [(secrets.randbits(64), secrets.randbits(64))]
            cursor.execute("INSERT INTO id_secret VALUES (?, ?)", found[0])
        return cls(np.uint64(found[0][0]), np.uint64(found[0][1]))

    def name(self) -> str:
        """What tells this file and its copies from any other; says nothing of the secret."""
        said = f"{int(self.high):016x}{int(self.low):016x}".encode()
        return hashlib.sha256(said).hexdigest()[:16]

    def keys(self, texts: Texts) -> Keys:
        """The key of each id."""
        return Keys(*compiled_keys(_own(texts.data), texts.offsets, self.high, self.low))


def padded(ids: Objects) -> Objects:
    """Ids as they are stored."""
    return np.array([PADDING + text for text in ids], np.object_)


def _own(data: UInt8) -> UInt8:
    """Bytes that may be written: code is compiled anew for those that may not."""
    return np.require(data, requirements="W")


def text_hashes(texts: Texts) -> UInt64:
    """64 bits of each text, the same in every store; absent texts are 0."""
    return sip.of_texts(_own(texts.data), texts.offsets, *_PUBLIC)


def string_hashes(strings: Strings) -> UInt64:
    """64 bits of each text, as `text_hashes` has them."""
    distinct = text_hashes(Texts.of([*strings.values, None]))
    return distinct[strings.codes]


def name_hash(text: str | None) -> int:
    """64 bits of one text, as `string_hashes` has them."""
    return int(text_hashes(Texts.of([text]))[0])


def row_hashes(words: UInt64) -> UInt64:
    """64 bits of each row of K columns, uint64[K, N], the same in every store."""
    return sip.of_rows(words, *_PUBLIC)

"""DuckDB's write-ahead log, read without DuckDB: where its last whole transaction ends.

Every entry is its size, its checksum and its bytes; a transaction ends with an entry that is the
same 21 bytes every time. DuckDB itself takes any entry that reaches beyond the end for a log that
was being written when the power went, and drops what follows in silence: a flipped bit in a size
would lose whatever was committed behind it. And it refuses a tail of zeros, which is what some
file systems leave of an append that was under way. So the log is looked at before DuckDB sees it.

What follows the last whole transaction was never acknowledged, if no other transaction ends
behind it. If one does, the log is damaged in its middle, and that is for people to decide.

The layout is what DuckDB 2.0 writes (WAL version 2); a log of another version is left to DuckDB.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

_ENTRY: Final = struct.Struct("<QQ")
_FIELD: Final = struct.Struct("<H")
_END_OF_OBJECT: Final = 0xFFFF
_TYPE, _VERSION, _DATABASE, _ITERATION = 100, 101, 102, 103
_VERSION_ENTRY: Final = 98
_CHECKPOINT: Final = bytes((_TYPE, 0, 99))
TRANSACTION_END: Final = bytes.fromhex("0500000000000000e7fe7d722fed3d5e640064ffff")
"""The entry that ends a transaction, with its size and checksum."""
_MASK: Final = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class Log:
    """What a log holds.

    `state`: `whole`, all of it is transactions; `torn`, some bytes follow the last one that are
    none; `broken`, whole transactions follow such bytes; `foreign`, not of a version known here.
    """

    state: Literal["whole", "torn", "broken", "foreign"]
    length: int
    valid: int
    """Bytes to the end of the last whole transaction before any damage; 0 = not even a header."""
    transactions: int
    """Transactions in these bytes."""
    beyond: int
    """Transactions that end behind the damage; those that it hit are not among them."""


def inspect(log: bytes) -> Log:
    """Read a log from its start to the first entry that is none."""
    length = len(log)
    if not length:
        return Log("whole", 0, 0, 0, 0)
    try:
        version, start = _header(log)
    except (IndexError, struct.error, ValueError):
        return _damaged(log, 0, 0, 0)
    if version != 2:
        return Log("foreign", length, length, 0, 0)
    at = valid = start
    transactions = 0
    while at < length:
        end = _entry_end(log, at)
        if end == 0:
            return _damaged(log, valid, at, transactions)
        ends_transaction = log[at:end] == TRANSACTION_END
        # DuckDB's mark that a checkpoint began stands on its own.
        if ends_transaction or log.startswith(_CHECKPOINT, at + _ENTRY.size):
            valid = end
            transactions += ends_transaction
        at = end
    state: Literal["whole", "torn"] = "whole" if valid == length else "torn"
    return Log(state, length, valid, transactions, 0)


def _damaged(log: bytes, valid: int, at: int, transactions: int) -> Log:
    beyond = log.count(TRANSACTION_END, at)
    return Log("broken" if beyond else "torn", len(log), valid, transactions, beyond)


def _entry_end(log: bytes, at: int) -> int:
    """Where the entry at an offset ends; 0 where there is none."""
    if at + _ENTRY.size > len(log):
        return 0
    size, stored = _ENTRY.unpack_from(log, at)
    begin = at + _ENTRY.size
    if size == 0 or size > len(log) - begin:
        return 0
    return begin + size if checksum(log, begin, size) == stored else 0


def _header(log: bytes) -> tuple[int, int]:
    """The log's version, and where its first entry starts.

    Raises:
        IndexError, struct.error, ValueError: there is no header.
    """
    at, version = 0, -1
    while True:
        (field,) = _FIELD.unpack_from(log, at)
        at += _FIELD.size
        if field == _END_OF_OBJECT:
            return version, at
        number, at = _varint(log, at)
        if field == _TYPE and number != _VERSION_ENTRY:
            raise ValueError("the log does not start with its version")
        if field == _VERSION:
            version = number
        elif field == _DATABASE:
            for _ in range(number):
                _, at = _varint(log, at)
        elif field not in (_TYPE, _ITERATION):
            raise ValueError(f"field {field} in the log's header")


def _varint(log: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = log[at]
        at += 1
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return number, at


def checksum(data: bytes, begin: int, size: int) -> int:
    """DuckDB's checksum of a piece of bytes: uint64."""
    words = np.frombuffer(data, "<u8", size // 8, begin)
    mixed = np.bitwise_xor.reduce(words * np.uint64(0xBF58476D1CE4E5B9), initial=np.uint64(0))
    result = 5381 ^ int(mixed)
    rest = data[begin + size // 8 * 8 : begin + size]
    return result ^ _hash_of_rest(rest) if rest else result


def _hash_of_rest(rest: bytes) -> int:
    """MurmurHash64A of fewer than eight bytes, as DuckDB seeds it."""
    multiplier = 0xC6A4A7935BD1E995
    value = 0xE17A1465 ^ (len(rest) * multiplier & _MASK)
    value = (value ^ int.from_bytes(rest, "little")) * multiplier & _MASK
    value = (value ^ value >> 47) * multiplier & _MASK
    return value ^ value >> 47

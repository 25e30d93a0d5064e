"""Ids as keys: what is its own key, and what is hashed."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from inferspan_collector.batches import Texts
from inferspan_collector.store.keys import Secret
from inferspan_collector.store.recent_keys import RecentKeys

SECRET = Secret(np.uint64(0x0F0E0D0C0B0A0908), np.uint64(0x0706050403020100))
"""The key of the authors' own examples."""
DIGITS = "0123456789abcdef"
OF_DIGITS = st.text(DIGITS, min_size=32, max_size=32)
NEARLY = st.tuples(OF_DIGITS, st.integers(0, 31), st.characters(max_codepoint=0x7F)).map(
    lambda parts: parts[0][: parts[1]] + parts[2] + parts[0][parts[1] + 1 :]
)
WORDS = st.lists(st.integers(0, 2**64 - 1), min_size=4, max_size=4)


@given(st.lists(st.one_of(OF_DIGITS, NEARLY, st.text(max_size=40)), max_size=20))
def test_an_id_of_digits_is_its_own_key_and_any_other_is_hashed(ids: list[str]) -> None:
    ids = [text.encode("utf-8", "ignore").decode() for text in ids]
    keys = SECRET.keys(Texts.of(ids))
    for row, text in enumerate(ids):
        key = int(keys.high[row]) << 64 | int(keys.low[row])
        own = len(text) == 32 and set(text) <= set(DIGITS) and int(text, 16) > 0
        assert keys.hashed[row] == (bool(text) and not own)
        if own or not text:
            assert key == int(text or "0", 16)


def siphash(text: bytes) -> str:
    """SipHash-2-4-128 with the key of `SECRET`, word by word as the paper and its authors have it:
    both halves of the hash as hexadecimal numbers.
    """
    most = 2**64 - 1
    v = [
        int(SECRET.low) ^ 0x736F6D6570736575, int(SECRET.high) ^ 0x646F72616E646F6D ^ 0xEE,
        int(SECRET.low) ^ 0x6C7967656E657261, int(SECRET.high) ^ 0x7465646279746573,
    ]  # fmt: skip

    def half_round(a: int, b: int, c: int, d: int, s: int, t: int) -> None:
        v[a], v[c] = (v[a] + v[b]) & most, (v[c] + v[d]) & most
        v[b] = ((v[b] << s | v[b] >> 64 - s) & most) ^ v[a]
        v[d] = ((v[d] << t | v[d] >> 64 - t) & most) ^ v[c]
        v[a] = (v[a] << 32 | v[a] >> 32) & most

    def rounds(n: int) -> int:
        for _ in range(n):
            half_round(0, 1, 2, 3, 13, 16)
            half_round(2, 1, 0, 3, 17, 21)
        return v[0] ^ v[1] ^ v[2] ^ v[3]

    padded = text + bytes(7 - len(text) % 8) + bytes([len(text) % 256])
    for place in range(0, len(padded), 8):
        word = int.from_bytes(padded[place : place + 8], "little")
        v[3] ^= word
        rounds(2)
        v[0] ^= word
    v[2] ^= 0xEE
    first = rounds(4)
    v[1] ^= 0xDD
    return f"{first:016x}{rounds(4):016x}"


def test_the_oracle_says_what_the_authors_list() -> None:
    assert siphash(b"") == "e6a825ba047f81a3930255c71472f66d"
    assert siphash(b"\0") == "44af996bd8c187da45fc229b11597634"


@given(st.lists(st.binary(min_size=1, max_size=80), max_size=20))
def test_what_is_hashed_is_hashed_by_siphash(texts: list[bytes]) -> None:
    keys = SECRET.keys(Texts.of_bytes(texts))
    for row, text in enumerate(texts):
        if keys.hashed[row]:
            assert f"{int(keys.high[row]):016x}{int(keys.low[row]):016x}" == siphash(text)


@given(st.lists(WORDS, min_size=1, max_size=150))
def test_a_row_is_hashed_as_it_is_alone(rows: list[list[int]]) -> None:
    recent = RecentKeys(1, 1)
    high, low, models, positions = np.array(rows, np.uint64).T.copy()
    places = (positions % np.uint64(2**31)).astype(np.int32)
    together = recent.hashes(high, low, models, places)
    columns = (high, low, models, places)
    for row in range(len(rows)):
        alone = recent.hashes(*(column[row : row + 1] for column in columns))
        assert alone.low[0] == together.low[row]
        assert alone.high[0] == together.high[row]
    assert (together.low == recent.row_hashes(high, low, models, places.astype(np.uint64))).all()

"""Bytes of a request, damaged: what a broken sender, a broken wire or an attacker makes of them."""

from __future__ import annotations

import random

# Tags and lengths that matter to a parser: groups, unknown fields, overlong and huge varints.
PIECES = (
    b"\x00",
    b"\x0b\x0c",
    b"\x13\x14",
    b"\x80\x00",
    b"\x81\x80\x00",
    b"\xff\xff\xff\xff\x0f",
    b"\xff" * 9 + b"\x01",
    b"\xff" * 9 + b"\x7f",
    b"\x7a\x00",
    b"\xf8\x07\x01",
    b"\x12\x80\x80\x80\x80\x01",
    b"\x0a\x02\x0a\x00",
    b"\xc3\x28",
    b"\xed\xa0\x80",
)


def damaged(body: bytes, seed: int, times: int) -> bytes:
    """The same bytes with so many places changed; the same seed makes the same of them."""
    draw = random.Random(seed)
    found = bytearray(body)
    for _ in range(times):
        place = draw.randrange(len(found) + 1)
        match draw.randrange(7):
            case 0 if place < len(found):
                found[place] ^= 1 << draw.randrange(8)
            case 1 if place < len(found):
                found[place] = draw.choice((0, 1, 0x7F, 0x80, 0xFF, draw.randrange(256)))
            case 2:
                del found[place:]
            case 3:
                found[place:place] = draw.choice(PIECES)
            case 4:
                del found[place : place + draw.randrange(1, 9)]
            case 5:
                # A piece of it twice: fields that a parser merges.
                first = draw.randrange(len(found) + 1)
                found[place:place] = found[first : first + draw.randrange(40)]
            case _ if place < len(found):
                # A length off by a little: the frames behind it move.
                found[place] = (found[place] + draw.choice((-2, -1, 1, 2))) % 256
    return bytes(found)

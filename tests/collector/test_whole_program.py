"""Parts are compiled with the entries that call them, and do what they do in Python."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from inferspan_collector.compilation import entry, inlined, part

HELD = """
(code,) = outer.inspect_llvm().values()
for line in code.splitlines():
    if line.startswith("define "):
        print(line)
"""
NUMBERS = st.one_of(
    st.integers(-1000, 1000), st.booleans(), st.floats(-1000.0, 1000.0, allow_nan=False)
)
RAISES = """
from inferspan_collector.compilation import entry, part

@part
def checked(number):
    if number > 3:
        raise ValueError("too many", number)
    return number

@part
def between(number):
    return checked(number) + 1

@entry
def outer(number):
    return between(number)

assert outer(3) == 4
try:
    outer(4)
except ValueError as error:
    print(error.args, sum(outer.stats.cache_hits.values()))
"""


@part
def halved(number: int) -> int:
    if number < 0:
        return halved_of_negative(number)
    return number // 2


@part
def halved_of_negative(number: int) -> int:
    return -(-number // 2)


@inlined
def squared(number: int) -> int:
    return number * number


@entry
def of_each(numbers: np.ndarray) -> int:
    total = 0
    for number in numbers:
        total += squared(halved(number)) + halved(number)
    return total


@entry
def of_one(number: int) -> int:
    return halved(number) + halved_of_negative(-abs(number))


@part
def mixed(one: float, other: float) -> tuple[float, bool, bool, float]:
    return one + other, one < other, one == other, one * 2 - other


@entry
def both_ways(one: float, other: float) -> tuple[object, object]:
    return mixed(one, other), mixed(other, one)


@given(st.lists(st.integers(-1000, 1000)))
def test_parts_that_two_entries_share_do_what_they_do_in_python(numbers: list[int]) -> None:
    def half(number: int) -> int:
        return -(-number // 2) if number < 0 else number // 2

    expected = sum(half(number) ** 2 + half(number) for number in numbers)
    assert expected == of_each(np.array(numbers, np.int64))
    for number in numbers:
        assert half(number) + half(-abs(number)) == of_one(number)


@given(NUMBERS, NUMBERS)
def test_what_operators_give_follows_from_the_types_of_both_sides(one: float, other: float) -> None:
    def plain(a: float, b: float) -> tuple[float, bool, bool, float]:
        return a + b, a < b, a == b, a * 2 - b

    assert (plain(one, other), plain(other, one)) == both_ways(one, other)


def run(program: Path, source: str) -> str:
    """What a program prints whose code is compiled beside it."""
    program.write_text(source)
    bare = {name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"}
    return subprocess.run(
        [sys.executable, "-B", program], env=bare, capture_output=True, text=True, check=True
    ).stdout


def test_an_entry_has_its_parts_to_itself(tmp_path: Path) -> None:
    defined = run(tmp_path / "held.py", RAISES + HELD).splitlines()[1:]
    assert len([line for line in defined if "outer" in line]) == 2  # and what Python calls
    assert [line for line in defined if "internal" not in line and "outer" not in line] == []


def test_what_a_part_raises_arrives_compiled_and_from_the_disk(tmp_path: Path) -> None:
    for hits in (0, 1):
        printed = run(tmp_path / "raises.py", RAISES)
        assert printed == f"('too many', 4) {hits}\n"

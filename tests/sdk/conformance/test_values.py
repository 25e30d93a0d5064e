"""What a function gets and gives: whatever it is, the call goes as it does without us."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from sdk.conformance.adapter import BREAKABLE, Adapter, Captured, Wrap
from sdk.conformance.comparing import caught_from


def raising(error: type[BaseException]) -> Callable[..., Any]:
    def method(*args: object, **kwargs: object) -> Any:
        raise error("hostile")

    return method


SPECIAL = [
    "__repr__",
    "__str__",
    "__len__",
    "__iter__",
    "__bool__",
    "__eq__",
    "__hash__",
    "__array__",
    "__float__",
    "__int__",
    "__index__",
    "__getattr__",
    "__getitem__",
    "__contains__",
    "__reduce_ex__",
    "__dir__",
    "__format__",
    "__sizeof__",
    "__await__",
    "__next__",
    "__length_hint__",
]


def hostile(error: type[BaseException], *bases: type) -> object:
    """An object of which every special method raises."""
    return type("Hostile", bases, {name: raising(error) for name in SPECIAL})()


class HostileMeta(type):
    __instancecheck__ = __subclasscheck__ = __getattr__ = __hash__ = raising(RuntimeError)  # type: ignore[assignment]


class OfHostileType(metaclass=HostileMeta):
    @property
    def __class__(self) -> type:  # type: ignore[override]
        raise RuntimeError("hostile")

    def __getattribute__(self, name: str) -> object:
        raise RuntimeError(f"hostile {name}")


class Liar:
    """Says that it is an array, and is none."""

    dtype = shape = ndim = size = columns = property(raising(ValueError))
    __class__ = np.ndarray  # type: ignore[assignment]


class Endless:
    """Has no end, and says so by its length."""

    def __len__(self) -> int:
        return 2**62

    def __iter__(self) -> Any:
        return iter(int, 1)

    def __getattr__(self, name: str) -> Endless:
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __call__(self, *args: object, **kwargs: object) -> Endless:
        return self


def recursive() -> list[object]:
    found: list[object] = []
    found.append({"again": found})
    return found


def deep() -> object:
    found: object = "bottom"
    for _ in range(100_000):
        found = [found]
    return found


def object_array() -> object:
    found = np.empty(3, dtype=object)
    found[1] = hostile(RuntimeError)
    return found


VALUES: dict[str, Callable[[], object]] = {
    "hostile": lambda: hostile(RuntimeError),
    "hostile, exits": lambda: hostile(SystemExit),
    "hostile, recurses": lambda: hostile(RecursionError),
    "hostile str": lambda: hostile(RuntimeError, str),
    "hostile float": lambda: hostile(RuntimeError, float),
    "hostile int": lambda: hostile(RuntimeError, int),
    "hostile list": lambda: hostile(RuntimeError, list),
    "hostile dict": lambda: hostile(RuntimeError, dict),
    "hostile tuple": lambda: hostile(RuntimeError, tuple),
    "hostile array": lambda: np.zeros(3).view(
        type("H", (np.ndarray,), {"__len__": raising(OSError)})
    ),
    "hostile type": OfHostileType,
    "liar": Liar,
    "endless": Endless,
    "recursive": recursive,
    "deep": deep,
    "long": lambda: "x" * 10_000_000,
    "many": lambda: list(range(1_000_000)),
    "wide": lambda: {str(i): i for i in range(100_000)},
    "big array": lambda: np.zeros((1_000, 1_000)),
    "object array": object_array,
    "surrogate": lambda: {"\ud800": "\udfff"},
    "nan": lambda: [math.nan, math.inf, -math.inf],
    "huge int": lambda: [2**63, -(2**70), 10**4_000],
    "bytes": lambda: b"\x00\xff" * 1_000,
    "numpy scalar": lambda: np.float32(0.5),
    "type": lambda: OfHostileType,
    "module": lambda: math,
    "generator class": lambda: (x for x in ()).__class__,
    "nothing": lambda: None,
}
values = pytest.mark.parametrize("make", VALUES.values(), ids=VALUES.keys())


@values
def test_a_value_goes_in_and_comes_out(
    adapter: Adapter, captured: Captured, make: Callable[[], object]
) -> None:
    value = make()
    got: list[object] = []

    def takes(first: object, *rest: object, **named: object) -> object:
        got.extend([first, *rest, *named.values()])
        return first

    traced = adapter.trace_all(takes)
    assert traced(value, [value], named=value) is value
    assert got[0] is value
    assert got[1][0] is value  # type: ignore[index]
    assert got[2] is value
    (span,) = captured()
    assert not span.failed
    size = sum(len(v) for v in span.attributes.values() if isinstance(v, (str, bytes, tuple)))
    assert size < 64 * 1024
    adapter.faults()  # a value that raises when it is looked at may cost the span some content


@values
def test_a_value_comes_out_of_a_coroutine_and_a_generator(
    adapter: Adapter, captured: Captured, make: Callable[[], object]
) -> None:
    value = make()

    async def answers() -> object:
        return value

    def gives() -> Any:
        got = yield value
        assert got is value
        return value

    async def gives_later() -> Any:
        got = yield value
        assert got is value

    async def main() -> None:
        assert await adapter.trace_all(answers)() is value
        made = adapter.trace_all(gives_later)()
        assert await anext(made) is value
        with pytest.raises(StopAsyncIteration):
            await made.asend(value)

    asyncio.run(main())
    made = adapter.trace_all(gives)()
    assert next(made) is value
    with pytest.raises(StopIteration) as stopped:
        made.send(value)
    assert stopped.value.value is value
    assert [span.failed for span in captured()] == [False] * 3
    adapter.faults()


def test_arguments_are_recorded_as_they_were_before_the_call(
    adapter: Adapter, captured: Captured
) -> None:
    def changes(rows: list[str]) -> str:
        rows[0] = "changed"
        return "a"

    adapter.trace_all(changes)(["original"])
    written = str(captured()[0].attributes)
    assert "original" in written
    assert "changed" not in written


def test_nothing_is_computed_of_what_is_lazy(trace: Wrap, captured: Captured) -> None:
    """An iterator that goes in is as full when the function gets it."""
    assert trace(lambda given: list(given))(iter([1, 2, 3])) == [1, 2, 3]
    assert list(trace(lambda: map(str, [1, 2]))()) == ["1", "2"]


@pytest.mark.parametrize(
    "error", [ValueError, SystemExit, RecursionError], ids=lambda e: e.__name__
)
def test_a_redactor_that_raises(
    adapter: Adapter, captured: Captured, error: type[BaseException]
) -> None:
    traced = adapter.trace_all(lambda x, y="secret": x, redactor=raising(error))
    assert traced("plain") == "plain"
    assert "secret" not in str(captured()[0].attributes)
    adapter.faults()


@pytest.mark.parametrize("part", BREAKABLE)
def test_a_broken_pipeline_costs_the_span_not_the_call(
    adapter: Adapter, trace: Wrap, part: str
) -> None:
    error = KeyError("k")

    def fails() -> None:
        raise error

    async def answers() -> str:
        return "a"

    def gives() -> Any:
        yield "a"

    with adapter.broken(part):
        assert trace(lambda: "a")() == "a"
        assert list(trace(gives)()) == ["a"]
        assert asyncio.run(trace(answers)()) == "a"
        assert caught_from(trace(fails)) is error
        assert error.__context__ is None
        assert adapter.current() is None
    adapter.faults()


@pytest.mark.parametrize("when", ["before", "after"])
def test_an_interrupt_while_we_look_is_the_users_and_ends_the_span(
    adapter: Adapter, captured: Captured, when: str
) -> None:
    """Control-C comes at any moment; here while a value of the call is looked at."""

    class Slow(list[str]):
        looked = False

        def __iter__(self) -> Any:
            self.looked = True
            raise KeyboardInterrupt

        __len__ = __getitem__ = __repr__ = __iter__

    slow = Slow()
    traced = adapter.trace_all(lambda *given: slow)
    caught = None
    try:
        traced(slow) if when == "before" else traced()
    except KeyboardInterrupt as error:
        caught = error
    assert adapter.current() is None
    if slow.looked:
        assert type(caught) is KeyboardInterrupt
        assert len(captured()) == 1

"""What the standard library does to functions and methods, it does to wrapped ones."""

from __future__ import annotations

import abc
import asyncio
import contextlib
import dataclasses
import doctest
import enum
import functools
import gc
import types
import typing
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any
from unittest import mock

import pytest

from sdk.conformance.adapter import Adapter, Captured, Wrap


class Receiver:
    """Stands for what a signal keeps weakly: an object with methods."""

    def __init__(self) -> None:
        self.bias = 3


def receiver_of(decorate: Wrap) -> type:
    def method(self: Any, x: int) -> int:
        return self.bias + x  # type: ignore[no-any-return]

    def of_class(cls: Any, x: int) -> str:
        return f"{cls.__name__} {x}"

    def of_class_inside(cls: Any, x: int) -> str:
        return f"{cls.__name__} {x}"

    members = {
        "method": decorate(method),
        "of_class": decorate(classmethod(of_class)),
        "of_class_inside": classmethod(decorate(of_class_inside)),
    }
    return type("Receiver", (Receiver,), members)


def test_a_method_is_kept_weakly(decorate: Wrap, captured: Captured) -> None:
    kind = receiver_of(decorate)
    receiver = kind()
    kept = weakref.WeakMethod(receiver.method)
    assert kept()(1) == 4
    assert kept == weakref.WeakMethod(receiver.method)
    assert weakref.WeakMethod(kind.of_class)()(1) == "Receiver 1"
    assert weakref.WeakMethod(receiver.of_class_inside)()(2) == "Receiver 2"
    assert len(captured()) == 3
    del receiver
    gc.collect()
    assert kept() is None


def test_a_method_is_taken_apart_and_made_again(decorate: Wrap, captured: Captured) -> None:
    kind = receiver_of(decorate)
    receiver, other = kind(), kind()
    other.bias = 10
    method = receiver.method
    assert method.__self__ is receiver
    assert method.__func__(other, 1) == 11
    assert types.MethodType(method.__func__, other)(2) == 12
    assert type(method)(method.__func__, other)(3) == 13
    assert kind.of_class.__func__(kind, 4) == "Receiver 4"
    assert not hasattr(kind.method, "__func__")
    assert len(captured()) >= 3


def test_a_method_of_a_traced_model_is_kept_weakly(adapter: Adapter, captured: Captured) -> None:
    class Model:
        def predict(self, x: int) -> int:
            return x + 1

    model = adapter.wrap_model(Model())
    assert model.predict.__self__ is model
    kept = weakref.WeakMethod(model.predict)
    assert kept()(1) == 2
    assert len(captured()) == 1
    del model
    gc.collect()
    assert kept() is None


def test_one_function_for_each_type(decorate: Wrap, captured: Captured) -> None:
    @functools.singledispatch
    @decorate
    def score(x: object) -> str:
        return "any"

    @score.register(list)
    @decorate
    def _of_list(x: list[int]) -> str:
        return "list"

    @decorate
    @functools.singledispatch
    def outside(x: object) -> str:
        return "any"

    outside.register(int, lambda x: "int")

    class Model:
        @functools.singledispatchmethod
        @decorate
        def score(self, x: object) -> str:
            return "any"

        @score.register(int)
        @decorate
        def _of_int(self, x: int) -> str:
            return "int"

    assert [score(1), score([])] == ["any", "list"]
    assert [outside(1), outside("")] == ["int", "any"]
    assert [Model().score(1), Model().score("")] == ["int", "any"]
    assert len(captured()) == 6


def test_an_abstract_method_stays_abstract(decorate: Wrap, captured: Captured) -> None:
    class Inside(abc.ABC):
        @abc.abstractmethod
        @decorate
        def score(self) -> int: ...

    class Outside(abc.ABC):
        @decorate
        @abc.abstractmethod
        def score(self) -> int: ...

    for kind in (Inside, Outside):
        with pytest.raises(TypeError, match="abstract method"):
            kind()
        heir: Any = type("Heir", (kind,), {"score": decorate(lambda self: 3)})
        assert heir().score() == 3
    assert len(captured()) == 2


@typing.runtime_checkable
class Scores(typing.Protocol):
    def score(self, x: int) -> int: ...


def test_protocols_overloads_and_slots(decorate: Wrap, captured: Captured) -> None:
    @typing.overload
    def score(x: int) -> int: ...
    @typing.overload
    def score(x: str) -> str: ...
    @decorate
    def score(x: Any) -> Any:
        return x

    class Slotted:
        __slots__ = ("bias",)

        @decorate
        def __init__(self) -> None:
            self.bias = 2

        @decorate
        def score(self, x: int) -> int:
            return self.bias + x

    assert isinstance(Slotted(), Scores)
    assert len(typing.get_overloads(score)) == 2
    assert Slotted().score(1) == 3
    assert len(captured()) == 3


def test_caches_and_properties(decorate: Wrap, captured: Captured) -> None:
    class Model:
        calls = 0

        @functools.cached_property
        @decorate
        def once(self) -> int:
            self.calls += 1
            return self.calls

        always = property(decorate(lambda self: 7))

        @decorate
        @functools.lru_cache  # noqa: B019
        def cached(self, x: int) -> list[int]:
            return [x]

    model = Model()
    assert (model.once, model.once, model.always) == (1, 1, 7)
    assert model.cached(1) is model.cached(1)
    assert Model.cached.cache_info().hits == 1  # type: ignore[attr-defined]
    assert len(captured()) == 4


def test_special_methods(decorate: Wrap, captured: Captured) -> None:
    class Model:
        @decorate
        def __call__(self, x: int) -> int:
            return x

        @decorate
        def __len__(self) -> int:
            return 3

        @decorate
        def __eq__(self, other: object) -> bool:
            return other == 3

        @decorate
        def __hash__(self) -> int:
            return 5

        @decorate
        def __iter__(self) -> Iterator[int]:
            yield from (1, 2)

        @decorate
        def __enter__(self) -> str:
            return "entered"

        @decorate
        def __exit__(self, *raised: object) -> bool:
            return True

        @decorate
        def __getattr__(self, name: str) -> str:
            if name.startswith("__"):
                raise AttributeError(name)
            return name

        @decorate
        def __add__(self, other: object) -> Any:
            return NotImplemented

        @decorate
        def __radd__(self, other: object) -> int:
            return 8

        @decorate
        def __await__(self) -> Iterator[Any]:
            yield from asyncio.sleep(0).__await__()
            return 9

    async def awaited(model: Any) -> object:
        return await model

    model: Any = Model()
    with model as entered:
        raise ValueError
    assert (entered, model(1), len(model), model == 3, hash(model)) == ("entered", 1, 3, True, 5)
    assert ([*model], model.other, 1 + model) == ([1, 2], "other", 8)
    with pytest.raises(TypeError, match="unsupported operand"):
        model + 1
    assert asyncio.run(awaited(model)) == 9
    # Lists ask how long it will be, and unpacking asks for what there is not.
    assert len(captured()) >= 11


def test_members_of_enumerations_and_data_classes(decorate: Wrap, captured: Captured) -> None:
    class Threshold(enum.Enum):
        LOW = 1

        @decorate
        def score(self) -> int:
            return self.value

        function = decorate(lambda self: 5)

    @dataclasses.dataclass
    class Model:
        score: Callable[[int], int] = dataclasses.field(default=decorate(lambda x: x))

        @decorate
        def __post_init__(self) -> None:
            self.ready = True

    assert list(Threshold.__members__) == ["LOW"]
    assert (Threshold.LOW.score(), Threshold.LOW.function()) == (1, 5)
    own = Model(decorate(lambda x: x + 1))
    assert (own.score(1), own.ready) == (2, True)
    assert len(captured()) == 4


def test_context_managers(decorate: Wrap, captured: Captured) -> None:
    left: list[str] = []

    @contextlib.contextmanager
    @decorate
    def entered(x: int) -> Iterator[int]:
        try:
            yield x
        except ValueError:
            left.append("with an error")

    @contextlib.asynccontextmanager
    @decorate
    async def entered_async(x: int) -> AsyncIterator[int]:
        try:
            yield x
        finally:
            left.append("async")

    @entered(2)
    def within() -> str:
        return "within"

    async def main() -> int:
        async with entered_async(3) as x:
            return x

    with entered(1) as x:
        raise ValueError
    assert (x, within(), within(), asyncio.run(main())) == (1, "within", "within", 3)
    assert left == ["with an error", "async"]
    assert len(captured()) == 4


def test_stand_ins_and_examples_of_tests(decorate: Wrap) -> None:
    class Model:
        @decorate
        def score(self, x: int, y: int = 1) -> int:
            """Score.

            >>> 1 + 1
            2
            """
            return x

    with mock.patch.object(Model, "score", autospec=True) as score:
        score.return_value = 7
        model: Any = Model()
        assert model.score(1) == 7
        with pytest.raises(TypeError):
            model.score(1, 2, 3)
    module = types.ModuleType("module")
    Model.__module__ = Model.score.__module__ = "module"
    module.Model = Model  # type: ignore[attr-defined]
    found = doctest.DocTestFinder(recurse=True).find(module, module=False)
    assert [len(each.examples) for each in found if each.examples] == [1]

"""Functions, methods and other callables: results, errors, signatures and flags as without us."""

from __future__ import annotations

import functools
import inspect
import sys
import traceback
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from types import MethodType, coroutine
from typing import Any

import pytest

from sdk.conformance.adapter import Adapter, Captured, Wrap
from sdk.conformance.comparing import caught_from, outcome_of


def plain(first: int, /, second: int = 2, *rest: int, named: str = "n", **others: int) -> str:
    """Says what it got."""
    return f"{first} {second} {rest} {named} {sorted(others.items())}"


async def coroutine_function(x: int) -> int:
    return x


def generator_function(x: int) -> Iterator[int]:
    yield x


async def async_generator_function(x: int) -> AsyncIterator[int]:
    yield x


@coroutine
def generator_coroutine_function(x: int) -> Iterator[int]:
    yield x


FUNCTIONS = [
    plain,
    coroutine_function,
    generator_function,
    async_generator_function,
    generator_coroutine_function,
]
named = pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        ((1,), {}),
        ((1, 3, 5, 7), {"named": "x", "more": 1}),
        ((1,), {"function": 1, "self": 2, "args": 3, "instance": 4, "wrapped": 5, "scope": 6}),
        ((), {}),
        ((), {"first": 1}),
        ((1, 2), {"second": 3}),
    ],
    ids=["one", "all", "odd-names", "none", "by-name", "twice"],
)
def test_arguments_arrive_as_they_were_given(
    trace: Wrap, captured: Captured, args: tuple[int, ...], kwargs: dict[str, Any]
) -> None:
    assert outcome_of(trace(plain), *args, **kwargs) == outcome_of(plain, *args, **kwargs)
    assert len(captured()) == 1


@named
def test_wrong_arguments_fail_when_called(trace: Wrap, function: Callable[..., Any]) -> None:
    assert outcome_of(trace(function)) == outcome_of(function)


def test_the_same_object_is_returned(trace: Wrap, captured: Captured) -> None:
    answer = object()
    assert trace(lambda: answer)() is answer


@named
def test_signature_names_and_flags_are_the_functions(
    decorate: Wrap, function: Callable[..., Any]
) -> None:
    traced = decorate(function)
    assert inspect.signature(traced) == inspect.signature(function)
    assert inspect.unwrap(traced) is function
    assert callable(traced)
    for name in ("__name__", "__qualname__", "__module__", "__doc__", "__annotations__"):
        assert getattr(traced, name) == getattr(function, name)
    for ask in (
        inspect.isfunction,
        inspect.iscoroutinefunction,
        inspect.isgeneratorfunction,
        inspect.isasyncgenfunction,
        inspect.isroutine,
        inspect.ismethod,
    ):
        assert ask(traced) is ask(function), ask


class Scorer:
    bias = 1

    def method(self, x: int) -> int:
        return self.bias + x

    @classmethod
    def of_class(cls, x: int) -> str:
        return f"{cls.__name__} {x}"

    @staticmethod
    def alone(x: int) -> int:
        return x

    async def later(self, x: int) -> int:
        return self.bias + x


def decorated(decorate: Wrap) -> tuple[type, type]:
    """The same methods with the decorator inside and outside of classmethod and staticmethod."""
    methods = Scorer.__dict__
    of_class, alone = methods["of_class"], methods["alone"]
    inside = {
        "method": decorate(methods["method"]),
        "of_class": classmethod(decorate(of_class.__func__)),
        "alone": staticmethod(decorate(alone.__func__)),
    }
    outside = {**inside, "of_class": decorate(of_class), "alone": decorate(alone)}
    return type("Inside", (Scorer,), inside), type("Outside", (Scorer,), outside)


def test_methods_class_methods_and_static_methods_in_either_order(
    decorate: Wrap, captured: Captured
) -> None:
    for kind in decorated(decorate):
        scorer = kind()
        scorer.bias = 5
        assert scorer.method(2) == 7
        assert kind.method(scorer, 2) == 7
        for owner in (kind, scorer):
            assert owner.of_class(3) == f"{kind.__name__} 3"
            assert owner.alone(4) == 4
        heir = type("Heir", (kind,), {})
        assert heir.of_class(3) == "Heir 3"
        assert heir().method(1) == 2
        assert inspect.signature(scorer.method) == inspect.signature(Scorer().method)
        assert inspect.signature(kind.of_class) == inspect.signature(Scorer.of_class)
        assert scorer.method.__self__ is scorer
        assert super(kind, scorer).method(1) == 6
    assert len(captured()) == 16


def test_a_method_is_referred_to_weakly_and_made_anew(decorate: Wrap, captured: Captured) -> None:
    """As signals and callbacks of other libraries hold methods, and as they rebind them."""
    for kind in decorated(decorate):
        scorer, other = kind(), kind()
        other.bias = 5
        held = [weakref.WeakMethod(bound) for bound in (scorer.method, kind.of_class)]
        assert [refer()(2) for refer in held] == [3, f"{kind.__name__} 2"]
        assert MethodType(scorer.method.__func__, other)(2) == 7
        assert held[0] == weakref.WeakMethod(scorer.method)
        assert scorer.method == scorer.method
        assert len({scorer.method, scorer.method, other.method}) == 2
        del scorer
        assert held[0]() is None
    assert len(captured()) == 6


def test_a_method_is_called_through_super(decorate: Wrap, captured: Captured) -> None:
    class First:
        @decorate
        def score(self, x: int) -> int:
            return x

    class Second(First):
        @decorate
        def score(self, x: int) -> int:
            return super().score(x) + 1

    assert Second().score(1) == 2
    inner, outer = captured()
    assert inner.parent == outer.id


class CallableObject:
    def __call__(self, x: int) -> int:
        return x


class AsyncCallableObject:
    async def __call__(self, x: int) -> int:
        return x


@pytest.mark.parametrize(
    "make",
    [
        CallableObject,
        lambda: CallableObject().__call__,
        lambda: functools.partial(plain, 1, named="p"),
        lambda: functools.partial(functools.partial(CallableObject()), 1),
        lambda: lambda x=1: x,
        lambda: functools.lru_cache(lambda x: x),
        lambda: len,
        lambda: "abc".__getitem__,
        lambda: {1: "one"}.get,
        lambda: functools.singledispatch(lambda x: x),
    ],
    ids=[
        "object",
        "bound",
        "partial",
        "nested",
        "lambda",
        "cache",
        "builtin",
        "slot",
        "c",
        "single",
    ],
)
def test_every_callable_is_called(
    trace: Wrap, captured: Captured, make: Callable[[], Callable[..., Any]]
) -> None:
    for args in ((1,), (), ("ab",)):
        assert outcome_of(trace(make()), *args) == outcome_of(make(), *args)
    assert len(captured()) == 3


def test_attributes_of_a_function_are_kept(decorate: Wrap) -> None:
    cached = functools.lru_cache(lambda x: x)
    traced = decorate(cached)
    traced(1), traced(1)
    assert traced.cache_info().hits == 1  # type: ignore[attr-defined]
    traced.note = "kept"  # type: ignore[attr-defined]
    assert traced.note == "kept"  # type: ignore[attr-defined]


def test_nesting_is_parent_and_child(trace: Wrap, adapter: Adapter, captured: Captured) -> None:
    def inner() -> int | None:
        with adapter.child():
            return adapter.current()

    def outer() -> object:
        return trace(inner)()

    assert adapter.current() is None
    child_id = trace(outer)()
    assert adapter.current() is None
    child, first, second = captured()
    assert [child.id, child.parent, first.parent, second.parent] == [
        child_id,
        first.id,
        second.id,
        None,
    ]
    assert second.start_ns <= first.start_ns <= child.start_ns
    assert child.end_ns <= first.end_ns <= second.end_ns


def test_recursion_has_a_span_for_each_call(decorate: Wrap, captured: Captured) -> None:
    @decorate
    def factorial(n: int) -> int:
        return 1 if n == 0 else n * factorial(n - 1)

    assert factorial(20) == 2432902008176640000
    spans = captured()
    assert len(spans) == 21
    assert [span.parent for span in spans] == [*(span.id for span in spans[1:]), None]


def test_recursion_reaches_a_third_of_the_depth(decorate: Wrap, captured: Captured) -> None:
    """Between two calls of the user's stand a call from C and one frame of ours."""

    @decorate
    def descend(n: int) -> int:
        return n if n == 0 else descend(n - 1)

    depth = (sys.getrecursionlimit() - len(inspect.stack()) - 60) // 3
    assert descend(depth) == 0


class Strange(BaseException):
    def __str__(self) -> str:
        return "strange"


ERRORS = [ValueError("secret"), KeyboardInterrupt(), SystemExit(3), GeneratorExit(), Strange()]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_an_exception_leaves_as_it_was_raised(
    trace: Wrap, captured: Captured, error: BaseException
) -> None:
    def failing() -> None:
        raise error

    assert caught_from(trace(failing)) is error
    assert error.__context__ is None
    assert error.__cause__ is None
    assert error.__suppress_context__ is False
    assert not getattr(error, "__notes__", [])
    last = traceback.extract_tb(error.__traceback__)[-1]
    assert (last.name, last.line) == ("failing", "raise error")
    (span,) = captured()
    assert span.failed


def test_a_chain_of_exceptions_is_kept(trace: Wrap, captured: Captured) -> None:
    first, cause, second = KeyError("first"), OSError("cause"), ValueError("second")

    def failing() -> None:
        raise second from cause

    def call() -> None:
        try:
            raise first
        except KeyError:
            trace(failing)()

    assert caught_from(call) is second
    assert second.__context__ is first
    assert second.__cause__ is cause
    assert first.__context__ is None


def test_the_exception_being_handled_is_the_callers(trace: Wrap, captured: Captured) -> None:
    first = KeyError("first")

    def ask() -> object:
        return sys.exc_info()[1]

    assert trace(ask)() is None
    try:
        raise first
    except KeyError:
        assert trace(ask)() is first


def test_what_a_call_got_and_gave_is_let_go(trace: Wrap, captured: Captured) -> None:
    import weakref

    class Big:
        pass

    big = Big()
    alive = weakref.ref(big)
    answer = trace(lambda big: Big())(big)
    answered = weakref.ref(answer)
    del big, answer
    assert alive() is None
    assert answered() is None

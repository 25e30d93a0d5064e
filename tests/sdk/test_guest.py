"""A decorated function behaves as it does without us: results, exceptions, pickles, context."""

from __future__ import annotations

import asyncio
import contextvars
import copy
import functools
import gc
import inspect
import pickle
import subprocess
import sys
import textwrap
import traceback
import types
import weakref
from collections.abc import AsyncIterator, Callable, Iterator

import joblib
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.trace import StatusCode

import inferspan
from inferspan import providers, semconv
from inferspan.testing import CapturedSpans

predict = inferspan.predict(model="m", task="binary_classification")


def failing(error: BaseException) -> str:
    raise error


async def failing_async(error: BaseException) -> str:
    await asyncio.sleep(0)
    raise error


def _caught(call: Callable[[], object]) -> BaseException:
    try:
        call()
    except BaseException as error:
        return error
    raise AssertionError("did not raise")


class Strange(BaseException):
    def __str__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize("capture", ["shapes", "values"])
@pytest.mark.parametrize(
    "error",
    [ValueError("secret"), KeyboardInterrupt(), SystemExit(3), asyncio.CancelledError(), Strange()],
    ids=lambda e: type(e).__name__,
)
def test_exceptions_pass_through_unchanged(
    spans: CapturedSpans,
    contained_errors: list[BaseException],
    error: BaseException,
    capture: str,
) -> None:
    traced = inferspan.predict(model="m", task="binary_classification", capture=capture)(failing)
    assert _caught(lambda: traced(error)) is error
    assert error.__context__ is None
    assert error.__cause__ is None
    frames = traceback.extract_tb(error.__traceback__)
    assert frames[-1].name == "failing"
    assert frames[-1].line == "raise error"
    (span,) = spans
    assert span.status.status_code is StatusCode.ERROR
    assert (span.attributes or {})[semconv.ERROR_TYPE].endswith(type(error).__qualname__)  # type: ignore[union-attr]
    quoted = capture == "values" and not isinstance(error, Strange)
    assert span.status.description == (str(error) if quoted else None)
    assert span.events == ()
    if isinstance(error, Strange) and capture == "values":
        assert [str(contained) for contained in contained_errors] == ["no text"]
        contained_errors.clear()


def test_a_raised_exception_keeps_the_callers_own_context(spans: CapturedSpans) -> None:
    first = KeyError("first")

    def call() -> None:
        try:
            raise first
        except KeyError:
            predict(failing)(ValueError("second"))

    assert _caught(call).__context__ is first


def test_async_exceptions_pass_through_unchanged(spans: CapturedSpans) -> None:
    error = ValueError("secret")
    assert _caught(lambda: asyncio.run(predict(failing_async)(error))) is error
    assert error.__context__ is None
    assert traceback.extract_tb(error.__traceback__)[-1].name == "failing_async"
    assert spans[0].status.status_code is StatusCode.ERROR


def test_a_cancelled_coroutine_ends_as_an_error(spans: CapturedSpans) -> None:
    @predict
    async def waits() -> str:
        await asyncio.Event().wait()
        return "a"

    async def main() -> None:
        task = asyncio.create_task(waits())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert (spans[0].attributes or {})[semconv.ERROR_TYPE] == "asyncio.exceptions.CancelledError"


def test_wrong_arguments_fail_when_called(spans: CapturedSpans) -> None:
    async def coroutine(x: int) -> int:
        return x

    def generator(x: int) -> Iterator[int]:
        yield x

    async def async_generator(x: int) -> AsyncIterator[int]:
        yield x

    for function in (coroutine, generator, async_generator):
        with pytest.raises(TypeError, match="missing 1 required positional argument: 'x'"):
            predict(function)()  # type: ignore[operator]
    with pytest.raises(TypeError, match="unexpected keyword"):
        predict(failing)(error=ValueError(), extra=1)  # type: ignore[call-arg]


def test_signature_flags_and_names_survive() -> None:
    def function(x: int, *, y: str = "") -> str:
        """What it does."""
        return y

    async def coroutine() -> None: ...
    def generator() -> Iterator[int]:
        yield 1

    async def async_generator() -> AsyncIterator[int]:
        yield 1

    traced = predict(function)
    assert inspect.signature(traced) == inspect.signature(function)
    assert (traced.__name__, traced.__doc__) == ("function", "What it does.")
    assert inspect.unwrap(traced) is function
    assert isinstance(traced, types.FunctionType)
    assert inspect.iscoroutinefunction(predict(coroutine))
    assert inspect.isgeneratorfunction(predict(generator))
    assert inspect.isasyncgenfunction(predict(async_generator))


def test_coroutines_return_and_run_concurrently(spans: CapturedSpans) -> None:
    @predict
    async def score(name: str) -> str:
        before = trace.get_current_span()
        await asyncio.sleep(0)
        assert trace.get_current_span() is before
        with inferspan.stage("inner"):
            await asyncio.sleep(0)
        return name

    async def main() -> list[str]:
        return await asyncio.gather(*(score(f"n{i}") for i in range(5)))

    assert asyncio.run(main()) == [f"n{i}" for i in range(5)]
    assert len(spans.predictions) == len(spans.stages) == 5
    parents = {span.context.span_id for span in spans.predictions}
    assert {stage.parent.span_id for stage in spans.stages if stage.parent} == parents


def test_a_function_that_hands_out_a_coroutine_is_timed_to_its_end(spans: CapturedSpans) -> None:
    async def work() -> str:
        assert inferspan.current_prediction() is not None
        return "a"

    assert asyncio.run(predict(lambda: work())()) == "a"
    assert (spans[0].attributes or {})[semconv.OUTPUT_CLASS] == "a"
    assert inferspan.current_prediction() is None


def test_a_coroutine_that_is_closed_early_leaves_no_trace_in_the_context(
    spans: CapturedSpans, caplog: pytest.LogCaptureFixture
) -> None:
    @predict
    async def waits() -> str:
        await asyncio.sleep(0)
        return "a"

    body = waits()
    contextvars.copy_context().run(body.send, None)
    body.close()
    assert trace.get_current_span() is trace.INVALID_SPAN
    assert [span.status.status_code for span in spans] == [StatusCode.ERROR]
    assert caplog.records == []


class HostileMeta(type):
    def __instancecheck__(cls, instance: object) -> bool:
        raise RuntimeError("instancecheck")


class Hostile(metaclass=HostileMeta):
    def __getattribute__(self, name: str) -> object:
        raise RuntimeError(f"hostile {name}")

    def __repr__(self) -> str:
        raise RuntimeError("hostile repr")

    __str__ = __repr__
    __len__ = __iter__ = __bool__ = __eq__ = __hash__ = __repr__  # type: ignore[assignment]


@pytest.mark.parametrize("capture", ["shapes", "values", "none"])
def test_a_hostile_value_goes_in_and_out_unharmed(spans: CapturedSpans, capture: str) -> None:
    hostile = Hostile()
    traced = inferspan.predict(model="m", task="binary_classification", capture=capture)(
        lambda first, second: first
    )
    assert traced(hostile, [hostile]) is hostile
    (span,) = spans
    assert span.status.status_code is StatusCode.UNSET
    assert (span.attributes or {})[semconv.PREDICTION_ID] == f"{1:032x}"


class Faulty(SpanProcessor):
    def on_start(self, span: object, parent_context: object = None) -> None:
        raise RuntimeError("on_start")

    def on_end(self, span: ReadableSpan) -> None:
        raise RuntimeError("on_end")


def test_a_broken_pipeline_costs_the_span_not_the_call(
    contained_errors: list[BaseException],
) -> None:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(Faulty())
    restore = providers.divert(provider, None)
    try:
        assert predict(lambda: "a")() == "a"
        assert asyncio.run(predict(_answer)()) == "a"
        assert list(predict(_answers)()) == ["a"]
        with inferspan.stage("s"):
            pass
        assert trace.get_current_span() is trace.INVALID_SPAN
    finally:
        restore()
    assert {str(error) for error in contained_errors} == {"on_start"}
    contained_errors.clear()


async def _answer() -> str:
    return "a"


def _answers() -> Iterator[str]:
    yield "a"


@predict
def module_level(x: int) -> str:
    return str(x)


def _double(x: int) -> str:
    return str(2 * x)


renamed = predict(_double)
partial = predict(functools.partial(_double, 3))


class Holder:
    @predict
    def method(self, x: int) -> str:
        return str(x)

    @predict
    @classmethod
    def of_class(cls, x: int) -> str:
        return str(x)


def test_pickles_and_copies(spans: CapturedSpans) -> None:
    assert pickle.loads(pickle.dumps(module_level)) is module_level
    assert copy.copy(module_level) is copy.deepcopy(module_level) is module_level
    assert pickle.loads(pickle.dumps(renamed))(2) == "4"
    assert pickle.loads(pickle.dumps(partial))() == "6"
    assert pickle.loads(pickle.dumps(Holder().method))(5) == "5"
    assert pickle.loads(pickle.dumps(Holder.of_class))(6) == "6"
    assert len(spans) == 4
    assert copy.deepcopy({"f": module_level})["f"] is module_level


def test_joblib_processes_run_it() -> None:
    # Loky pickles by value what it finds in __main__; the function must arrive and work.
    script = textwrap.dedent(
        """
        import joblib, inferspan
        @inferspan.predict(model="m", task="binary_classification")
        def score(x):
            return str(x)
        if __name__ == "__main__":
            jobs = (joblib.delayed(score)(i) for i in range(3))
            print(joblib.Parallel(n_jobs=2)(jobs))
        """
    )
    assert joblib.__version__
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.stdout.strip() == "['0', '1', '2']", done.stderr


def test_nothing_of_a_call_outlives_it_in_a_task(spans: CapturedSpans) -> None:
    class Big:
        pass

    async def main() -> None:
        release = asyncio.Event()
        left: list[asyncio.Task[bool]] = []

        @predict
        async def score(big: Big) -> str:
            left.append(asyncio.create_task(release.wait()))
            return "a"

        big = Big()
        alive = weakref.ref(big)
        await score(big)
        del big
        gc.collect()
        assert alive() is None
        release.set()
        await left[0]

    asyncio.run(main())


def test_recursion_and_nesting_are_parent_and_child(spans: CapturedSpans) -> None:
    inner = inferspan.predict(model="inner", task="regression")(lambda x: x)
    outer = inferspan.predict(model="outer", task="regression")(lambda x: inner(x))
    assert outer(2.0) == 2.0
    child, parent = spans
    assert (child.name, parent.name) == ("predict inner", "predict outer")
    assert child.parent is not None
    assert child.parent.span_id == parent.context.span_id


def test_functions_that_python_makes_class_methods_stay_so(spans: CapturedSpans) -> None:
    made: list[str] = []

    class Base:
        @inferspan.predict(model="m", task="regression")
        def __init_subclass__(cls, size: float = 0.0) -> None:
            made.append(f"{cls.__name__} {size}")

        @inferspan.stage("items")
        def __class_getitem__(cls, item: str) -> str:
            return f"{cls.__name__}[{item}]"

    class Derived(Base, size=2.0):
        pass

    assert made == ["Derived 2.0"]
    assert Derived["x"] == "Derived[x]"
    assert len(spans.predictions) == len(spans.stages) == 1


def test_a_partialmethod_is_refused_with_the_remedy(spans: CapturedSpans) -> None:
    def scale(self: object, factor: float, x: float) -> float:
        return factor * x

    for decorate in (inferspan.predict(model="m", task="regression"), inferspan.stage("s")):
        with pytest.raises(TypeError, match=r"partialmethod\(inferspan\.\w+\(…\)\(method\), …\)"):
            decorate(functools.partialmethod(scale, 2.0))  # type: ignore[type-var]

        class Scaler:
            double = functools.partialmethod(decorate(scale), 2.0)

        assert Scaler().double(3.0) == 6.0

"""What a signal handler raises is the user's, at whichever step of ours the signal arrives."""

from __future__ import annotations

import contextlib
import gc
import logging
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import datetime, tzinfo
from functools import partial
from types import FrameType
from typing import Any

import pytest
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider

import inferspan
from inferspan import attaching, providers
from inferspan.containment import Contained, from_outside
from inferspan.testing import CapturedSpans, capture_spans

Handler = Callable[[int, FrameType | None], Any]


class Timeout(Exception):
    """What a SIGALRM's handler raises to end what takes too long."""


on_its_way: list[signal.Signals] = []


def leave(error: type[BaseException]) -> Any:
    raise error


def plain(error: type[BaseException]) -> Handler:
    def handle(number: int, frame: FrameType | None) -> None:
        leave(error)

    return handle


def starred(error: type[BaseException]) -> Handler:
    return lambda *_: leave(error)


def partly(error: type[BaseException]) -> Handler:
    def handle(given: str, number: int, frame: FrameType | None) -> None:
        leave(error)

    return partial(handle, "given")


class Service:
    def __init__(self, error: type[BaseException]) -> None:
        self.error = error

    def stop(self, number: int, frame: FrameType | None) -> None:
        leave(self.error)

    __call__ = stop


def method(error: type[BaseException]) -> Handler:
    return Service(error).stop


def replaces_itself(error: type[BaseException]) -> Handler:
    """As one that shall not be interrupted by a second signal."""

    def handle(number: int, frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_IGN)
        leave(error)

    return handle


def forgets_its_arguments(error: type[BaseException]) -> Handler:
    def handle(number: int, frame: FrameType | None) -> None:
        del number, frame
        leave(error)

    return handle


HANDLERS = [plain, starred, partly, method, Service, replaces_itself, forgets_its_arguments]


@pytest.fixture
def handled() -> Iterator[Callable[[Handler], None]]:
    """Sets the handler of SIGALRM."""
    before = signal.getsignal(signal.SIGALRM)

    def install(handler: Handler) -> None:
        signal.signal(signal.SIGALRM, handler)
        on_its_way.append(signal.SIGALRM)

    yield install
    on_its_way.clear()
    signal.signal(signal.SIGALRM, before)


def same(x: float) -> float:
    return x


def arrive(*_: object, **__: object) -> Any:
    """The signal arrives now, if it has not yet."""
    if on_its_way:
        signal.raise_signal(on_its_way.pop())
    return {}


class Looked:
    """An array at which the signal arrives, whatever is looked at."""

    shape = property(lambda self: arrive())
    dtype = property(lambda self: arrive())
    __len__ = __array__ = arrive


class Zone(tzinfo):
    utcoffset = dst = tzname = arrive


class Processor(SpanProcessor):
    def __init__(self, when: str) -> None:
        self.when = when

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        if self.when == "start":
            arrive()

    def on_end(self, span: ReadableSpan) -> None:
        if self.when == "end":
            arrive()


PLACES: dict[str, dict[str, Any]] = {
    "prediction_id": {"prediction_id": arrive},
    "slices": {"slices": arrive},
    "features": {"features": arrive},
    "redact": {"redact": arrive, "features": ["x"]},
    "output": {"output": arrive},
}


@pytest.mark.parametrize("error", [SystemExit, Timeout], ids=lambda e: e.__name__)
@pytest.mark.parametrize("place", PLACES)
def test_what_a_handler_raises_in_a_hook_of_ours_reaches_the_user_and_the_span_ends(
    spans: CapturedSpans,
    handled: Callable[[Handler], None],
    place: str,
    error: type[BaseException],
) -> None:
    handled(plain(error))
    score = inferspan.predict(model="m", task="regression", **PLACES[place])(same)
    with pytest.raises(error):
        score(1.0)
    assert len(spans.predictions) == 1
    assert inferspan.current_prediction() is None


@pytest.mark.parametrize("make", HANDLERS, ids=lambda make: make.__name__)
@pytest.mark.parametrize("error", [SystemExit, Timeout], ids=lambda e: e.__name__)
@pytest.mark.parametrize("when", ["before", "after"])
def test_it_does_so_whatever_the_handler_is_and_whatever_we_look_at(
    spans: CapturedSpans,
    handled: Callable[[Handler], None],
    make: Callable[[type[BaseException]], Handler],
    error: type[BaseException],
    when: str,
) -> None:
    handled(make(error))
    looked = Looked()

    @inferspan.predict(model="m", task="regression", capture="values")
    def score(*given: Looked) -> object:
        return 1.0 if given else looked

    with pytest.raises(error):
        score(looked) if when == "before" else score()
    assert len(spans.predictions) == 1
    assert inferspan.current_prediction() is None


@pytest.mark.parametrize("when", ["start", "end"])
def test_it_does_so_from_a_span_processor(handled: Callable[[Handler], None], when: str) -> None:
    handled(plain(SystemExit))
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(Processor(when))
    restore = providers.divert(provider, None)
    score = inferspan.predict(model="m", task="regression")(same)
    try:
        with pytest.raises(SystemExit):
            score(1.0)
        handled(plain(SystemExit))
        with pytest.raises(SystemExit), inferspan.stage("s"):
            pass
    finally:
        restore()
    assert inferspan.current_prediction() is None


def test_a_label_is_interrupted_too(
    spans: CapturedSpans, handled: Callable[[Handler], None]
) -> None:
    handled(plain(Timeout))
    with pytest.raises(Timeout):
        inferspan.label("id", 1.0, model="m", time=datetime(2026, 9, 1, tzinfo=Zone()))


def test_an_error_of_a_hook_stays_ours_though_handlers_are_installed(
    spans: CapturedSpans, handled: Callable[[Handler], None]
) -> None:
    handled(plain(Timeout))

    def broken(number: int, frame: FrameType | None) -> float:
        raise Timeout  # the same error, and a function that looks like a handler

    score = inferspan.predict(model="m", output=lambda x: broken(14, None))(same)
    assert score(1.0) == 1.0
    assert len(spans.predictions) == 1


def test_in_other_threads_there_are_no_handlers() -> None:
    judged: list[bool] = []

    def handle(number: int, frame: FrameType | None) -> None:
        raise Timeout

    def run() -> None:
        try:
            handle(14, sys._getframe())
        except Timeout as error:
            judged.append(from_outside(error))

    run()
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert judged == [True, False]


@pytest.mark.parametrize(
    "failing", [RecursionError, ValueError], ids=["recursion", "a filter that raises"]
)
def test_a_log_that_fails_is_kept_too(
    failing: type[Exception], contained_errors: list[BaseException]
) -> None:
    def refuse(record: logging.LogRecord) -> bool:
        raise failing

    log = logging.getLogger("inferspan")
    log.addFilter(refuse)
    try:
        with Contained(f"a place of its own: {failing.__name__}"):
            raise KeyError
    finally:
        log.removeFilter(refuse)
    assert [type(error) for error in contained_errors] == [KeyError]
    contained_errors.clear()


def test_a_signal_during_the_report_is_not_kept(
    handled: Callable[[Handler], None], contained_errors: list[BaseException]
) -> None:
    handled(plain(Timeout))
    log = logging.getLogger("inferspan")
    log.addFilter(arrive)
    try:
        with pytest.raises(Timeout), Contained("a place where a signal arrives"):
            raise KeyError
    finally:
        log.removeFilter(arrive)
    contained_errors.clear()


def test_a_call_near_the_recursion_limit_answers_or_raises_a_recursion_error(
    spans: CapturedSpans, contained_errors: list[BaseException]
) -> None:
    @inferspan.predict(model="m", task="regression", output=lambda x: 1 / 0)
    def score(x: float) -> float:
        return x

    def deep(left: int) -> float:
        return score(1.0) if left == 0 else deep(left - 1)

    def answer(depth: int) -> str:
        try:
            return repr(deep(depth))
        except RecursionError:
            return "too deep"

    limit = sys.getrecursionlimit()
    answers = [answer(depth) for depth in range(limit - 200, limit)]
    assert set(answers) == {"1.0", "too deep"}
    assert answers == sorted(answers)
    contained_errors.clear()


@inferspan.predict(model="m", task="regression")
async def awaited(x: float) -> float:
    return x


@inferspan.predict(model="m", task="generation")
def streamed(x: float) -> Iterator[float]:
    yield x
    yield x


def driven(x: float) -> None:
    with contextlib.suppress(StopIteration):
        awaited(x).send(None)


@pytest.mark.filterwarnings(
    "ignore:.*was never awaited", "ignore::pytest.PytestUnraisableExceptionWarning"
)
@pytest.mark.parametrize(
    "score",
    [inferspan.predict(model="m", task="regression")(same), driven, lambda x: [*streamed(x)]],
    ids=["function", "coroutine", "generator"],
)
def test_a_signal_at_any_step_of_ours_reaches_the_user_and_leaves_nothing_current(
    handled: Callable[[Handler], None], score: Callable[[float], object]
) -> None:
    """A profile function sees every call and return: there the signal arrives, once a call."""
    steps = 0

    def arrive_at(wanted: int) -> Callable[[FrameType, str, object], None]:
        def step(frame: FrameType, event: str, what: object) -> None:
            nonlocal steps
            name, called_by = frame.f_globals["__name__"], frame.f_back
            # OpenTelemetry's context is a step of ours only where we change it.
            if name.startswith("opentelemetry.context") and called_by is not None:
                name = called_by.f_globals["__name__"]
            if not name.startswith("inferspan.") or name == "inferspan.testing":
                return
            if frame.f_code.co_name == "__del__":  # Python itself swallows what one raises
                return
            steps += 1
            if steps == wanted:
                sys.setprofile(None)
                arrive()

        return step

    def interrupted(wanted: int) -> bool:
        nonlocal steps
        steps = 0
        with capture_spans():
            score(1.0)  # what is done once is done
            handled(plain(Timeout))
            sys.setprofile(arrive_at(wanted))
            try:
                score(1.0)
            except Timeout:
                return True
            finally:
                sys.setprofile(None)
                assert inferspan.current_prediction() is None
                assert attaching.current() == {}
        return False

    wanted = 1
    while interrupted(wanted):
        wanted += 1
    gc.collect()  # coroutines that were interrupted before their first step complain
    assert steps == wanted - 1, "it was swallowed"
    assert wanted > 20

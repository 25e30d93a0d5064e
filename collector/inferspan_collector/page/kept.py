"""Answers of the API, made once for all who ask within some seconds, and not longer waited for
than a reader would.

Figures over many rows take seconds. They are made by few threads of their own, so that neither a
page nor the API waits for them; a page shows what is there in time, and the rest follows.
"""

from __future__ import annotations

import concurrent.futures
import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

from inferspan_collector.page.asking import Question, Refused
from inferspan_collector.telemetry import CONTAINED, Telemetry

KEPT_NS: Final = 15_000_000_000
"""How old an answer may be that is shown again."""
THREADS: Final = 2
ANSWERS_MAX: Final = 32
"""Answers that are kept; each is some megabytes at most."""
UNDER_WAY_MAX: Final = 64
"""Questions that may wait for an answer."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the API said, and when it was asked, Unix ns."""

    body: Any
    asked_ns: int


Answered = Answer | Refused
BUSY: Final = Refused(
    "Too many questions at once",
    f"{UNDER_WAY_MAX} figures of this page are being computed already",
    rule=f"at most {UNDER_WAY_MAX} wait for an answer",
    remedy="wait some seconds and load the page again, or ask for a shorter time",
)
FAILED: Final = Refused(
    "Internal error",
    "something unexpected happened while this was computed",
    rule='the collector\'s log says what; inferspan_contained_errors_total{where="page"} counts it',
    remedy="load the page again; where it stays, send the log with a bug report",
)


class Answers:
    """Thread-safe; `close` ends its threads.

    Args:
        ask: answers one question, in seconds perhaps.
        now_ns: Unix ns.
        telemetry: counts what fails unexpectedly.
    """

    def __init__(
        self, ask: Callable[[Question], Any], now_ns: Callable[[], int], telemetry: Telemetry
    ) -> None:
        self._ask, self._now_ns, self._telemetry = ask, now_ns, telemetry
        self._lock = threading.Lock()
        self._held: OrderedDict[Question, tuple[int, Future[Answered]]] = OrderedDict()
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="inferspan-page")

    def wanted(
        self, questions: Iterable[Question], seconds: float
    ) -> dict[Question, Answered | None]:
        """What is known of each question within so many seconds; None = not yet, ask again."""
        futures = {question: self._future(question) for question in dict.fromkeys(questions)}
        under_way = [future for future in futures.values() if isinstance(future, Future)]
        concurrent.futures.wait(under_way, timeout=seconds)
        found: dict[Question, Answered | None] = {}
        for question, future in futures.items():
            if isinstance(future, Refused):
                found[question] = future
            elif not future.done():
                found[question] = None
            else:
                found[question] = BUSY if future.cancelled() else future.result()
        return found

    def close(self) -> None:
        """Begin nothing more, and wait for what has begun."""
        self._threads.shutdown(cancel_futures=True)

    def _future(self, question: Question) -> Future[Answered] | Refused:
        now_ns = self._now_ns()
        with self._lock:
            known = self._held.get(question)
            # A clock that was set back must not keep an answer for long.
            if known is not None and (not known[1].done() or 0 <= now_ns - known[0] < KEPT_NS):
                self._held.move_to_end(question)
                return known[1]
            if sum(not future.done() for _, future in self._held.values()) >= UNDER_WAY_MAX:
                return BUSY
            future = self._threads.submit(self._answer, question, now_ns)
            self._held[question] = now_ns, future
            self._held.move_to_end(question)
            for old in list(self._held):
                if len(self._held) <= ANSWERS_MAX:
                    break
                # What is under way stays known, or it would be begun twice.
                if self._held[old][1].done():
                    del self._held[old]
            return future

    def _answer(self, question: Question, asked_ns: int) -> Answered:
        try:
            body = self._ask(question)
        except Exception:
            # Whatever it is, the other parts of the page are shown.
            _logger.exception("%s could not be answered for the page", question)
            self._telemetry.add(CONTAINED, where="page")
            return FAILED
        return body if isinstance(body, Refused) else Answer(body, asked_ns)

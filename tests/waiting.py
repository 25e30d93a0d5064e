"""The one place where a test waits for another process or thread: nothing else polls."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
STEP_SECONDS = 0.05


def wait_until(condition: Callable[[], T], seconds: float, what: str = "") -> T:
    """Ask until the answer is true, and return it.

    Args:
        condition: asked about twenty times a second; an exception of it is not caught.
        seconds: after this long without a true answer the test fails.
        what: what is waited for, for the message.

    Raises:
        TimeoutError: it never was.
    """
    clock = threading.Event()
    deadline = time.monotonic() + seconds
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() >= deadline:
            raise TimeoutError(f"{what or condition} did not hold within {seconds} s: {answer!r}")
        clock.wait(STEP_SECONDS)

"""Runs a publisher in a thread: what publishes pulls, and is asked again while it has work."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Self

logger = logging.getLogger(__name__)


class Driver:
    """Runs one publisher in a thread: again at once while it has work, else after a commit.

    Args:
        publish_once: sends what is due and returns how much that was; it may raise.
        committed: set when there may be something new.
        name: of the thread, and in messages.
        idle_seconds: how long to wait for a commit before looking anyway.
        retry_seconds: the pause after a first failure; it doubles up to 32 times that.
    """

    def __init__(
        self,
        publish_once: Callable[[], int],
        committed: threading.Event,
        name: str,
        idle_seconds: float = 2.0,
        retry_seconds: float = 1.0,
    ) -> None:
        self._publish_once = publish_once
        self._committed = committed
        self._idle_seconds = idle_seconds
        self._retry_seconds = retry_seconds
        self._name = name
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"inferspan-{name}", daemon=True)

    def start(self) -> Self:
        """Start the thread."""
        self._thread.start()
        return self

    def stop(self, timeout_seconds: float = 10.0) -> None:
        """Let the current round end and stop. Idempotent."""
        self._stopping.set()
        self._committed.set()
        if self._thread.is_alive():
            self._thread.join(timeout_seconds)

    def _run(self) -> None:
        failures = 0
        while True:
            # In this order: what `stop` sets after the look is not taken back.
            self._committed.clear()
            if self._stopping.is_set():
                return
            try:
                sent = self._publish_once()
                if failures:
                    logger.info("%s: works again after %d attempts", self._name, failures)
                failures = 0
            except Exception as error:
                failures += 1
                sent = 0
                if failures == 1:
                    logger.warning("%s: %s; tried again until it succeeds", self._name, error)
            if failures:
                self._stopping.wait(self._retry_seconds * 2 ** min(failures - 1, 5))
            elif not sent:
                self._committed.wait(self._idle_seconds)

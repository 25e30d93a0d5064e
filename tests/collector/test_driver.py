"""The thread that runs a publisher ends when it is told to, whenever that is."""

from __future__ import annotations

import threading

from inferspan_collector.driver import Driver
from waiting import wait_until


class ToldMeanwhile(threading.Event):
    """Somebody has the driver stop in the moment in which it goes back to sleep."""

    driver: Driver | None = None

    def clear(self) -> None:
        driver, self.driver = self.driver, None
        if driver is not None:
            somebody = threading.Thread(target=driver.stop, args=(0.0,))
            somebody.start()
            somebody.join()
        super().clear()


def test_a_stop_between_two_rounds_is_not_slept_through() -> None:
    committed, rounds = ToldMeanwhile(), list[int]()

    def publish_once() -> int:
        rounds.append(len(rounds))
        return 0

    driver = committed.driver = Driver(publish_once, committed, "told", idle_seconds=600.0)
    driver.start()

    def ended() -> bool:
        return all(thread.name != "inferspan-told" for thread in threading.enumerate())

    wait_until(ended, 20, "the thread to end")
    assert rounds == []

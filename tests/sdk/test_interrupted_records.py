"""A signal's handler that raises while a call leaves its record: no later call waits for it."""

from __future__ import annotations

import sys
import threading
from types import FrameType
from typing import Any

from inferspan.records import FLUSH_CALLS, RecordBuffer


class Stop(Exception):
    """What a handler raises."""


def test_an_interrupt_as_the_packing_thread_is_woken_holds_up_nobody() -> None:
    buffer = RecordBuffer(background=False)
    row: Any = ()

    def interrupt(frame: FrameType, event: str, argument: object) -> None:
        # Where a lock of Python's own is held already, and nothing yet gives it back.
        if event == "return" and frame.f_code.co_name == "__enter__":
            raise Stop

    sys.setprofile(interrupt)
    try:
        for _ in range(FLUSH_CALLS + 1):
            buffer.append_single(row)
    except Stop:
        pass
    finally:
        sys.setprofile(None)

    later = threading.Thread(target=buffer.append_single, args=(row,), daemon=True)
    later.start()
    later.join(10)
    assert not later.is_alive()

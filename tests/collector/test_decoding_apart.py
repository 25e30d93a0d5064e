"""Requests are decoded where they are received, unless that would hold others up."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import Any

import httpx
from receiving import serving

from inferspan_collector.batches import Decoded
from inferspan_collector.config import Limits
from inferspan_collector.decode import decode_traces
from inferspan_collector.receivers import otlp_http
from inferspan_collector.receivers.bodies import Budget
from inferspan_collector.receivers.otlp import SIGNALS
from inferspan_collector.telemetry import Telemetry
from inferspan_collector.testing import RecordingSink, prediction_span, traces_request


def test_who_sends_what_takes_long_to_read_holds_nobody_else_up() -> None:
    one = traces_request([prediction_span("order-17")])
    threads: list[int] = []
    left = [0.05]

    def slow(body: bytes, **how: Any) -> Decoded:
        threads.append(threading.get_ident())
        began, seconds = time.thread_time(), left.pop() if left else 0.0
        while time.thread_time() - began < seconds:
            pass
        return decode_traces(body, **how)

    signals = [replace(SIGNALS[0], decode=slow)]
    limits = Limits()
    app = otlp_http.application(
        RecordingSink(), Telemetry(), limits, Budget.of(limits), signals=signals
    )
    sent = {
        "content": one.SerializeToString(),
        "headers": {"content-type": "application/x-protobuf"},
    }
    with serving(app) as url:
        for _ in range(3):
            assert httpx.post(f"{url}/v1/traces", **sent).status_code == 200
    loop, *later = threads
    assert loop not in later

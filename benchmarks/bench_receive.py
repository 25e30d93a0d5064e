"""What receiving costs: CPU a span of the receivers alone, decode and store left out.

A process of its own runs the OTLP receivers as the collector does, but what a request holds is
neither read nor stored: what is left is sockets, HTTP or HTTP/2, inflating, limits and answers.
Requests hold 512 spans, about 340 kB, over 16 connections; CPU-seconds are the operating system's.
Rounds of all ways alternate in random order; a ratio is to `uvicorn`, in the same sweep: the same
bytes, read and answered by a bare application on uvicorn with uvloop and httptools, which promises
nothing.

    python benchmarks/bench_receive.py [--sweeps 5] [uvicorn http gzip grpc]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Final

import uvicorn
from ingest import costs
from ingest.bodies import PER_REQUEST, Times
from ingest.loads import Load, Transport, Unlabelled
from ingest.sender import Sender
from ingest.servers import Server, running
from starlette.types import Receive, Scope, Send

from inferspan_collector import listening
from inferspan_collector.allocator import keep_freed_memory
from inferspan_collector.batches import Decoded, LabelBatch, PredictionBatch
from inferspan_collector.config import load
from inferspan_collector.http_server import Gate, Listener, new_event_loop
from inferspan_collector.receivers import otlp_exchange, otlp_http
from inferspan_collector.receivers.bodies import Budget
from inferspan_collector.receivers.guard import Guard
from inferspan_collector.receivers.otlp import SIGNALS
from inferspan_collector.receivers.otlp_grpc import GrpcReceiver
from inferspan_collector.store.cells import Committed
from inferspan_collector.telemetry import Telemetry

FREE: Final = "127.0.0.1:0"
REQUESTS: Final = 600
HOUR_NS: Final = 3_600_000_000_000
NOTHING: Final = Decoded(PredictionBatch.empty(), LabelBatch.empty())
BARE: Final = "uvicorn"
WAYS: Final[dict[str, tuple[Transport, bool]]] = {
    BARE: ("http", False),
    "http": ("http", False),
    "gzip": ("http", True),
    "grpc": ("grpc", False),
}


class Nowhere:
    """A sink that stores nothing and answers at once."""

    def submit(self, decoded: Decoded, transport: str, waited: float = 0.0) -> Future[Committed]:
        """As `Sink.submit`."""
        done: Future[Committed] = Future()
        done.set_result(Committed(0, ()))
        return done

    keep = submit

    def check_room(self, size: int, transport: str) -> None:
        """As `Sink.check_room`."""

    def now_ns(self) -> int:
        """As `Sink.now_ns`."""
        return time.time_ns()


def unread(body: bytes, *, json: bool, received_ns: int, reserve: Callable[[int], None]) -> Decoded:
    """Decode nothing."""
    reserve(PER_REQUEST)
    return NOTHING


async def bare(scope: Scope, receive: Receive, send: Send) -> None:
    """Read a body and answer."""
    chunks, more = [], True
    while more:
        message = await receive()
        chunks.append(message["body"])
        more = message["more_body"]
    b"".join(chunks)
    headers = [(b"content-type", b"application/x-protobuf"), (b"content-length", b"0")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


async def serve(way: str) -> None:
    """Run the receivers, or the bare application, until a signal; say where they listen."""
    config, telemetry, sink = load(None), Telemetry(), Nowhere()
    budget = Budget.of(config.limits)
    signals = [replace(one, decode=unread) for one in SIGNALS]
    socket = listening.bind(FREE)
    over_grpc = ""
    if way == BARE:
        server = uvicorn.Server(uvicorn.Config(bare, lifespan="off", log_config=None, ws="none"))
        serving = asyncio.create_task(server.serve([socket]))
        socket.listen()
    else:
        keep_freed_memory()
        receiver = otlp_http.application(sink, telemetry, config.limits, budget, signals=signals)
        guard = Guard(receiver, telemetry, otlp_exchange.TRANSPORT, uploads=receiver)
        gate = Gate(64)
        listener = Listener(guard, socket, telemetry, otlp_exchange.TRANSPORT, gate, uploads=guard)
        await listener.start()
        server_over_grpc = GrpcReceiver(
            sink, telemetry, config.limits, budget, FREE, signals=signals
        )
        over_grpc = server_over_grpc.start()
    print(json.dumps({"http": listening.address_of(socket), "grpc": over_grpc}), flush=True)
    await (serving if way == BARE else asyncio.Event().wait())


@contextlib.contextmanager
def receivers(directory: Path, way: str) -> Iterator[Server]:
    """The receivers in a process of their own."""
    command = [sys.executable, __file__, "--serve", way]
    began = time.perf_counter()
    with running(command, directory / "receivers.log", {}, pinned=True) as process:
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        took = time.perf_counter() - began
        log = directory / "receivers.log"
        yield Server(way, process, ready["http"], ready["grpc"], "", took, log)


def measure(ways: list[str], sweeps: int) -> None:
    """Print a line a way: CPU a span, and its ratio to the bare application."""
    times = Times(time.time_ns() - HOUR_NS, 2_500)
    taken: dict[str, list[float]] = {way: [] for way in ways}
    with (
        tempfile.TemporaryDirectory() as directory,
        Sender() as sender,
        receivers(Path(directory), BARE) as uvicorn_alone,
        receivers(Path(directory), "ours") as ours,
    ):
        chance = random.Random(0)
        for sweep in range(sweeps + 1):
            for way in chance.sample(ways, len(ways)):
                transport, gzip = WAYS[way]
                batches = Unlabelled(1, REQUESTS if sweep else 50)
                server = uvicorn_alone if way == BARE else ours
                done = costs.run(server, sender, Load(batches, times, transport, gzip))
                if sweep:  # the first one warms up
                    taken[way].append(done.cpu_seconds / done.sent.spans * 1e6)
    print(f"{'':8} {'µs a span':>10}   {'p25 – p75':15} {'ratio':>6}  p25 – p75")
    for way in ways:
        low, half, high = costs.middle(taken[way])
        ratios = [one / base for one, base in zip(taken[way], taken[BARE], strict=True)]
        least, middle, most = costs.middle(ratios)
        print(
            f"{way:8} {half:10.3f}   {f'{low:.3f} – {high:.3f}':15} {middle:6.2f}"
            f"  {least:.2f} – {most:.2f}"
        )


def main() -> None:
    """Measure the ways that are named, all without a name."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("ways", nargs="*", metavar="http gzip grpc")
    parser.add_argument("--sweeps", type=int, default=5)
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            runner.run(serve(arguments.serve))
        return
    if unknown := set(arguments.ways) - set(WAYS):
        parser.error(f"no such way: {', '.join(sorted(unknown))}; known: {', '.join(WAYS)}")
    asked = arguments.ways or list(WAYS)
    measure([BARE, *(way for way in asked if way != BARE)], arguments.sweeps)


if __name__ == "__main__":
    main()

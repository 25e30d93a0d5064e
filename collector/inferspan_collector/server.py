"""One whole collector: the store, the pipeline, and every receiver and publisher around it.

`inferspan serve`, the tests and the demo all start this one object.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import threading
import time
from collections.abc import Callable, Coroutine, Generator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import duckdb
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from inferspan_collector import listening, warming
from inferspan_collector.certificates import Certificates
from inferspan_collector.config import OFF, Config, Tls
from inferspan_collector.decode import Mapper
from inferspan_collector.driver import Driver
from inferspan_collector.first_line import first_line
from inferspan_collector.http_server import GRACE_SECONDS, Gate, Listener, new_event_loop
from inferspan_collector.listening import AddressTaken
from inferspan_collector.page.serving import Page, is_page
from inferspan_collector.pipeline import Pipeline
from inferspan_collector.problems import problem
from inferspan_collector.publish import (
    api,
    baselines,
    comparing,
    drifting,
    foreseeing,
    jaeger_monitor,
    jaeger_quality,
    keeping,
    prometheus,
    stage_durations,
)
from inferspan_collector.publish.jaeger_spans import EvaluationPublisher
from inferspan_collector.publish.metrics.row_figures import RowFigures
from inferspan_collector.publish.otlp_metrics import MetricsPublisher
from inferspan_collector.publish.prometheus import Exposition
from inferspan_collector.receivers import labels, otlp, otlp_exchange, otlp_http
from inferspan_collector.receivers.access import ADMIN, LABELS, Access, Doorkeeper
from inferspan_collector.receivers.bodies import Budget
from inferspan_collector.receivers.guard import Guard
from inferspan_collector.receivers.otlp_grpc import GrpcReceiver
from inferspan_collector.receivers.pending_labels import PendingLabels
from inferspan_collector.store.database import Database
from inferspan_collector.telemetry import (
    CONNECTIONS,
    CONNECTIONS_LIMIT,
    CONTAINED,
    HELD,
    HELD_LIMIT,
    LOGS_CUT,
    Telemetry,
)

_OTLP_PATHS: Final = frozenset(("/v1/traces", "/v1/logs", "/v1/metrics"))
"""What exporters ask for that were given the API's port."""

_ADMINS: Final = (keeping.FORGET, keeping.BACKUP, baselines.ADD, baselines.REMOVE)
_RIGHTS: Final = {labels.PATH: LABELS, **dict.fromkeys(_ADMINS, ADMIN)}
"""What paths of the API's port need another right than `read`."""

_T = TypeVar("_T")
_logger = logging.getLogger(__name__)


class PortsTaken(OSError):
    """Addresses that something else holds: `taken` is key of `receivers` → what holds it."""

    def __init__(self, taken: dict[str, AddressTaken]) -> None:
        super().__init__("; ".join(f"{key}: {error}" for key, error in taken.items()))
        self.taken = taken


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where a running collector listens; None = not at all."""

    otlp_http: str | None
    """`http://HOST:PORT`."""
    otlp_grpc: str | None
    """`HOST:PORT`."""
    api: str | None
    """`http://HOST:PORT`."""


class Collector:
    """A collector of this process; `start` and `stop` run in one event loop.

    `addresses` and `failure` are set once it has started.
    """

    addresses: Addresses
    failure: Future[str]
    """Done, and says why, once the store has closed itself for good: stop, and start anew.
    Cancelled by `stop`."""

    def __init__(self, config: Config, clock: Callable[[], int] | None = None) -> None:
        self.telemetry = Telemetry()
        self._clock = clock
        self._config = config
        self._budget = Budget.of(config.limits)
        self._access = Access(config.auth)
        self._signals = otlp.signals(Mapper(config.mappings) if config.mappings else None)
        self._certificates = Certificates(config.receivers.tls)
        connections = listening.connections_max(config.limits.connections)
        self._gate = Gate(connections, first="api")
        self._running = contextlib.AsyncExitStack()
        watch = self.telemetry.watch
        watch(HELD, lambda: self._budget.held, part="requests_under_way")
        watch(HELD_LIMIT, lambda: self._budget.limit, part="requests_under_way")
        watch(CONNECTIONS, lambda: self._gate.open)
        watch(CONNECTIONS_LIMIT, lambda: self._gate.limit)

    @property
    def requests_under_way(self) -> int:
        """HTTP requests whose body is not whole yet."""
        return self._budget.bodies_under_way

    async def start(self) -> Addresses:
        """Take the ports, open the store, make compiled code ready, and begin to listen.

        Raises:
            PortsTaken: something else listens there.
            OSError: an address is not one of this machine, or needs a privilege.
            StoreError: the data directory cannot be used.
        """
        async with contextlib.AsyncExitStack() as stack:
            sockets = _bind_all(self._config)
            for listener in sockets.values():
                stack.callback(listener.close)
            # Whatever is stopped later was started earlier: listeners, publishers, the store.
            pipeline = await self._start_pipeline(stack)
            self.failure = pipeline.failure
            _logger.info("compiled code is made ready: a minute or two where it is not on disk yet")
            await asyncio.to_thread(warming.warm)
            pending = PendingLabels(
                self._config.limits.pending_labels,
                pipeline.reader.waiting_count,
                pipeline.reader.resolve_labels,
            )
            await self._start_receivers(stack, pipeline, sockets, pending)
            self.addresses = Addresses(
                otlp_http=_url(sockets.get("otlp_http"), self._config.receivers.tls),
                otlp_grpc=await self._start_grpc(stack, pipeline, pending),
                api=_url(sockets.get("api"), self._config.receivers.tls),
            )
            self._running = stack.pop_all()
        return self.addresses

    async def stop(self) -> None:
        """Stop accepting, finish what is queued, close the store. Idempotent."""
        self._budget.stop()
        await self._running.aclose()

    async def _start_pipeline(self, stack: contextlib.AsyncExitStack) -> Pipeline:
        config = self._config
        database = await asyncio.to_thread(Database.open, config.store.data, config.store.memory)
        stack.callback(database.close)
        self.telemetry.add(LOGS_CUT, len(database.cuts))
        clock = {} if self._clock is None else {"clock": self._clock}
        pipeline = Pipeline(
            database, config, self.telemetry, arriving=lambda: self._budget.requests, **clock
        ).start()
        stack.push_async_callback(asyncio.to_thread, pipeline.close)
        if config.jaeger.otlp is not None:
            publisher = EvaluationPublisher(
                pipeline,
                self.telemetry,
                config.jaeger.otlp,
                config.jaeger.evaluation_status,
                config.jaeger.traces_kept_ns,
            )
            driver = Driver(publisher.publish_once, pipeline.committed, "jaeger").start()
            stack.push_async_callback(asyncio.to_thread, driver.stop)
        return pipeline

    async def _start_receivers(
        self,
        stack: contextlib.AsyncExitStack,
        pipeline: Pipeline,
        sockets: dict[str, socket.socket],
        pending: PendingLabels,
    ) -> None:
        config, telemetry = self._config, self.telemetry
        hosts = config.receivers.allowed_hosts
        if "api" in sockets:
            exposition, figures = self._measured(stack, pipeline)
            published = [
                *api.routes(pipeline, config),
                *baselines.routes(pipeline, pipeline, config),
                *comparing.routes(pipeline, config),
                *drifting.routes(pipeline, config),
                *stage_durations.routes(pipeline, config),
                *foreseeing.routes(pipeline, config),
                *keeping.routes(pipeline, config),
                *prometheus.served(exposition),
                *jaeger_monitor.routes(pipeline, config, telemetry),
                *jaeger_quality.routes(pipeline, config, figures.noticed),
            ]
            page = Page(pipeline, telemetry, config, published, figures.noticed)
            stack.push_async_callback(asyncio.to_thread, page.close)
            app = Starlette(
                routes=[
                    *labels.routes(pipeline, telemetry, config.limits, self._budget, pending),
                    *page.routes,
                    *published,
                ],
                exception_handlers={
                    HTTPException: self._unanswered,
                    duckdb.Error: _unreadable,
                    Exception: self._contained,
                },
            )
            keeper = Doorkeeper(app, telemetry, "api", self._access, _RIGHTS, is_page)
            readable = {jaeger_quality.PATH: config.jaeger.ui} if config.jaeger.ui else {}
            guarded = Guard(keeper, telemetry, "api", hosts, readable)
            await self._listen(stack, guarded, sockets, "api")
        if "otlp_http" in sockets:
            receiver = otlp_http.application(
                pipeline,
                telemetry,
                config.limits,
                self._budget,
                self._access,
                self._signals,
                pending,
            )
            guarded = Guard(receiver, telemetry, otlp_exchange.TRANSPORT, hosts, uploads=receiver)
            await self._listen(stack, guarded, sockets, otlp_exchange.TRANSPORT)

    def _measured(
        self, stack: contextlib.AsyncExitStack, pipeline: Pipeline
    ) -> tuple[Exposition, RowFigures]:
        """What `/metrics` shows; figures of rows are made, and all is pushed, beside it."""
        config, telemetry = self._config, self.telemetry
        figures = RowFigures(pipeline, config, telemetry, time.monotonic)
        maker = Driver(figures.make_due, threading.Event(), "figures").start()
        stack.push_async_callback(asyncio.to_thread, maker.stop)
        stack.callback(figures.close)
        exposition = Exposition(pipeline, telemetry, config, figures)
        if (endpoint := config.publish.otlp) is not None:
            publisher = MetricsPublisher(
                exposition.collect,
                pipeline.now_ns,
                telemetry,
                endpoint,
                config.publish.otlp_token_file,
            )
            seconds = config.publish.otlp_seconds
            pusher = Driver(publisher.publish_once, threading.Event(), "otlp metrics", seconds)
            stack.push_async_callback(asyncio.to_thread, pusher.start().stop)
        return exposition, figures

    async def _listen(
        self,
        stack: contextlib.AsyncExitStack,
        app: Guard,
        sockets: dict[str, socket.socket],
        key: str,
    ) -> None:
        listener = Listener(
            app,
            sockets[key],
            self.telemetry,
            key,
            self._gate,
            self._certificates.context(),
            uploads=app,
        )
        await listener.start()
        stack.push_async_callback(listener.stop)

    async def _start_grpc(
        self, stack: contextlib.AsyncExitStack, pipeline: Pipeline, pending: PendingLabels
    ) -> str | None:
        address = self._config.receivers.otlp_grpc
        if address == OFF:
            return None
        receiver = GrpcReceiver(
            pipeline,
            self.telemetry,
            self._config.limits,
            self._budget,
            address,
            access=self._access,
            certificates=self._certificates,
            pending=pending,
            signals=self._signals,
        )
        stack.push_async_callback(asyncio.to_thread, receiver.stop, GRACE_SECONDS)
        try:
            return receiver.start()
        except AddressTaken as error:
            raise PortsTaken({"otlp_grpc": error}) from error

    def _unanswered(self, request: Request, error: Exception) -> Response:
        """No such path, or not by this method."""
        assert isinstance(error, HTTPException)
        asked = f"{request.method} {request.url.path}"
        detail = f"{asked} is nothing here; GET / lists what is"
        if request.url.path in _OTLP_PATHS:
            where = self.addresses.otlp_http or "not listened to (receivers.otlp_http: off)"
            detail = f"{asked} is nothing here, for this is the API's port; OTLP/HTTP is {where}"
        return problem(error.status_code, error.detail, detail, headers=error.headers)

    def _contained(self, request: Request, error: Exception) -> Response:
        self.telemetry.add(CONTAINED, where="api")
        detail = f"unexpected {type(error).__name__}; the collector's log says more"
        return problem(500, "Internal error", detail)


@contextlib.contextmanager
def running_collector(
    config: Config, clock: Callable[[], int] | None = None
) -> Generator[Collector]:
    """A collector in a thread of this process; stopped, drained, at the end of the block.

    Args:
        config: the whole configuration.
        clock: Unix ns; the system's unless a test passes its own.

    Raises:
        PortsTaken, OSError, StoreError: as `Collector.start`.
    """
    loop = new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="inferspan-server", daemon=True)
    thread.start()

    def call(coroutine: Coroutine[Any, Any, _T]) -> _T:
        return asyncio.run_coroutine_threadsafe(coroutine, loop).result()

    collector = Collector(config, clock)
    try:
        call(collector.start())
        try:
            yield collector
        finally:
            call(collector.stop())
    finally:
        call(loop.shutdown_default_executor())
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def _unreadable(request: Request, error: Exception) -> Response:
    """The store cannot be read: no fault of the question, and none that asking anew repeats."""
    _logger.error("%s %s: %s", request.method, request.url.path, error)
    detail = f"the store cannot be read ({first_line(error)}); ask again"
    return problem(503, "Store unavailable", detail, headers={"Retry-After": "5"})


def _bind_all(config: Config) -> dict[str, socket.socket]:
    """Take the HTTP addresses and look whether gRPC's is free, which gRPC takes by itself.

    All that are taken are named at once.
    """
    sockets: dict[str, socket.socket] = {}
    taken: dict[str, AddressTaken] = {}
    try:
        for key in ("otlp_http", "otlp_grpc", "api"):
            address = getattr(config.receivers, key)
            if address != OFF:
                try:
                    sockets[key] = listening.bind(address)
                except AddressTaken as error:
                    taken[key] = error
        if taken:
            raise PortsTaken(taken)
    except BaseException:
        for listener in sockets.values():
            listener.close()
        raise
    if grpc_listener := sockets.pop("otlp_grpc", None):
        grpc_listener.close()
    return sockets


def _url(listener: socket.socket | None, tls: Tls) -> str | None:
    scheme = "https" if tls.certificate else "http"
    return f"{scheme}://{listening.address_of(listener)}" if listener else None

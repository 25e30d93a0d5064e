"""A filled store behind the API's routes, asked over ASGI without a socket."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from pathlib import Path

import httpx
from records import MINUTE_NS, START_NS, Label, Prediction, Stage, decoded
from starlette.applications import Starlette
from starlette.routing import Route

from inferspan_collector.baselines import document
from inferspan_collector.baselines.document import Baseline
from inferspan_collector.config import Config
from inferspan_collector.store import baselines
from inferspan_collector.store.database import Database
from inferspan_collector.store.reader import Reader, StoreReader
from inferspan_collector.store.writer import Writer
from inferspan_collector.telemetry import Telemetry


class FilledStore:
    """A store as publishers see it (`submission.Queries`), with a clock that stands still."""

    def __init__(self, directory: Path, config: Config | None = None) -> None:
        self.config = config or Config()
        self.telemetry = Telemetry()
        self.database = Database.open(directory)
        self.now = START_NS
        self.alive = True
        self.failure: Future[str] = Future()
        self._writer = Writer(self.database, self.config, self.telemetry)
        self._reader = StoreReader(self.database)

    @property
    def reader(self) -> Reader:
        return self._reader

    @property
    def stored(self) -> Reader:
        return self._reader

    def now_ns(self) -> int:
        return self.now

    def acknowledge(self, sequences: Sequence[int]) -> Future[None]:
        raise AssertionError("the API and /metrics only read")

    def add(self, *rows: Prediction | Label | Stage) -> None:
        """Commit records as one request."""
        self._writer.commit([decoded(*rows)], self.now)

    def keep_baseline(self, model: str, content: Baseline) -> int:
        """Keep a baseline; its number."""
        text = document.written(content)
        about = (model, content.version, content.target, self.now)
        added = self._writer.change(lambda cursor: baselines.add(cursor, *about, text))
        assert added is not None
        return added.number

    def close(self) -> None:
        self.database.close()


def ask(routes: Iterable[Route], url: str, headers: dict[str, str] | None = None) -> httpx.Response:
    """One GET request."""

    async def get() -> httpx.Response:
        transport = httpx.ASGITransport(Starlette(routes=list(routes)))
        async with httpx.AsyncClient(transport=transport, base_url="http://collector") as client:
            return await client.get(url, headers=headers)

    return asyncio.run(get())


def labelled_predictions(
    pairs: Sequence[tuple[str, str]], first: int = 0, **fields: object
) -> list[Prediction | Label]:
    """A prediction and its label per (predicted, actual), a second apart."""
    rows: list[Prediction | Label] = []
    start = int(fields.pop("start", START_NS))  # type: ignore[call-overload]
    model = str(fields.get("model", "fraud"))
    for i, (predicted, actual) in enumerate(pairs, start=first):
        key = f"order-{i}"
        rows.append(
            Prediction(
                prediction_id=key,
                predicted=predicted,
                trace=i + 1,
                span=i + 1,
                event_time=start + i * 1_000_000_000,
                **fields,  # type: ignore[arg-type]
            )
        )
        rows.append(
            Label(prediction_id=key, actual=actual, label_id=f"label-{model}-{i}", model=model)
        )
    return rows


def labelled_later(count: int, lag_minutes: int) -> list[Prediction | Label]:
    """Predictions a minute apart, each with a label that came so much later."""
    rows: list[Prediction | Label] = []
    for i in range(count):
        time = START_NS + i * MINUTE_NS
        came = time + lag_minutes * MINUTE_NS
        rows.append(Prediction(f"a{i}", span=i + 1, event_time=time))
        rows.append(Label(f"a{i}", "fraud", f"l{i}", time=came, received=came))
    return rows

"""A small library of a server that gathers requests, with what there is to say of it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from inferspan.arguments import Arguments, Keywords, first_given
from inferspan.integration import Description, Gathering, Integration, Reading, Supported


@dataclass(eq=False)
class Payload:
    """Numbers, with headers of who sent them."""

    numbers: list[float]
    headers: dict[str, str] = field(default_factory=dict)
    key: str = ""


class Together:
    """Requests that are answered by one call."""

    def __init__(self, requests: Sequence[Payload]) -> None:
        self.requests = list(requests)
        headers = {name: said for one in self.requests for name, said in one.headers.items()}
        self.payload = Payload([n for one in self.requests for n in one.numbers], headers)


class Doubling:
    """A model that keeps what it was called with."""

    def __init__(self) -> None:
        self.seen: list[Payload] = []

    async def predict(self, payload: Payload) -> list[float]:
        """Twice each number."""
        self.seen.append(payload)
        await asyncio.sleep(0)
        if min(payload.numbers) < 0:
            raise ValueError("below nothing")
        return [2 * n for n in payload.numbers]


class Queue:
    """Calls a model once `size` requests wait."""

    def __init__(self, model: Doubling, size: int) -> None:
        self.model = model
        self._ask = model.predict
        self._size = size
        self._waiting: list[tuple[Payload, asyncio.Future[list[float]]]] = []

    async def answer(self, request: Payload) -> list[float]:
        """The model's answer to one request."""
        future: asyncio.Future[list[float]] = asyncio.get_running_loop().create_future()
        self._waiting.append((request, future))
        if len(self._waiting) == self._size:
            gathered, self._waiting = self._waiting, []
            # In the context of the request that came last.
            self._task = asyncio.create_task(self._call(gathered))
        return await future

    async def _call(self, gathered: list[tuple[Payload, asyncio.Future[list[float]]]]) -> None:
        together = Together([request for request, _ in gathered])
        try:
            left = await self._ask(together.payload)
        except ValueError as error:
            for _, future in gathered:
                future.set_exception(error)
            return
        for request, future in gathered:
            own, left = left[: len(request.numbers)], left[len(request.numbers) :]
            if not future.done():
                future.set_result(own)


def _read(description: Description, method: str) -> Reading:
    def inputs(arguments: Arguments, keywords: Keywords) -> Mapping[str, object]:
        return {"numbers": first_given(arguments, keywords).numbers}

    return Reading(inputs=inputs, task="regression")


def _send(payload: Any, headers: Mapping[str, str]) -> None:
    payload.headers = {**payload.headers, **headers}


INTEGRATION: Final = Integration(
    library="gathering_server",
    supported=Supported("gathering-server", "1", "2"),
    classes=lambda: (Doubling,),
    methods={"predict": "predict", "gathered": "predict"},
    internal=frozenset(),
    describe=lambda model: Description(name="doubling"),
    read=_read,
    gathering=Gathering(
        queues=lambda: (Queue,),
        waits="answer",
        model=lambda queue: queue.model,
        called="predict",
        method="gathered",
        batches=lambda: (Together,),
        together=lambda together: (together.payload, together.requests),
        send=_send,
    ),
)

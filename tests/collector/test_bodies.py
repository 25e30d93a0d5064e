"""What unfinished requests hold together has a limit, and all of it is given back."""

from __future__ import annotations

import asyncio
import gzip
import random
import zlib
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferspan_collector.receivers.bodies import (
    ROW_BYTES,
    Budget,
    ClientDisconnected,
    Headers,
    RefusedBody,
    received,
)
from inferspan_collector.receivers.inflating import INPUT_BYTES, inflated
from inferspan_collector.submission import Overloaded, Stopping

LIMIT = 100


def sending(*chunks: bytes, whole: bool = True) -> Callable[[], Awaitable[dict[str, object]]]:
    """An ASGI `receive` that gives these chunks; then the end, or a client that goes away."""
    messages: list[dict[str, object]] = [
        {"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks
    ]
    end = {"type": "http.request"} if whole else {"type": "http.disconnect"}

    async def receive() -> dict[str, object]:
        return messages.pop(0) if messages else end

    return receive


def reading(
    budget: Budget, *chunks: bytes, whole: bool = True
) -> AbstractAsyncContextManager[bytes]:
    headers = Headers("application/json", "identity", None)
    return received(headers, sending(*chunks, whole=whole), LIMIT, budget)


def test_requests_under_way_have_a_limit_together() -> None:
    async def scene() -> None:
        budget = Budget(150)
        async with reading(budget, bytes(60), bytes(30)) as first:
            assert first == bytes(90)
            async with reading(budget, bytes(60)):
                with pytest.raises(Overloaded, match="hold 150 bytes; 150 is the limit"):
                    async with reading(budget, b"x"):
                        pass
            async with reading(budget, bytes(60)) as second:
                assert second == bytes(60)

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("chunks", "whole", "ends_with"),
    [
        ([bytes(60), bytes(41)], True, RefusedBody),
        ([bytes(60)], False, ClientDisconnected),
        ([bytes(100)], True, None),
    ],
)
def test_whatever_happens_the_bytes_are_given_back(
    chunks: list[bytes], whole: bool, ends_with: type[Exception] | None
) -> None:
    async def scene() -> None:
        budget = Budget(LIMIT)
        if ends_with is None:
            async with reading(budget, *chunks, whole=whole):
                pass
        else:
            with pytest.raises(ends_with):
                async with reading(budget, *chunks, whole=whole):
                    pass
        async with reading(budget, bytes(LIMIT)) as body:
            assert len(body) == LIMIT

    asyncio.run(scene())


async def silence() -> dict[str, object]:
    """A sender that has fallen silent, its connection open."""
    return await asyncio.get_running_loop().create_future()


@pytest.mark.parametrize(
    ("chunk_seconds", "body_seconds"), [(0.0, 60.0), (60.0, 0.0)], ids=["chunk", "body"]
)
def test_a_silent_sender_is_given_up_and_holds_nothing(
    chunk_seconds: float, body_seconds: float
) -> None:
    async def scene() -> None:
        budget = Budget(LIMIT, chunk_seconds, body_seconds)
        first = sending(bytes(LIMIT))
        chunks = [first, silence]
        headers = Headers("application/json", "identity", None)
        with pytest.raises(RefusedBody, match="did not come whole in time") as refused:
            async with received(headers, lambda: chunks.pop(0)(), LIMIT, budget):
                pass
        assert refused.value.status == 408
        with budget.holding(LIMIT):
            pass

    asyncio.run(scene())


def test_nobody_is_too_slow_while_this_process_stands_still() -> None:
    """Stopped, or on a machine that slept: exporters drop what is answered 408."""

    async def scene() -> None:
        budget, loop = Budget(LIMIT, chunk_seconds=10.0), asyncio.get_running_loop()
        headers = Headers("application/json", "identity", None)

        async def read() -> None:
            async with received(headers, silence, LIMIT, budget):
                pass

        under_way = asyncio.create_task(read())
        await asyncio.sleep(0)
        wakes = loop.time() + 60.0
        loop.time = lambda: wakes  # type: ignore[method-assign]
        with pytest.raises(Overloaded, match="stood still"):
            await under_way
        for seconds, silent in ((60.0, 60.0), (75.0, 1.0)):
            with pytest.raises(Overloaded, match="stood still"):
                budget.check_pace(seconds, silent)
        for seconds, silent in ((11.0, 11.0), (61.0, 1.0)):
            with pytest.raises(RefusedBody, match="did not come whole in time"):
                budget.check_pace(seconds, silent)

    asyncio.run(scene())


def test_bodies_that_are_not_whole_are_given_up_at_the_stop() -> None:
    async def scene() -> None:
        budget = Budget(LIMIT)
        headers = Headers("application/json", "identity", None)

        async def read() -> None:
            async with received(headers, silence, LIMIT, budget):
                pass

        under_way = asyncio.create_task(read())
        await asyncio.sleep(0)
        budget.stop()
        for task in (under_way, asyncio.create_task(read())):
            with pytest.raises(Stopping):
                await task

    asyncio.run(scene())


@given(st.binary(max_size=100), st.sampled_from(["gzip", "deflate", "zstd"]))
def test_no_bytes_crash_the_inflaters(body: bytes, encoding: str) -> None:
    try:
        assert len(inflated(body, encoding, LIMIT)) <= LIMIT
    except RefusedBody as refused:
        assert refused.status in (400, 413)  # noqa: PT017


@given(
    members=st.lists(st.binary(max_size=3_000), min_size=1, max_size=3),
    zeros=st.integers(0, 9),
    end=st.none() | st.binary(min_size=4, max_size=4),
    cut=st.none() | st.integers(1, 20),
    limit=st.integers(0, 6_000),
)
def test_gzip_is_what_pythons_own_reads(
    members: list[bytes], zeros: int, end: bytes | None, cut: int | None, limit: int
) -> None:
    """Whatever its end says, however many members it has, and whatever follows them."""
    body = b"".join(gzip.compress(member) for member in members)
    if end is not None:
        body = body[:-4] + end
    body = body[:-cut] if cut else body + bytes(zeros)
    try:
        wanted = gzip.decompress(body)
    except (OSError, EOFError, zlib.error):
        with pytest.raises(RefusedBody) as refused:
            inflated(body, "gzip", 10_000)
        assert refused.value.status == 400
        return
    if len(wanted) > limit:
        with pytest.raises(RefusedBody) as refused:
            inflated(body, "gzip", limit)
        assert refused.value.status == 413
    else:
        assert inflated(memoryview(body), "gzip", limit) == wanted


@pytest.mark.parametrize("size", [0, 1, INPUT_BYTES - 16, INPUT_BYTES, 3 * INPUT_BYTES, 1_000_000])
@pytest.mark.parametrize("level", [0, 9])
def test_deflate_is_read_piece_by_piece_to_its_end_and_no_further(size: int, level: int) -> None:
    content = random.Random(size).randbytes(size)
    body = zlib.compress(content, level)
    assert inflated(memoryview(body), "deflate", size) == content
    for damaged in (body[:-1], body + b"x", body + bytes(2 * INPUT_BYTES)):
        with pytest.raises(RefusedBody) as refused:
            inflated(damaged, "deflate", size)
        assert refused.value.status == 400
    if size:
        with pytest.raises(RefusedBody) as refused:
            inflated(body, "deflate", size - 1)
        assert refused.value.status == 413


def test_rows_count_before_they_are_made_and_one_request_always_passes() -> None:
    budget = Budget(400 * ROW_BYTES)
    with budget.holding(100), budget.making_rows(100) as reserve:
        reserve(60)
        reserve(60)  # more than one request's share: no more is held for it
        with budget.holding(300 * ROW_BYTES - 100), pytest.raises(Overloaded):
            budget.take(1)
        with pytest.raises(Overloaded), budget.holding(300 * ROW_BYTES - 99):
            pass
    with budget.holding(400 * ROW_BYTES - 50):
        with budget.making_rows(50) as reserve, pytest.raises(Overloaded):
            reserve(1)
        with budget.making_rows(400 * ROW_BYTES) as reserve:
            reserve(1)
    with budget.holding(400 * ROW_BYTES):
        pass


@given(st.lists(st.integers(0, 60), max_size=8))
def test_a_block_gives_back_what_it_holds(counts: list[int]) -> None:
    budget = Budget(LIMIT)
    for count in counts:
        with budget.holding(count), pytest.raises(Overloaded):
            budget.take(LIMIT - count + 1)
    with budget.holding(LIMIT):
        pass

"""Checked by mypy --strict, never run: decorated functions keep their types."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import assert_type

import inferspan


class Estimator:
    def predict(self, rows: list[float]) -> list[int]:
        return [1 for _ in rows]


@inferspan.predict
def bare(x: int, *, scale: float = 1.0) -> str:
    return str(x * scale)


@inferspan.predict(model="m", version="1", task="regression", slices=["x"])
def with_arguments(x: int) -> float:
    return float(x)


@inferspan.predict
async def bare_async(x: int) -> bytes:
    return bytes(x)


@inferspan.predict(model="m", prediction_id=lambda x: f"{x}")
async def async_with_arguments(x: int) -> bytes:
    return bytes(x)


@inferspan.predict(model="m")
def stream(x: int) -> Iterator[int]:
    yield x


@inferspan.predict(model="m")
async def async_stream(x: int) -> AsyncIterator[int]:
    yield x


@inferspan.stage("features")
def features(x: int) -> list[float]:
    return [float(x)]


@inferspan.stage("features")
async def async_features(x: int) -> list[float]:
    return [float(x)]


class Model:
    @inferspan.predict
    def bare(self, x: int) -> str:
        return str(x)

    @inferspan.predict(model="m")
    def method(self, x: int) -> str:
        return str(x)

    @inferspan.predict(model="m")
    async def async_method(self, x: int) -> str:
        return str(x)

    @classmethod
    @inferspan.predict(model="m")
    def of_class(cls, x: int) -> str:
        return str(x)

    @staticmethod
    @inferspan.predict(model="m")
    def static(x: int) -> str:
        return str(x)


def takes(function: Callable[[int], str]) -> None: ...


def takes_async(function: Callable[[int], Awaitable[bytes]]) -> None: ...


async def types() -> None:
    assert_type(bare(1, scale=2.0), str)
    assert_type(with_arguments(1), float)
    assert_type(with_arguments(x=1), float)
    assert_type(await bare_async(1), bytes)
    assert_type(await async_with_arguments(1), bytes)
    assert_type(stream(1), Iterator[int])
    assert_type(async_stream(1), AsyncIterator[int])
    assert_type(features(1), list[float])
    assert_type(await async_features(1), list[float])

    model = Model()
    assert_type(model.bare(1), str)
    assert_type(model.method(1), str)
    assert_type(await model.async_method(1), str)
    assert_type(Model.of_class(1), str)
    assert_type(Model.static(1), str)
    takes(model.method)
    takes_async(bare_async)
    takes_async(bare)  # type: ignore[arg-type]

    # Unused ignores are errors under --strict: each of these lines must be one.
    bare("1")  # type: ignore[arg-type]
    bare(1, 2.0)  # type: ignore[call-arg]
    bare(1, unknown=2)  # type: ignore[call-arg]
    with_arguments()  # type: ignore[call-arg]
    await bare_async("1")  # type: ignore[arg-type]
    model.method("1")  # type: ignore[arg-type]
    features("1")  # type: ignore[arg-type]
    inferspan.predict(3)  # type: ignore[call-overload]
    inferspan.predict(model=3)  # type: ignore[call-overload]

    assert_type(inferspan.wrap(Estimator(), model="m"), Estimator)
    with inferspan.stage("s") as nothing:
        assert_type(nothing, None)
    ref = inferspan.current_prediction()
    assert_type(ref, inferspan.PredictionRef | None)
    if ref is not None:
        assert_type(ref.label("fraud", target="chargeback"), str | None)
        assert_type(ref.label(True, item_id="sku-17"), str | None)
        ref.label("fraud", tarket="chargeback")  # type: ignore[call-arg]
    assert_type(inferspan.label("id", 1, model="m"), str | None)
    report = inferspan.label_table([{"prediction_id": "a", "actual": 1}], model="m")
    assert_type(report.sent, int)
    assert_type(inferspan.flush(timeout=1), bool)

"""Checked by mypy --strict, never run: what is carried and gathered keeps its types."""

from __future__ import annotations

from collections.abc import Callable
from typing import assert_type

from opentelemetry.context import Context

import inferspan
from inferspan import propagation


def part(x: int, *, scale: float = 1.0) -> str:
    return str(x * scale)


def headers(kafka: list[tuple[str, bytes]], http: dict[str, str]) -> None:
    assert_type(propagation.inject(), dict[str, str])
    assert_type(propagation.inject(http), dict[str, str])
    assert_type(propagation.inject(kafka, inferspan.current_prediction()), list[tuple[str, bytes]])
    with propagation.extract(kafka):
        pass
    context: Context = propagation.extract(http)
    assert context is not None


assert_type(propagation.carry(part)(1, scale=2.0), str)
propagation.carry(part)("one")  # type: ignore[arg-type]


def gather(references: list[inferspan.PredictionRef | None]) -> Callable[[], None]:
    with inferspan.batch(references, model="fraud"):
        pass
    with inferspan.batch(reference for reference in references):
        pass
    inferspan.batch([part])  # type: ignore[list-item]
    return lambda: None

"""Hours of predictions and labels to be foreseen, and the two questions about them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from asking import FilledStore, ask
from records import MINUTE_NS, START_NS, Label, Prediction

from inferspan_collector.config import Config
from inferspan_collector.publish import drifting, foreseeing
from inferspan_collector.publish.parameters import rfc3339

HOUR_NS = 60 * MINUTE_NS
HOUR_START_NS = START_NS - START_NS % HOUR_NS
HOURLY = 500
"""Predictions an hour."""
REFERENCE = f"&reference_to={rfc3339(HOUR_START_NS + 8 * HOUR_NS)}"


def hours(
    scores: Sequence[float], truths: Sequence[bool] | None, first: int = 0, **fields: Any
) -> list[Prediction | Label]:
    """Predictions from some hour on, `HOURLY` an hour; labels come an hour after them."""
    rows: list[Prediction | Label] = []
    for i, score in enumerate(scores):
        number = first * HOURLY + i
        time = HOUR_START_NS + number * (HOUR_NS // HOURLY)
        rows.append(
            Prediction(
                prediction_id=f"order-{number}",
                predicted="fraud" if score >= 0.5 else "legit",
                score=float(score),
                trace=number + 1,
                span=number + 1,
                event_time=time,
                **fields,
            )
        )
        if truths is not None:
            rows.append(
                Label(
                    prediction_id=f"order-{number}",
                    label_id=f"label-{number}",
                    actual="fraud" if truths[i] else "legit",
                    received=time + HOUR_NS,
                )
            )
    return rows


def drawn(n: int, seed: int, sure: bool) -> tuple[np.ndarray, np.ndarray]:
    """Scores that are probabilities, near 0 and 1 or not, and truths that follow them."""
    rng = np.random.default_rng(seed)
    scores = rng.beta(0.3, 0.3, n) if sure else rng.beta(1, 1, n)
    return scores, rng.random(n) < scores


def get(store: FilledStore, what: str, query: str, config: Config | None = None) -> dict[str, Any]:
    family = {"drift": drifting, "estimates": foreseeing}[what]
    url = f"/api/v1/models/fraud/{what}{query}"
    response = ask(family.routes(store, config or store.config), url)
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    return body

"""Figures of few rows alert nobody, and those of any rows do not depend on their order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from asking import FilledStore, ask
from foreseen import HOUR_NS, HOUR_START_NS, HOURLY, drawn, get, hours
from records import MINUTE_NS, SECOND_NS, START_NS, Label, Prediction, Stage

from inferspan_collector.config import Config, Model
from inferspan_collector.publish import api, stage_durations
from inferspan_collector.publish.parameters import rfc3339


@pytest.fixture
def store(tmp_path: Path) -> Iterator[FilledStore]:
    filled = FilledStore(tmp_path)
    filled.now = HOUR_START_NS + 48 * HOUR_NS
    yield filled
    filled.close()


@pytest.mark.parametrize("n", [1, 2, 10, 29, 30])
def test_nobody_alerts_of_a_few_rows(store: FilledStore, n: int) -> None:
    # Measured against themselves, the first rows of a constant column are as they were.
    store.add(
        *(
            Prediction(
                f"order-{i}", trace=i + 1, span=i + 1, event_time=START_NS + i * SECOND_NS,
                features={"amount": 5.0}, score=0.5,
            )
            for i in range(n)
        )
    )  # fmt: skip
    columns = get(store, "drift", "")["columns"]
    assert {"feature.amount", "predicted.score", "predicted.class"} <= columns.keys()
    for column in columns.values():
        assert column["values"] == [n]
        for figure in column["figures"].values():
            assert figure["known"] == [n >= 30]
            assert figure["alerts"] == [False]


def test_what_is_known_of_few_rows_is_configured(store: FilledStore) -> None:
    calm = [
        Prediction(
            f"order-{i}", trace=i + 1, span=i + 1, event_time=HOUR_START_NS + i * MINUTE_NS,
            features={"amount": float(i % 7)},
        )
        for i in range(60)
    ]  # fmt: skip
    moved = [
        replace(row, prediction_id=f"late-{i}", trace=100 + i, span=100 + i,
                event_time=HOUR_START_NS + HOUR_NS + i, features={"amount": 99.0})
        for i, row in enumerate(calm[:10])
    ]  # fmt: skip
    store.add(*calm, *moved)
    until = f"?every=1h&reference_to={rfc3339(HOUR_START_NS + HOUR_NS)}"
    for minimum, known in ((30, False), (10, True)):
        config = Config(models={"fraud": Model(minimum_n=minimum)})
        figures = get(store, "drift", until, config)["columns"]["feature.amount"]["figures"]
        for name in ("out_of_range", "jensen_shannon", "kolmogorov_smirnov"):
            assert figures[name]["known"] == [True, known], name
            assert figures[name]["alerts"] == [False, known], name


def test_arrivals_in_any_order_give_the_same_answers(tmp_path: Path) -> None:
    scores, truths = drawn(2 * HOURLY, 1, sure=True)
    rows: list[Any] = []
    for i, row in enumerate(hours(scores.round(2), truths.tolist())):
        if isinstance(row, Label):
            rows.append(replace(row, weight=1.0 + i % 3))
            if i % 7 == 0:
                rows.append(replace(row, revision=1, actual="legit"))
            continue
        features: dict[str, float | str] = {"amount": float(i % 13), "country": "DEFR"[i % 3 :]}
        rows.append(replace(row, features=features, adjusted_count=(1.0, 4.0)[i % 2]))
        rows.append(Stage(trace=row.trace, owner=row.span, span=5_000 + i, duration=10**6 * i))
    answers = []
    for seed in (0, 1):
        filled = FilledStore(tmp_path / str(seed))
        filled.now = HOUR_START_NS + 48 * HOUR_NS
        order = np.random.default_rng(seed).permutation(len(rows)) if seed else range(len(rows))
        shuffled = [rows[i] for i in order]
        for start in range(0, len(rows), 700):
            filled.add(*shuffled[start : start + 700])
        said = [get(filled, what, "?every=1h") for what in ("drift", "estimates")]
        others = [*api.routes(filled, filled.config), *stage_durations.routes(filled, Config())]
        for what in ("quality", "stages"):
            said.append(ask(others, f"/api/v1/models/fraud/{what}?every=1h&by=version").json())
        answers.append(said)
        filled.close()
    (window, *_) = answers[0][3]["windows"]
    assert window["stages"][0]["n"] == HOURLY
    assert answers[0][2]["windows"][0]["weights"]["total"] > HOURLY
    assert answers[0] == answers[1]

"""Two days of predictions as the demo's kind: one model whose scanner changed, others beside it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from asking import FilledStore
from records import MINUTE_NS, START_NS, Label, Prediction

from inferspan_collector.config import Config

HOUR_NS = 60 * MINUTE_NS
NOW_NS = START_NS - START_NS % HOUR_NS + HOUR_NS // 2
HOURS = 40
A_HOUR = 60
CHANGED = 30
"""The hour from which one hospital measures in another unit."""
HOSTILE = "<img src=x onerror=alert(1)>\"'</script><script>alert(2)</script>{{7*7}} ../..?#&"
TRIAGE = "triage"


def fill(directory: Path, config: Config) -> None:
    """Write the store that a collector is then started on."""
    store = FilledStore(directory, config)
    store.now = NOW_NS
    store.add(*triage())
    store.add(*regression())
    store.add(*hostile())
    store.add(*(Prediction(f"u{i}", span=90_000 + i, trace=90_000 + i, model="unlabelled",
                           event_time=NOW_NS - i * MINUTE_NS) for i in range(1, 40)))  # fmt: skip
    store.close()


def triage() -> list[Prediction | Label]:
    """A binary model: right nine times of ten, until a hospital changes its unit."""
    random = np.random.default_rng(7)
    rows: list[Prediction | Label] = []
    for i in range(HOURS * A_HOUR):
        hour = i // A_HOUR
        time = NOW_NS - (HOURS * A_HOUR - i) * MINUTE_NS
        hospital = ("north", "south", "east")[i % 3]
        size = float(random.normal(14, 3))
        changed = hour >= CHANGED and hospital == "south"
        actual = "malignant" if random.random() < 1 / (1 + np.exp(-(size - 14))) else "benign"
        seen = size / 10 if changed else size
        score = float(1 / (1 + np.exp(-(seen - 14))))
        said = "malignant" if score >= 0.5 else "benign"
        rows.append(
            Prediction(
                f"visit-{i}", said, model=TRIAGE, version="8" if hour >= 24 else "7",
                service="triage-api", positive_class="malignant", trace=i + 1, span=i + 1,
                event_time=time, duration=int(random.lognormal(np.log(6e6), 0.4)), score=score,
                slices={"hospital": hospital}, features={"radius": seen, "scanner": hospital},
                error_type="TimeoutError" if i % 400 == 399 else None,
            )
        )  # fmt: skip
        lag = int(random.exponential(2 * HOUR_NS))
        if time + lag < NOW_NS and i % 400 != 399:
            rows.append(Label(f"visit-{i}", actual, f"truth-{i}", model=TRIAGE, time=time + lag,
                              received=time + lag))  # fmt: skip
    return rows


def regression() -> list[Prediction | Label]:
    """Numbers, and labels of most of them."""
    random = np.random.default_rng(8)
    rows: list[Prediction | Label] = []
    for i in range(600):
        time = NOW_NS - (600 - i) * MINUTE_NS
        key, value = f"store-{i}", float(random.normal(100, 20))
        rows.append(Prediction(key, None, model="demand", task="regression", value=value,
                               positive_class=None, trace=20_000 + i, span=20_000 + i,
                               event_time=time, service="demand-api"))  # fmt: skip
        if i < 500:
            rows.append(Label(key, None, f"sold-{i}", model="demand", time=time + MINUTE_NS,
                              value=value + float(random.normal(0, 5))))  # fmt: skip
    return rows


def hostile() -> list[Prediction | Label]:
    """A model whose every text tries to be markup."""
    rows: list[Prediction | Label] = []
    for i in range(40):
        key, time = f"{HOSTILE}{i}", NOW_NS - (40 - i) * MINUTE_NS
        rows.append(Prediction(key, HOSTILE if i % 2 else "b", model=HOSTILE, version=HOSTILE,
                               service=HOSTILE, environment=HOSTILE, positive_class=None,
                               task="multiclass_classification", trace=30_000 + i,
                               span=30_000 + i, event_time=time, slices={HOSTILE: HOSTILE},
                               features={HOSTILE: HOSTILE},
                               error_type=HOSTILE if i == 3 else None))  # fmt: skip
        rows.append(Label(key, "b", f"h{i}", model=HOSTILE, time=time + MINUTE_NS))
    return rows

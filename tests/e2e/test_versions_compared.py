"""Champion and shadow on the same requests, old and new on different ones: `inferspan compare`.

Spans in, labels later, the verdict from the command and from the API: statsmodels' and scipy's of
the same rows, and DeLong's test written out pair by pair.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from collector_process import Served, asked, inferspan, post, serving
from scipy import stats
from sklearn import metrics
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import confint_proportions_2indep, proportions_ztest

from inferspan import semconv
from inferspan_collector.testing import prediction_span, traces_request

N, STEP_NS = 400, 1_000_000_000


@dataclass
class Side:
    """What one version or variant said of N requests, and what was true."""

    name: str
    score: np.ndarray
    truth: np.ndarray

    @property
    def said(self) -> np.ndarray:
        return self.score >= 0.5

    @property
    def right(self) -> np.ndarray:
        return self.said == self.truth


def sides(seed: int, names: tuple[str, str], *, same: bool) -> tuple[Side, Side]:
    """The second is the surer one."""
    rng = np.random.default_rng(seed)
    truths = [rng.random(N) < 0.4]
    truths.append(truths[0] if same else rng.random(N) < 0.4)
    found = []
    for name, truth, spread in zip(names, truths, (1.6, 1.1), strict=True):
        signal = np.where(truth, 1.0, -1.0) + rng.normal(0, spread, N)
        found.append(Side(name, (1 / (1 + np.exp(-signal))).round(3), truth))
    return found[0], found[1]


def sent(collector: Served, model: str, key: str, pair: tuple[Side, Side], *, same: bool) -> None:
    """Predictions of both, then the labels, each request's once, in an order of their own."""
    start_ns = time.time_ns() - 3 * N * STEP_NS
    labels: dict[str, bool] = {}
    for place, side in enumerate(pair):
        spans = []
        for row in range(N):
            request = f"{model}-{row if same else row + place * N}"
            labels[request] = bool(side.truth[row])
            attributes = {
                semconv.TASK_TYPE: semconv.BINARY,
                semconv.OUTPUT_POSITIVE_CLASS: "1",
                semconv.OUTPUT_CLASS: str(int(side.said[row])),
                semconv.OUTPUT_SCORE: float(side.score[row]),
                key: side.name,
            }
            at = start_ns + row * STEP_NS
            spans.append(prediction_span(request, attributes, model=model, start_ns=at))
            spans[-1].span_id = (row + place * N + 1).to_bytes(8, "big")
        body = traces_request(spans).SerializeToString()
        post(f"{collector.otlp_http}/v1/traces", body, "application/x-protobuf")
    lines = [
        json.dumps({"prediction_id": request, "model": model, "class": str(int(true))})
        for request, true in labels.items()
    ]
    random.Random(3).shuffle(lines)
    post(f"{collector.api}/v1/labels", "\n".join(lines).encode(), "application/x-ndjson")


@pytest.fixture(scope="module")
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("compared") / "data") as running:
        yield running


def compared(collector: Served, model: str, by: str, pair: tuple[Side, Side]) -> dict[str, Any]:
    """What the command says, which is what the API does."""
    names = ("--by", by, "--a", pair[0].name, "--b", pair[1].name)
    done = inferspan("compare", model, *names, "--api", collector.api, "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    about = {"by": by, "a": pair[0].name, "b": pair[1].name}
    assert found == asked(collector.api, model, "compare", **about)
    return found


def wins(side: Side) -> np.ndarray:
    """Of each positive and each negative: 1 where the positive has the higher score, ½ of ties."""
    positive, negative = side.score[side.truth], side.score[~side.truth]
    above = positive[:, None] > negative[None, :]
    return above + (positive[:, None] == negative[None, :]) / 2


def areas(pair: tuple[Side, Side], *, same: bool) -> tuple[float, float]:
    """(difference, p-value) by DeLong, DeLong and Clarke-Pearson."""
    tables = [wins(side) for side in pair]
    variance = 0.0
    for axis in (1, 0):
        parts = [table.mean(axis=axis) for table in tables]
        if same:
            variance += np.var(parts[1] - parts[0], ddof=1) / len(parts[0])
        else:
            variance += sum(np.var(part, ddof=1) / len(part) for part in parts)
    value = float(tables[1].mean() - tables[0].mean())
    return value, float(2 * stats.norm.sf(abs(value) / variance**0.5))


def held(figures: dict[str, Any], pair: tuple[Side, Side]) -> None:
    """Both sides are scikit-learn's, and all p-values shown are adjusted together."""
    for place, side in enumerate(pair):
        exact = {
            "accuracy": metrics.accuracy_score(side.truth, side.said),
            "precision": metrics.precision_score(side.truth, side.said),
            "recall": metrics.recall_score(side.truth, side.said),
            "f1": metrics.f1_score(side.truth, side.said),
            "roc_auc": metrics.roc_auc_score(side.truth, side.score),
            "log_loss": metrics.log_loss(side.truth, side.score),
        }
        for name, value in exact.items():
            assert figures[name]["ab"[place]]["value"] == pytest.approx(value, abs=1e-9), name
    shown = [each["difference"] for each in figures.values() if each["difference"] is not None]
    known = [each for each in shown if each["p_value"] is not None]
    adjusted = multipletests([each["p_value"] for each in known], method="fdr_bh")[1]
    assert [each["adjusted_p_value"] for each in known] == pytest.approx(list(adjusted))
    assert [each["significant"] for each in known] == [bool(p < 0.05) for p in adjusted]
    assert {True, False} == {each["significant"] for each in known}


def test_champion_and_shadow_answer_the_same_requests(collector: Served) -> None:
    pair = sides(5, ("champion", "shadow"), same=True)
    sent(collector, "shadowed", semconv.MODEL_VARIANT, pair, same=True)
    body = compared(collector, "shadowed", "variant", pair)
    a, b = pair[0].right, pair[1].right
    table = [[(a & b).sum(), (a & ~b).sum()], [(~a & b).sum(), (~a & ~b).sum()]]
    assert list(body["shared"].values()) == [N, *table[0], *table[1]]
    difference = body["figures"]["accuracy"]["difference"]
    assert (difference["test"], difference["n"]) == ("mcnemar", [N, N])
    theirs = mcnemar(table, exact=False, correction=True)
    assert difference["p_value"] == pytest.approx(theirs.pvalue)
    assert difference["value"] == pytest.approx(b.mean() - a.mean())
    assert difference["low"] < difference["value"] < difference["high"]
    value, p_value = areas(pair, same=True)
    difference = body["figures"]["roc_auc"]["difference"]
    assert difference["test"] == "delong_paired"
    assert (difference["value"], difference["p_value"]) == pytest.approx((value, p_value))
    held(body["figures"], pair)


def test_old_and_new_answer_different_requests(collector: Served) -> None:
    pair = sides(6, ("6", "7"), same=False)
    sent(collector, "replaced", semconv.MODEL_VERSION, pair, same=False)
    body = compared(collector, "replaced", "version", pair)
    assert body["shared"] is None
    for name, among in (
        ("accuracy", [np.ones(N, bool)] * 2),
        ("recall", [side.truth for side in pair]),
        ("precision", [side.said for side in pair]),
    ):
        right = [int((side.right & rows).sum()) for side, rows in zip(pair, among, strict=True)]
        n = [int(rows.sum()) for rows in among]
        low, high = confint_proportions_2indep(
            right[1], n[1], right[0], n[0], method="newcomb", compare="diff"
        )
        _, p_value = proportions_ztest(right, n)
        difference = body["figures"][name]["difference"]
        assert (difference["test"], difference["n"]) == ("newcombe", n), name
        ends = (difference["low"], difference["high"], difference["p_value"])
        assert ends == pytest.approx((low, high, p_value)), name
    value, p_value = areas(pair, same=False)
    difference = body["figures"]["roc_auc"]["difference"]
    assert difference["test"] == "delong"
    assert (difference["value"], difference["p_value"]) == pytest.approx((value, p_value))
    held(body["figures"], pair)

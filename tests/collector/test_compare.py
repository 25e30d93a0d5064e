"""The comparison of versions over a real store, against statsmodels on the same rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from asking import FilledStore, ask
from records import SECOND_NS, START_NS, Label, Prediction
from scipy.stats import ttest_ind, ttest_rel
from sklearn.metrics import roc_auc_score
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import confint_proportions_2indep

from inferspan_collector.cli.compare import lines
from inferspan_collector.config import Config, Limits
from inferspan_collector.publish import comparing
from inferspan_collector.quality.intervals import effective_n, wilson_share

EVEN = frozenset(f"order-{i}" for i in range(0, 1000, 2))
"""What `truths` calls fraud."""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[FilledStore]:
    filled = FilledStore(tmp_path)
    yield filled
    filled.close()


def answers(version: str, right: Sequence[bool], first: int = 0, **fields: Any) -> list[Prediction]:
    """Predictions of which the truth is fraud for even ids and legit for odd ones."""
    rows = []
    for i, correct in enumerate(right, start=first):
        truth, other = ("fraud", "legit") if i % 2 == 0 else ("legit", "fraud")
        number = i + (int(version) << 32)
        rows.append(
            Prediction(
                prediction_id=f"order-{i}",
                predicted=truth if correct else other,
                version=version,
                trace=number + 1,
                span=number + 1,
                event_time=START_NS + i * SECOND_NS,
                **fields,
            )
        )
    return rows


def truths(count: int) -> list[Label]:
    return [
        Label(
            prediction_id=f"order-{i}",
            label_id=f"label-{i}",
            actual="fraud" if i % 2 == 0 else "legit",
        )
        for i in range(count)
    ]


def compare(store: FilledStore, query: str = "?a=6&b=7") -> dict[str, Any]:
    response = ask(comparing.routes(store, store.config), f"/api/v1/models/fraud/compare{query}")
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    return body


def test_versions_that_answered_different_requests(store: FilledStore) -> None:
    old, new = [True] * 70 + [False] * 30, [True] * 135 + [False] * 15
    store.add(*answers("6", old), *answers("7", new, first=100), *truths(250))
    body = compare(store)
    assert body["shared"] is None
    assert (body["a"], body["b"]) == (
        {"name": "6", "predictions": 100, "labeled": 100},
        {"name": "7", "predictions": 150, "labeled": 150},
    )
    accuracy = body["figures"]["accuracy"]
    assert (accuracy["a"]["value"], accuracy["b"]["value"]) == (0.7, 0.9)
    difference = accuracy["difference"]
    low, high = confint_proportions_2indep(135, 150, 70, 100, method="newcomb", compare="diff")
    assert difference["value"] == pytest.approx(0.2)
    assert (difference["low"], difference["high"]) == pytest.approx((low, high))
    assert difference["test"] == "newcombe"
    assert difference["significant"] is True


def test_versions_that_answered_the_same_requests(store: FilledStore) -> None:
    old = [True] * 80 + [False] * 20
    new = [True] * 70 + [False] * 10 + [True] * 18 + [False] * 2
    store.add(*answers("6", old), *answers("7", new), *truths(100))
    body = compare(store)
    assert body["shared"] == {
        "rows": 100,
        "both_correct": 70,
        "only_a_correct": 10,
        "only_b_correct": 18,
        "both_incorrect": 2,
    }
    difference = body["figures"]["accuracy"]["difference"]
    theirs = mcnemar([[70, 10], [18, 2]], exact=False, correction=True)
    assert difference["test"] == "mcnemar"
    assert difference["p_value"] == pytest.approx(theirs.pvalue)
    assert difference["value"] == pytest.approx(0.08)
    assert difference["significant"] is False


def test_each_side_says_what_it_rests_on_and_whether_that_is_enough(store: FilledStore) -> None:
    store.add(*answers("6", [True] * 40), *answers("7", [True] * 20, first=40), *truths(50))
    figures = compare(store)["figures"]
    for name, a, b in (("accuracy", 40, 10), ("recall", 20, 5), ("coverage", 40, 20)):
        assert (figures[name]["a"]["n"], figures[name]["b"]["n"]) == (a, b), name
        assert figures[name]["b"]["known"] is False
    assert "known" not in figures["accuracy"]["a"]
    assert figures["accuracy"]["a"]["coverage"] == 1.0
    assert figures["recall"]["b"]["coverage"] == 0.5


def test_p_values_are_adjusted_for_all_that_is_shown(store: FilledStore) -> None:
    store.add(
        *answers("6", [True] * 70 + [False] * 30),
        *answers("7", [True] * 85 + [False] * 15, first=100),
        *truths(200),
    )
    shown = [figure["difference"] for figure in compare(store)["figures"].values()]
    known = [each for each in shown if each is not None and each["p_value"] is not None]
    assert len(known) > 3
    adjusted = multipletests([each["p_value"] for each in known], method="fdr_bh")[1]
    assert [each["adjusted_p_value"] for each in known] == pytest.approx(list(adjusted))


def test_variants_and_the_only_two_there_are(store: FilledStore) -> None:
    store.add(
        *answers("7", [True] * 10, variant="champion"),
        *answers("7", [False] * 10, first=10, variant="shadow"),
        *truths(20),
    )
    body = compare(store, "?by=variant")
    assert (body["by"], body["a"]["name"], body["b"]["name"]) == ("variant", "champion", "shadow")
    assert body["figures"]["accuracy"]["difference"]["value"] == -1


def test_those_without_a_version_are_a_side_too(store: FilledStore) -> None:
    bare = [replace(row, version=None) for row in answers("6", [True] * 20)]
    store.add(*bare, *answers("7", [False] * 20), *truths(20))
    body = compare(store, "?a=&b=7")
    assert body["a"] == {"name": "", "predictions": 20, "labeled": 20}
    assert body["shared"]["only_a_correct"] == 20


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("?a=6", "b"),
        ("?a=6&b=9", "b"),
        ("?a=6&b=6", "b"),
        ("", "a"),
        ("?a=6&b=7&by=service", "by"),
        ("?a=6&b=7&average=mean", "average"),
    ],
)
def test_what_cannot_be_compared_is_refused(store: FilledStore, query: str, parameter: str) -> None:
    for version in ("6", "7", "8"):
        store.add(*answers(version, [True]))
    response = ask(comparing.routes(store, store.config), f"/api/v1/models/fraud/compare{query}")
    assert response.status_code == 400
    assert response.json()["parameter"] == parameter


def test_an_unknown_model_is_not_found(store: FilledStore) -> None:
    assert ask(comparing.routes(store, store.config), "/api/v1/models/x/compare").status_code == 404


def test_versions_without_labels_have_no_difference_and_a_reason(store: FilledStore) -> None:
    store.add(*answers("6", [True]), *answers("7", [True], first=1))
    accuracy = compare(store)["figures"]["accuracy"]
    assert accuracy["difference"] is None
    assert "no label" in accuracy["a"]["reason"]


def test_the_table_for_people_says_what_is_real(store: FilledStore) -> None:
    store.add(
        *answers("6", [True] * 70 + [False] * 30),
        *answers("7", [True] * 95 + [False] * 5, first=100),
        *truths(200),
    )
    table = lines(compare(store))
    assert table[0] == "fraud: version 6 against 7 (100 and 100 labelled predictions)"
    (line,) = [line for line in table if line.startswith("accuracy ")]
    assert "0.7000" in line
    assert "0.9500" in line
    assert "(newcombe): real" in line


def scored(version: str, first: int = 0, count: int = 80, noise: float = 1.0) -> list[Prediction]:
    """Predictions with scores of what `truths` says, the noisier the worse."""
    random = np.random.default_rng(int(version) + first)
    rows = answers(version, [True] * count, first)
    return [
        replace(row, score=float(1 / (1 + np.exp(-random.normal((i + first) % 2 == 0, noise)))))
        for i, row in enumerate(rows)
    ]


def estimates(version: str, first: int = 0, error: float = 1.0) -> list[Prediction]:
    """Predictions of numbers, the truth of number i being i."""
    random = np.random.default_rng(int(version) + first)
    return [
        replace(
            row,
            predicted=None,
            positive_class=None,
            task="regression",
            value=float(i + first + random.normal(0, error)),
        )
        for i, row in enumerate(answers(version, [True] * 60, first))
    ]


def numbers(count: int) -> list[Label]:
    return [Label(f"order-{i}", str(i), f"label-{i}", value=float(i)) for i in range(count)]


def test_areas_under_the_curve_of_different_and_of_the_same_requests(tmp_path: Path) -> None:
    for first, test in ((80, "delong"), (0, "delong_paired")):
        store = FilledStore(tmp_path / test)
        old, new = scored("6", noise=2.0), scored("7", first, noise=0.5)
        store.add(*old, *new, *truths(160))
        figure = compare(store)["figures"]["roc_auc"]
        store.close()
        areas = [
            roc_auc_score([row.prediction_id in EVEN for row in rows], [row.score for row in rows])
            for rows in (old, new)
        ]
        assert (figure["a"]["value"], figure["b"]["value"]) == pytest.approx(areas)
        assert figure["difference"]["value"] == pytest.approx(areas[1] - areas[0])
        assert (figure["difference"]["test"], figure["difference"]["n"]) == (test, [80, 80])
        assert figure["difference"]["low"] < areas[1] - areas[0] < figure["difference"]["high"]
        assert figure["difference"]["significant"] is True


@pytest.mark.parametrize(
    ("name", "loss"), [("mean_absolute_error", np.abs), ("mean_squared_error", np.square)]
)
def test_mean_errors_of_different_and_of_the_same_requests(
    tmp_path: Path, name: str, loss: Callable[[Any], Any]
) -> None:
    for first, test in ((60, "welch"), (0, "paired_t")):
        store = FilledStore(tmp_path / test)
        old, new = estimates("6", error=4.0), estimates("7", first, error=1.0)
        store.add(*old, *new, *numbers(120))
        figures = compare(store)["figures"]
        store.close()
        losses = [
            loss(np.array([row.value - int(row.prediction_id.split("-")[1]) for row in rows]))
            for rows in (old, new)
        ]
        theirs = ttest_ind(*losses, equal_var=False) if test == "welch" else ttest_rel(*losses)
        difference = figures[name]["difference"]
        assert difference["value"] == pytest.approx(losses[1].mean() - losses[0].mean())
        assert difference["p_value"] == pytest.approx(theirs.pvalue)
        assert difference["test"] == test
        # An error has one name here: its short one would count as a figure more.
        assert not {"mae", "mse"} & set(figures)


def test_other_figures_are_composed_of_both_intervals(store: FilledStore) -> None:
    store.add(*scored("6", noise=2.0), *scored("7", 80, noise=0.5), *truths(160))
    figures = compare(store)["figures"]
    tests = {
        name: figure["difference"]["test"]
        for name, figure in figures.items()
        if figure["difference"] is not None
    }
    assert tests["recall"] == "newcombe"
    assert tests["f1"] == tests["brier_score"] == "mover"


def test_more_rows_than_may_be_read_leave_their_figures_without_a_value(
    store: FilledStore,
) -> None:
    store.config = Config(limits=Limits(query_rows=1000))
    store.add(*scored("6", 0, 510), *scored("7", 510, 510), *truths(1020))
    body = compare(store)
    assert body["figures"]["roc_auc"]["difference"] is None
    assert "limits.query_rows" in body["figures"]["roc_auc"]["a"]["reason"]
    assert body["figures"]["accuracy"]["difference"] is not None
    assert "not comparable: " in lines(body)[-1]


def test_rows_that_weigh_are_compared_as_what_they_stand_for(store: FilledStore) -> None:
    right = {"6": [True] * 60 + [False] * 40, "7": [True] * 70 + [False] * 30}
    store.add(*truths(100))
    for version, rows in right.items():
        predictions = answers(version, rows, score=0.5)
        # Every fifth request was sampled, and stands for ten.
        each = [10.0 if i % 5 == 0 else 1.0 for i in range(100)]
        store.add(*(replace(p, adjusted_count=w) for p, w in zip(predictions, each, strict=True)))
    figure = compare(store)["figures"]["accuracy"]
    for version, side in (("6", "a"), ("7", "b")):
        exact = np.average(right[version], weights=each)
        worth = effective_n(sum(each), sum(w * w for w in each))
        assert figure[side]["value"] == pytest.approx(exact, rel=1e-12)
        assert (figure[side]["low"], figure[side]["high"]) == pytest.approx(
            wilson_share(exact, worth)
        )
    # All of them are shared, but McNemar's test would count each request once.
    assert figure["difference"]["test"] == "mover"

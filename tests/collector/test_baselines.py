"""What is learnt from a file: as of the same rows in the store, and as scikit-learn has it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pytest
from baseline_files import SHA, baseline_of, written
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.metrics import (
    accuracy_score,
    brier_score_loss,
    f1_score,
    mean_absolute_error,
    mean_squared_error,
    r2_score,
    recall_score,
    roc_auc_score,
)

from inferspan_collector.baselines import building, document, file_rows
from inferspan_collector.baselines.document import BadDocument, Baseline

N = 900


def binary_columns(n: int = N, seed: int = 1) -> dict[str, list[Any]]:
    rng = np.random.default_rng(seed)
    scores = rng.beta(0.4, 0.4, n)
    return {
        "score": scores.tolist(),
        "predicted": np.where(scores >= 0.5, "fraud", "legit").tolist(),
        "actual": np.where(rng.random(n) < scores, "fraud", "legit").tolist(),
        "feature.amount": rng.lognormal(size=n).tolist(),
        "feature.country": rng.choice(["DE", "FR", "PL"], n).tolist(),
        "fold": (np.arange(n) % 3).tolist(),
    }


def test_offline_figures_are_those_of_scikit_learn(tmp_path: Path) -> None:
    columns = binary_columns()
    made = baseline_of(tmp_path / "eval.parquet", columns, {}, positive="fraud")
    actual, predicted = np.array(columns["actual"]), np.array(columns["predicted"])
    truth, scores = actual == "fraud", np.array(columns["score"])
    for name, oracle in {
        "accuracy": accuracy_score(actual, predicted),
        "recall": recall_score(actual, predicted, pos_label="fraud"),
        "f1": f1_score(actual, predicted, pos_label="fraud"),
        "roc_auc": roc_auc_score(truth, scores),
        "brier_score": brier_score_loss(truth, scores),
    }.items():
        figure = made.figures[name]
        assert figure.value == pytest.approx(oracle, abs=1e-9)
        assert figure.low is not None
        assert figure.high is not None
        assert figure.low <= oracle <= figure.high
    parts = np.array_split(np.arange(N), 10)
    shares = [accuracy_score(actual[rows], predicted[rows]) for rows in parts]
    assert made.figures["accuracy"].windows == pytest.approx(shares)
    assert sum(n for _, _, n in made.confusion) == N


def test_offline_errors_are_those_of_scikit_learn(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    truth = rng.lognormal(3, 1, N)
    said = truth * rng.lognormal(0, 0.2, N)
    columns = {"y_pred": said.tolist(), "y_true": truth.tolist()}
    made = baseline_of(tmp_path / "eval.csv", columns, {}, tolerance=5.0)
    for name, oracle in {
        "mean_absolute_error": mean_absolute_error(truth, said),
        "mean_squared_error": mean_squared_error(truth, said),
        "r2_score": r2_score(truth, said),
        "accuracy": (np.abs(truth - said) <= 5).mean(),
    }.items():
        assert made.figures[name].value == pytest.approx(oracle, rel=1e-9)
    assert made.estimates.fit is not None
    assert made.estimates.fit.kind == "direct_loss"


def test_cross_validation_is_over_the_folds_of_the_file(tmp_path: Path) -> None:
    columns = binary_columns()
    made = baseline_of(
        tmp_path / "eval.parquet",
        columns,
        {"cross_validation": {"f1": (0.5, 0.7)}},
        positive="fraud",
        fold="fold",
    )
    actual, predicted = np.array(columns["actual"]), np.array(columns["predicted"])
    folds = [accuracy_score(actual[k::3], predicted[k::3]) for k in range(3)]
    found = made.cross_validation["accuracy"]
    assert (found.mean, found.std, found.folds) == (
        pytest.approx(np.mean(folds)), pytest.approx(np.std(folds)), 3,
    )  # fmt: skip
    # What is said wins over what is found.
    assert made.cross_validation["f1"].mean == pytest.approx(0.6)
    assert made.cross_validation["f1"].folds == 2


def test_every_format_gives_the_same(tmp_path: Path) -> None:
    columns = binary_columns(300)
    made = [
        baseline_of(tmp_path / f"eval.{format}", columns, {}, positive="fraud")
        for format in ("parquet", "csv", "arrow")
    ]
    first, *others = [baseline.model_copy(update={"source": "eval"}) for baseline in made]
    assert others == [first, first]


def test_the_probabilities_of_several_classes(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    table = rng.dirichlet([1, 1, 1], N)
    names = np.array(["a", "b", "c"])
    actual = names[[rng.choice(3, p=row) for row in table]]
    columns = {f"y_pred_proba_{name}": table[:, k].tolist() for k, name in enumerate(names)}
    columns |= {"y_pred": names[table.argmax(axis=1)].tolist(), "y_true": actual.tolist()}
    made = baseline_of(tmp_path / "eval.parquet", columns, {})
    assert made.figures["roc_auc"].value == pytest.approx(
        roc_auc_score(actual, table, multi_class="ovr"), abs=1e-9
    )
    assert made.estimates.fit is not None
    assert made.estimates.fit.kind == "multiclass"
    assert made.columns["predicted.score"].edges


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(1, 400),
    labelled=st.floats(0, 1),
    window_rows=st.none() | st.integers(1, 500),
)
def test_a_document_is_read_as_it_was_written(
    seed: int, n: int, labelled: float, window_rows: int | None
) -> None:
    rng = np.random.default_rng(seed)
    n_labels = int(labelled * n)
    columns = binary_columns(n, seed)
    columns["actual"] = [t if i < n_labels else None for i, t in enumerate(columns["actual"])]
    amounts = np.array(columns["feature.amount"])
    amounts[rng.random(n) < 0.2] = np.nan
    columns["feature.amount"] = amounts.tolist()
    named = file_rows.Columns(task="multiclass", features=("fold",))
    found = file_rows.of_table(pyarrow.table(columns), named)
    made = building.built(found, building.Told("eval", SHA, window_rows=window_rows))
    assert document.parsed(document.written(made)) == made


def broken(made: Baseline, path: str, value: object) -> str:
    content = json.loads(document.written(made))
    *parents, last = path.split("/")
    place = content
    for part in parents:
        place = place[int(part)] if isinstance(place, list) else place[part]
    if isinstance(place, list):
        place[int(last)] = value
    else:
        place[last] = value
    return json.dumps(content)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("format", 2),
        ("rows", 1),
        ("predictions", 0),
        ("labeled", -1),
        ("sha256", "none"),
        ("version", ""),
        ("columns/feature.amount/edges", [1.0]),
        ("columns/feature.amount/edges/0", 1e300),
        ("columns/feature.amount/edges", []),
        ("columns/feature.amount/coarse/0", 1),
        ("columns/feature.amount/coarse", [0, 10**6]),
        ("columns/feature.amount/windows", []),
        ("columns/feature.amount/windows/0/inside/0", -1),
        ("columns/feature.amount/windows/0/inside", [1]),
        ("columns/feature.amount/windows/0/below_sum", "NaN"),
        ("columns/feature.country/categories/0", "ZZ"),
        ("columns/feature.country/edges", [0.0, 1.0]),
        ("estimates/fit", None),
        ("estimates/reason", "both"),
        ("estimates/positive", None),
        ("estimates/fit/kind", "other"),
        ("estimates/fit/calibration/probabilities", [0.5]),
        ("cross_validation", {"f1": {"mean": 0.5, "std": -1, "folds": 3}}),
        ("confusion", [["fraud", "legit", -1]]),
    ],
)
def test_no_number_of_a_document_is_taken_on_trust(
    tmp_path: Path, path: str, value: object
) -> None:
    made = baseline_of(tmp_path / "eval.parquet", binary_columns(), {}, positive="fraud")
    with pytest.raises(BadDocument, match="inferspan baseline"):
        document.parsed(broken(made, path, value))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("estimates/fit/losses/mean_absolute_error/trees/0/features/0", 9),
        ("estimates/fit/losses/mean_absolute_error/trees/0/bins/0", 65),
        ("estimates/fit/losses/mean_absolute_error/trees/0/values", [0.0]),
        ("estimates/fit/losses/mean_absolute_error/cuts/0", [2.0, 1.0]),
        ("estimates/fit/losses/mean_absolute_error/cuts", [[1.0], [1.0]]),
        ("estimates/fit/losses/mean_absolute_error/spread", -1.0),
        ("estimates/fit/numbers", ["a", "b"]),
    ],
)
def test_no_tree_of_a_document_is_taken_on_trust(tmp_path: Path, path: str, value: object) -> None:
    rng = np.random.default_rng(4)
    truth = rng.normal(size=300)
    columns = {
        "predicted": (truth + rng.normal(size=300)).tolist(),
        "actual": truth.tolist(),
    }
    made = baseline_of(tmp_path / "eval.parquet", columns, {})
    with pytest.raises(BadDocument):
        document.parsed(broken(made, path, value))


@pytest.mark.parametrize(
    ("name", "columns", "named", "said"),
    [
        ("a.xlsx", None, {}, "does not say its format"),
        ("a.parquet", None, {}, "is not .parquet"),
        ("a.csv", {"predicted": [], "actual": []}, {}, "has 0 rows"),
        ("a.csv", {"x": ["a"], "actual": ["a"]}, {}, "say with --prediction-column"),
        ("a.csv", {"predicted": ["a"], "x": ["a"]}, {}, "say with --actual-column"),
        ("a.csv", {"predicted": ["a"], "actual": ["a"]}, {"score": "s"}, "--score-column s: "),
        ("a.csv", {"predicted": ["a"], "actual": ["a"]}, {"features": ("f",)}, "--feature f: "),
        ("a.csv", {"predicted": ["a"], "actual": ["a"]}, {"time": "t"}, "--time-column t: "),
        ("a.csv", {"predicted": [1, 2], "actual": [1, 2]}, {}, "say --task binary, multiclass"),
        (
            "a.csv",
            {"predicted": ["a", "b"], "actual": ["a", "b"], "score": [0.1, 0.9]},
            {},
            "say with --positive-class",
        ),
        (
            "a.csv",
            {"predicted": ["a", "b"], "actual": ["a", "b"], "score": ["x", "y"]},
            {"positive": "a"},
            "'x' is not a number",
        ),
        (
            "a.csv",
            {"predicted": ["a", "b"], "actual": ["a", "b"], "fold": [1, 1]},
            {"fold": "fold"},
            "--fold-column holds 1 folds",
        ),
    ],
)
def test_a_file_that_is_none_says_what_to_do(
    tmp_path: Path, name: str, columns: dict[str, Any] | None, named: dict[str, Any], said: str
) -> None:
    path = tmp_path / name
    if columns is None:
        path.write_bytes(b"no such thing")
    else:
        written(path, columns)

    def build() -> Baseline:
        found = file_rows.read(path, file_rows.Columns(**named))
        return building.built(found, building.Told(path.name, SHA))

    with pytest.raises(file_rows.FileUnusable, match=said):
        build()

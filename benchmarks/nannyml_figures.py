"""NannyML's own figures of its own data sets, for `beside_nannyml.py`.

    python -m venv nannyml && nannyml/bin/pip install nannyml==0.13.1 statsmodels
    NML_DISABLE_USAGE_LOGGING=1 nannyml/bin/python benchmarks/nannyml_figures.py rows figures.json

Writes the rows of each case as CSV files into the directory `rows`, those of the reference first,
and the figures of the windows that follow. Needs NannyML and nothing of ours: it has an
environment of its own.
"""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path
from typing import Any

import nannyml
import pandas

warnings.simplefilter("ignore")
pandas.set_option("future.infer_string", False)
DATA = Path(nannyml.__file__).parent / "datasets" / "data"
NUMBERS = ["kolmogorov_smirnov", "jensen_shannon", "wasserstein", "hellinger"]
CATEGORIES = ["chi2", "jensen_shannon", "l_infinity", "hellinger"]
CLASSIFIED = ["roc_auc", "f1", "precision", "recall", "specificity", "accuracy"]
ERRORS = ["mae", "mape", "mse", "msle", "rmse", "rmsle"]
WHAT = ("value", "upper_threshold", "lower_threshold", "alert")


def shown(result: Any) -> dict[str, list[Any]]:
    """Column, method and what of it → its windows after the reference."""
    table = result.filter(period="analysis").to_df()
    return {
        "|".join(column): table[column].tolist() for column in table.columns if column[-1] in WHAT
    }


def rows(name: str) -> tuple[pandas.DataFrame, pandas.DataFrame]:
    """The reference, and what came after it with its truths."""
    if name == "census":
        reference, later, truths = (
            pandas.read_parquet(DATA / f"employment_MA_{part}.pq")
            for part in ("reference", "analysis", "analysis_target")
        )
        return reference.drop(columns="year"), later.drop(columns="year").merge(truths, on="id")
    parts = {
        "loans": ("reference", "analysis", "analysis_target"),
        "holes": ("dq_reference", "dq_analysis", None),
        "cards": ("reference", "analysis", "analysis_gt"),
        "cars": ("reference", "analysis", "analysis_targets"),
    }[name]
    prefix = {
        "loans": "synthetic_car_loan",
        "holes": "synthetic_car_loan",
        "cards": "mc",
        "cars": "regression_synthetic",
    }[name]
    reference, later = (pandas.read_csv(DATA / f"{prefix}_{part}.csv") for part in parts[:2])
    if parts[2] is not None:
        truths = pandas.read_csv(DATA / f"{prefix}_{parts[2]}.csv")
        later = later.merge(truths, on="id") if "id" in truths else later.join(truths)
    return reference, later


def drift(
    reference: pandas.DataFrame, later: pandas.DataFrame, texts: list[str], size: int
) -> dict[str, list[Any]]:
    """Every distance of every column but ids, times and truths."""
    known = [name for name in reference if name not in ("id", "timestamp", "repaid", "y_true")]
    known = [name for name in known if name != "employed"]
    before, after = reference.copy(), later.copy()
    for table in (before, after):
        for name in texts:
            table[name] = table[name].map(lambda value: value if value != value else str(value))
    calculator = nannyml.UnivariateDriftCalculator(
        column_names=known,
        treat_as_categorical=texts,
        continuous_methods=NUMBERS,
        categorical_methods=CATEGORIES,
        chunk_size=size,
    )
    return shown(calculator.fit(before).calculate(after))


def classified(
    reference: pandas.DataFrame, later: pandas.DataFrame, truth: str, **columns: Any
) -> dict[str, dict[str, list[Any]]]:
    """Estimated without labels, and true."""
    about = {"y_true": truth, "metrics": CLASSIFIED, **columns}
    estimated = nannyml.CBPE(**about).fit(reference).estimate(later)
    true = nannyml.PerformanceCalculator(**about).fit(reference).calculate(later)
    return {"estimated": shown(estimated), "true": shown(true)}


def main() -> int:
    if len(sys.argv) != 3:
        print(__doc__)
        return 2
    directory, out = Path(sys.argv[1]), Path(sys.argv[2])
    directory.mkdir(exist_ok=True)
    found: dict[str, Any] = {}
    for name in ("loans", "holes", "census", "cards", "cars"):
        reference, later = rows(name)
        pandas.concat([reference, later]).to_csv(directory / f"{name}.csv", index=False)
        found[name] = {"reference": len(reference), "rows": len(reference) + len(later)}

    reference, later = rows("loans")
    texts = ["salary_range", "repaid_loan_on_prev_car", "size_of_downpayment"]
    binary = {"problem_type": "classification_binary", "chunk_size": 5_000}
    said = {"y_pred": "y_pred", "y_pred_proba": "y_pred_proba"}
    found["loans"] |= classified(reference, later, "repaid", **binary, **said)
    found["loans"]["drift"] = drift(reference, later, [*texts, "y_pred"], 5_000)

    reference, later = rows("holes")
    columns = [*texts, "car_value", "debt_to_income_ratio", "loan_length", "driver_tenure"]
    missing = nannyml.MissingValuesCalculator(column_names=columns, chunk_size=5_000)
    unseen = nannyml.UnseenValuesCalculator(column_names=texts[1:], chunk_size=5_000)
    found["holes"]["missing"] = shown(missing.fit(reference).calculate(later))
    found["holes"]["unseen_categories"] = shown(unseen.fit(reference).calculate(later))

    reference, later = rows("census")
    said = {"y_pred": "prediction", "y_pred_proba": "predicted_probability"}
    found["census"] |= classified(reference, later, "employed", **binary, **said)
    numbers = ("id", "AGEP", "predicted_probability", "employed")
    texts = [name for name in reference if name not in numbers]
    found["census"]["drift"] = drift(reference, later, texts, 5_000)

    reference, later = rows("cards")
    names = ("prepaid_card", "highstreet_card", "upmarket_card")
    said = {"y_pred": "y_pred", "y_pred_proba": {name: f"y_pred_proba_{name}" for name in names}}
    several = {"problem_type": "classification_multiclass", "chunk_size": 6_000}
    found["cards"] |= classified(reference, later, "y_true", **several, **said)

    reference, later = rows("cars")
    texts = ["fuel", "transmission"]
    seen = ["car_age", "km_driven", "price_new", "accident_count", "door_count", *texts]
    about = {"y_pred": "y_pred", "y_true": "y_true", "metrics": ERRORS, "chunk_size": 6_000}
    estimator = nannyml.DLE(feature_column_names=seen, **about)
    found["cars"]["estimated"] = shown(estimator.fit(reference).estimate(later))
    calculator = nannyml.PerformanceCalculator(problem_type="regression", **about)
    found["cars"]["true"] = shown(calculator.fit(reference).calculate(later))
    found["cars"]["drift"] = drift(reference, later, texts, 6_000)
    out.write_text(json.dumps(found, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())

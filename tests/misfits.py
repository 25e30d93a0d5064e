"""Answers that do not fit what was declared, and the reason that is given."""

from __future__ import annotations

import math
from enum import Enum

import numpy as np
import pandas as pd
import scipy.sparse
from PIL import Image

from answers import BINARY, MULTI, PROBA, PROBA3, RANKING, REGRESSION, SETS
from inferspan.output_columns import ELEMENTS_MAX, ROWS_MAX, OutputRule
from inferspan.output_probabilities import LISTED_MAX

WIDE = tuple(map(str, range(1000)))


class Number(Enum):
    ONE = 1


def nested(depth: int) -> list[object]:
    """Lists inside each other, deeper than Python can follow."""
    lists: list[object] = []
    for _ in range(depth):
        lists = [lists]
    return lists


MISFITS = [
    (BINARY, None, "NoneType holds no class"),
    (BINARY, {}, "no 'label'"),
    (BINARY, [None, None], "all rows are None"),
    (BINARY, np.array([math.nan] * 2), "NaN and infinities"),
    (MULTI, pd.Series([None, None]), "all rows are missing"),
    (BINARY, pd.DataFrame({"x": [0.5], "y": [0.5]}), "the columns x, y; name them label"),
    (PROBA3, pd.DataFrame([[0.5, 0.5]], columns=["a", "b"]), "the columns a, b; name them"),
    (REGRESSION, pd.DataFrame({"x": [0.5], "y": [0.5]}), "the columns x, y; name them"),
    (BINARY, pd.DataFrame([["a", "b"]], columns=["label", "label"]), "name each column once"),
    (REGRESSION, pd.DataFrame([[1.0, 9.0]], columns=["value"] * 2), "2 columns with 1 names"),
    (PROBA, pd.DataFrame([[0.25, 0.5, 0.25]], columns=["a", "b", "b"]), "name each column once"),
    (SETS, {"a": 0.5, "b": 0.25}, "numbers per class do not say which classes"),
    (SETS, np.array([[1, 2, 0]]), "indicators other than 0 and 1"),
    (SETS, ["a"] * (ROWS_MAX + 1), "call in smaller batches"),
    (SETS, [["a"] * 40_000] * 2, f"more than {ROWS_MAX} classes"),
    (SETS, [["a"], None], "a list is no class"),
    (SETS, {"label": ["a"] * (ROWS_MAX + 1)}, "call in smaller batches"),
    (RANKING, {"a": "high"}, "a str is no number"),
    (PROBA, np.zeros((ROWS_MAX + 1, 2)), f"at most {ROWS_MAX} rows"),
    (
        OutputRule("multiclass_classification", "predict_proba", None, WIDE),
        np.broadcast_to(np.float32(0.001), (ELEMENTS_MAX // 1000 + 1, 1000)),
        "numbers are looked at",
    ),
    (
        PROBA3,
        {"probabilities": [[0.5, 0.25, 0.25]] * (ROWS_MAX + 1)},
        f"at most {ROWS_MAX} rows",
    ),
    (PROBA3, {"probabilities": [[0.5] * ELEMENTS_MAX] * 2}, "call in smaller batches"),
    (REGRESSION, [1.0, 10**400], "beyond float64"),
    (REGRESSION, scipy.sparse.csr_matrix((2, 1)), "csr_matrix holds no class"),
    (BINARY, Image.new("L", (1, 1)), "Image holds no class"),
    (BINARY, {"value": 1}, "no 'label'"),
    (BINARY, {"prediction": "a"}, "no 'label'"),
    (BINARY, {"label": object()}, "a object is no class"),
    (MULTI, 2**3_000, "an integer of 3,001 bits is no class"),
    (MULTI, {"label": 2**3_000, "score": 0.5}, "an integer of 3,001 bits is no class"),
    (BINARY, {"label": None, "score": float("nan")}, "NaN"),
    (BINARY, 1.5, "outside [0, 1]"),
    (BINARY, -0.1, "outside [0, 1]"),
    (BINARY, float("nan"), "outside [0, 1]"),
    (BINARY, b"fraud", "bytes holds no class"),
    (BINARY, ("fraud", 1), "a tuple of 2"),
    (BINARY, ("fraud", "legit"), "a tuple of 2"),
    (BINARY, (0.5, 0.5), "a tuple of 2"),
    (BINARY, ("a", 0.5, 1), "a tuple of 3"),
    (BINARY, {"a", "b"}, "a set of 2"),
    (BINARY, Number.ONE, "no 'label'"),
    (BINARY, np.datetime64("2026-01-01"), "no class or number"),
    (BINARY, np.array(["2026-01-01"], "M8[D]"), "an array of type 'M'"),
    (BINARY, np.array([[0.5, 0.5]]), "no class is known"),
    (BINARY, [["a"], ["b"]], "a list of lists"),
    (REGRESSION, [[1.0, 2.0]], "a list of lists"),
    (PROBA, [["a", "b"]], "not 2 floats each"),
    (PROBA, [[0, 1]], "not 2 floats each"),
    (PROBA, [[0.25, 0.25, 0.5]], "not 2 floats each"),
    (PROBA, [[0.25, 0.75], (0.25, 0.75)], "not 2 floats each"),
    (PROBA, [[2.0, 0.5]], "outside [0, 1]"),
    (PROBA3, [[0.25, 0.5, 0.25]] * (LISTED_MAX // 3 + 1), "at most 65536 are recorded"),
    (
        OutputRule("multiclass_classification", "predict_proba", None, WIDE),
        [[0.001] * 1000] * (LISTED_MAX // 1000 + 1),
        "return an array",
    ),
    (BINARY, nested(100_000), "a list of lists"),
    (BINARY, [{"label": "a", "score": 0.5}, {"label": "b"}], "only some rows have scores"),
    (BINARY, {"label": ["a", "b"], "score": [0.5]}, "1 and 2 labels and scores"),
    (BINARY, object(), "object holds no class"),
    (PROBA3, {"probabilities": "x"}, "'probabilities' are no numbers"),
    (PROBA3, {"probabilities": 0.5}, "need one number per class"),
    (PROBA3, {"label": ["a", "b"], "probabilities": [1.0, 0.0, 0.0]}, "1 rows of probabilities"),
    (MULTI, 0.5, "a float with a fraction is no class"),
    (MULTI, np.array([0.5, 1.0]), "floats are no classes"),
    (PROBA3, np.array([[0.5, 0.5]]), "2 columns of probabilities, but 3 classes are known"),
    (PROBA3, np.array([[2.0, -1.0, 0.0]]), "outside [0, 1] are no probabilities"),
    (PROBA3, np.array([[math.nan, 0.5, 0.5]]), "no row is without"),
    (REGRESSION, "3", "a str is no number"),
    (REGRESSION, True, "a bool is no number"),
    (REGRESSION, math.inf, "NaN and infinities"),
    (REGRESSION, np.array([math.inf]), "NaN and infinities"),
    (REGRESSION, [None], "all rows are None"),
    (REGRESSION, 10**400, "beyond float64"),
    (REGRESSION, {"label": 3}, "no 'value'"),
    (REGRESSION, (3.0, 0.5), "a tuple of 2"),
    (REGRESSION, np.ones((2, 3)), "3 numbers per row, and a prediction has one"),
    (MULTI, np.ones((2, 3), int), "an array of shape 2x3"),
    (SETS, "a", "return a list of classes"),
    (SETS, np.array([[1, 0]]), "2 indicator columns for 3 known classes"),
    (RANKING, {"label": ["a"], "score": [1.0, 2.0]}, "1 classes with 2 scores"),
    (BINARY, np.zeros(ROWS_MAX + 1, int), "call in smaller batches"),
    (BINARY, ["a"] * (ROWS_MAX + 1), "call in smaller batches"),
]

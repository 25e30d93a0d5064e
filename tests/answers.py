"""Answers of functions, the declared rules, and what is recognised of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pydantic
import pytest

from inferspan import semconv
from inferspan.output_columns import OutputRule

CLASS, SCORE, VALUE = semconv.OUTPUT_CLASS, semconv.OUTPUT_SCORE, semconv.OUTPUT_VALUE
CLASSES, SCORES, VALUES = (
    semconv.OUTPUT_CLASSES_PREDICTED,
    semconv.OUTPUT_SCORES,
    semconv.OUTPUT_VALUES,
)
OFFSETS, NAMES, MATRIX = (
    semconv.OUTPUT_OFFSETS,
    semconv.OUTPUT_CLASSES,
    semconv.OUTPUT_PROBABILITIES,
)

UNDECLARED = OutputRule()
NAN = pytest.approx(math.nan, nan_ok=True)
BINARY = OutputRule("binary_classification", positive="1")
MULTI = OutputRule("multiclass_classification")
REGRESSION = OutputRule("regression")
SETS = OutputRule("multilabel_classification", classes=("a", "b", "c"))
RANKING = OutputRule("ranking", operation="rank")
PROBA = OutputRule(
    "binary_classification", operation="predict_proba", positive="1", classes=("0", "1")
)
PROBA_THRESHOLD = OutputRule(
    "binary_classification", "predict_proba", "1", ("0", "1"), threshold=0.25
)
PROBA_PLAIN = OutputRule("multiclass_classification", "predict_proba", None, ("0", "1"))
PROBA3 = OutputRule("multiclass_classification", operation="predict_proba", classes=("a", "b", "c"))
THRESHOLD = OutputRule("binary_classification", positive="1", classes=("0", "1"), threshold=0.3)
FLOAT_CLASSES = OutputRule(
    "multiclass_classification", classes=("0", "1.5"), floats_are_classes=True
)


class Kind(StrEnum):
    FRAUD = "fraud"


class Pair(NamedTuple):
    label: str
    score: float


@dataclass
class Answer:
    label: object = None
    score: float | None = None
    value: float | None = None


class Typed(pydantic.BaseModel):
    label: str
    score: float


SINGLE = [
    (UNDECLARED, "fraud", {CLASS: "fraud"}),
    (UNDECLARED, True, {CLASS: "true"}),
    (UNDECLARED, 3, {VALUE: 3.0}),
    (UNDECLARED, 2.5, {VALUE: 2.5}),
    (UNDECLARED, np.int64(3), {VALUE: 3.0}),
    (UNDECLARED, np.str_("fraud"), {CLASS: "fraud"}),
    (UNDECLARED, {"label": 3}, {CLASS: "3"}),
    (UNDECLARED, {"value": 3}, {VALUE: 3.0}),
    (UNDECLARED, Kind.FRAUD, {CLASS: "fraud"}),
    (BINARY, 1, {CLASS: "1"}),
    (BINARY, np.int64(1), {CLASS: "1"}),
    (BINARY, np.bool_(True), {CLASS: "true"}),
    (BINARY, 0.93, {SCORE: 0.93}),
    (BINARY, 1.0, {SCORE: 1.0}),
    (BINARY, np.float32(0.5), {SCORE: 0.5}),
    (BINARY, np.array(0.5), {SCORE: 0.5}),
    (BINARY, {"label": "1", "score": 0.93}, {CLASS: "1", SCORE: 0.93}),
    (BINARY, {"label": "1", "score": np.float32(0.5), "extra": object()}, {CLASS: "1", SCORE: 0.5}),
    (BINARY, {"score": 0.93}, {SCORE: 0.93}),
    (BINARY, ("1", 0.93), {CLASS: "1", SCORE: 0.93}),
    (BINARY, (np.int64(1), np.float32(0.5)), {CLASS: "1", SCORE: 0.5}),
    (BINARY, Pair("1", 0.93), {CLASS: "1", SCORE: 0.93}),
    (BINARY, Answer("1", 0.93), {CLASS: "1", SCORE: 0.93}),
    (BINARY, np.array([1]), {CLASS: "1"}),
    (BINARY, [1], {CLASS: "1"}),
    (BINARY, 1.0 + 1e-9, {SCORE: 1.0}),
    (THRESHOLD, 0.3, {CLASS: "1", SCORE: 0.3}),
    (THRESHOLD, 0.29, {CLASS: "0", SCORE: 0.29}),
    (MULTI, "a", {CLASS: "a"}),
    (MULTI, 2.0, {CLASS: "2"}),
    (MULTI, {"label": "a", "score": 7.0}, {CLASS: "a", SCORE: 7.0}),
    (FLOAT_CLASSES, 1.5, {CLASS: "1.5"}),
    (REGRESSION, 3, {VALUE: 3.0}),
    (REGRESSION, np.float32(0.5), {VALUE: 0.5}),
    (REGRESSION, Answer(value=2.5), {VALUE: 2.5}),
    (REGRESSION, np.array([[2.5]]), {VALUE: 2.5}),
    (SETS, {"b", "a"}, {CLASSES: ["a", "b"], OFFSETS: [0, 2]}),
    (SETS, ["b", "a"], {CLASSES: ["b", "a"], OFFSETS: [0, 2]}),
    (SETS, [], {CLASSES: [], OFFSETS: [0, 0]}),
    (
        SETS,
        {"label": ["a"], "score": [0.5]},
        {CLASSES: ["a"], SCORES: [0.5], OFFSETS: [0, 1]},
    ),
    (SETS, {"a": True, "b": False, "c": np.True_}, {CLASSES: ["a", "c"], OFFSETS: [0, 2]}),
    (RANKING, ["i9", "i2"], {CLASSES: ["i9", "i2"], OFFSETS: [0, 2]}),
    (
        RANKING,
        {"i2": 0.25, "i9": 0.5, "i3": 0.25},
        {CLASSES: ["i9", "i2", "i3"], SCORES: [0.5, 0.25, 0.25], OFFSETS: [0, 3]},
    ),
    (BINARY, Typed(label="1", score=0.5), {CLASS: "1", SCORE: 0.5}),
    (BINARY, [{"label": "1", "score": 0.5}], {CLASS: "1", SCORE: 0.5}),
    (BINARY, jnp.array(0.5), {SCORE: 0.5}),
    (BINARY, {"label": jnp.array(1), "score": jnp.array(0.5)}, {CLASS: "1", SCORE: 0.5}),
    (BINARY, {"label": np.array(1), "score": np.array(0.5)}, {CLASS: "1", SCORE: 0.5}),
    (BINARY, pd.DataFrame({"label": ["1"], "score": [0.5]}), {CLASS: "1", SCORE: 0.5}),
    (BINARY, {"probabilities": {"1": 0.75}}, {SCORE: 0.75, NAMES: '["1"]', MATRIX: [0.75]}),
    (REGRESSION, Decimal("2.5"), {VALUE: 2.5}),
    (REGRESSION, jnp.array([2.5]), {VALUE: 2.5}),
    (REGRESSION, pl.Series([2.5]), {VALUE: 2.5}),
    (
        RANKING,
        [("i9", 0.5), ("i2", 0.25)],
        {CLASSES: ["i9", "i2"], SCORES: [0.5, 0.25], OFFSETS: [0, 2]},
    ),
    (
        BINARY,
        {"probabilities": {"0": 0.25, "1": 0.75}},
        {CLASS: "1", SCORE: 0.75, NAMES: '["0","1"]', MATRIX: [0.25, 0.75]},
    ),
    (
        BINARY,
        {"label": 0, "probabilities": {0: 0.25, 1: 0.75}},
        {CLASS: "0", SCORE: 0.75, NAMES: '["0","1"]', MATRIX: [0.25, 0.75]},
    ),
    (
        PROBA3,
        {"label": "a", "probabilities": [0.25, 0.5, 0.25]},
        {CLASS: "a", SCORE: 0.25, NAMES: '["a","b","c"]', MATRIX: [0.25, 0.5, 0.25]},
    ),
    (
        PROBA3,
        [0.25, 0.5, 0.25],
        {CLASS: "b", SCORE: 0.5, NAMES: '["a","b","c"]', MATRIX: [0.25, 0.5, 0.25]},
    ),
    (
        PROBA,
        list(np.array([0.25, 0.75])),
        {CLASS: "1", SCORE: 0.75, NAMES: '["0","1"]', MATRIX: [0.25, 0.75]},
    ),
    (PROBA, [[0.25, 0.75]], {CLASS: "1", SCORE: 0.75, NAMES: '["0","1"]', MATRIX: [0.25, 0.75]}),
    (
        PROBA3,
        np.array([0.25, 0.5, 0.25]),
        {CLASS: "b", SCORE: 0.5, NAMES: '["a","b","c"]', MATRIX: [0.25, 0.5, 0.25]},
    ),
]

BATCHES = [
    (BINARY, np.array([1, 0]), {CLASSES: ["1", "0"]}),
    (BINARY, np.array([0.5, 0.25]), {SCORES: [0.5, 0.25]}),
    (BINARY, pd.Series([1, 0]), {CLASSES: ["1", "0"]}),
    (BINARY, [True, False], {CLASSES: ["true", "false"]}),
    (BINARY, ["a", "b"], {CLASSES: ["a", "b"]}),
    (BINARY, [0.5, 0.25], {SCORES: [0.5, 0.25]}),
    (
        BINARY,
        [{"label": "a", "score": 0.5}, ("b", 0.25)],
        {CLASSES: ["a", "b"], SCORES: [0.5, 0.25]},
    ),
    (BINARY, (np.array([1, 0]), np.array([0.5, 0.25])), {CLASSES: ["1", "0"], SCORES: [0.5, 0.25]}),
    (
        BINARY,
        {"label": ["a", "b"], "score": np.array([0.5, 0.25])},
        {CLASSES: ["a", "b"], SCORES: [0.5, 0.25]},
    ),
    (MULTI, np.array(["a", "b"]), {CLASSES: ["a", "b"]}),
    (MULTI, np.array(["a", "b"], dtype=object), {CLASSES: ["a", "b"]}),
    (MULTI, np.array([1.0, 2.0]), {CLASSES: ["1", "2"]}),
    (MULTI, np.array([[1], [2]]), {CLASSES: ["1", "2"]}),
    (FLOAT_CLASSES, np.array([0.0, 1.5]), {CLASSES: ["0", "1.5"]}),
    (BINARY, np.array([0.5, math.nan]), {SCORES: [0.5, NAN]}),
    (BINARY, [0.5, None], {SCORES: [0.5, NAN]}),
    (THRESHOLD, np.array([math.nan, 0.5]), {CLASSES: [None, "1"], SCORES: [NAN, 0.5]}),
    (MULTI, ["a", None], {CLASSES: ["a", None]}),
    (MULTI, np.array(["a", None], dtype=object), {CLASSES: ["a", None]}),
    (MULTI, pd.Series(["a", None]), {CLASSES: ["a", None]}),
    (MULTI, pd.Series([1, pd.NA], dtype="Int64"), {CLASSES: ["1", None]}),
    (
        MULTI,
        [("a", 0.5), None],
        {CLASSES: ["a", None], SCORES: [0.5, NAN]},
    ),
    (MULTI, np.array([1, True], dtype=object), {CLASSES: ["1", "true"]}),
    (MULTI, [1, True], {CLASSES: ["1", "true"]}),
    (MULTI, jnp.array([1, 2]), {CLASSES: ["1", "2"]}),
    (MULTI, pl.Series(["a", "b"]), {CLASSES: ["a", "b"]}),
    (MULTI, pa.array(["a", None]), {CLASSES: ["a", None]}),
    (MULTI, pa.chunked_array([["a"], ["b"]]), {CLASSES: ["a", "b"]}),
    (MULTI, pd.DataFrame({"y": ["a", "b"]}), {CLASSES: ["a", "b"]}),
    (
        MULTI,
        pd.DataFrame({"label": ["a", None], "score": [0.5, 0.25], "x": [1, 2]}),
        {CLASSES: ["a", None], SCORES: [0.5, 0.25]},
    ),
    (
        MULTI,
        pa.table({"label": ["a", "b"], "score": [0.5, 0.25]}),
        {CLASSES: ["a", "b"], SCORES: [0.5, 0.25]},
    ),
    (REGRESSION, pl.DataFrame({"value": [1.5, None]}), {VALUES: [1.5, NAN]}),
    (
        MULTI,
        (jnp.array([1, 2]), jnp.array([0.5, 0.25])),
        {CLASSES: ["1", "2"], SCORES: [0.5, 0.25]},
    ),
    (
        MULTI,
        [Answer("a", 0.5), Typed(label="b", score=0.25)],
        {CLASSES: ["a", "b"], SCORES: [0.5, 0.25]},
    ),
    (
        PROBA3,
        pd.DataFrame({"c": [0.0, 1.0], "a": [0.75, 0.0], "b": [0.25, 0.0]}),
        {
            CLASSES: ["a", "c"],
            SCORES: [0.75, 1.0],
            NAMES: '["a","b","c"]',
            MATRIX: [0.75, 0.25, 0.0, 0.0, 0.0, 1.0],
        },
    ),
    (
        OutputRule("multiclass_classification", "predict_proba"),
        pl.DataFrame({"x": [0.75, 0.25], "y": [0.25, 0.75]}),
        {
            CLASSES: ["x", "y"],
            SCORES: [0.75, 0.75],
            NAMES: '["x","y"]',
            MATRIX: [0.75, 0.25, 0.25, 0.75],
        },
    ),
    (
        PROBA,
        pd.DataFrame([[0.75, 0.25], [math.nan, 0.75]]),
        {
            CLASSES: ["0", None],
            SCORES: [0.25, NAN],
            NAMES: '["0","1"]',
            MATRIX: [0.75, 0.25, NAN, NAN],
        },
    ),
    (
        PROBA3,
        {"label": ["a", "z"], "probabilities": [[0.25, 0.5, 0.25], [1.0, 0.0, 0.0]]},
        {
            CLASSES: ["a", "z"],
            SCORES: [0.25, NAN],
            NAMES: '["a","b","c"]',
            MATRIX: [0.25, 0.5, 0.25, 1.0, 0.0, 0.0],
        },
    ),
    (
        SETS,
        pd.DataFrame({"b": [True, False], "a": [False, False], "c": [True, False]}),
        {CLASSES: ["b", "c"], OFFSETS: [0, 2, 2]},
    ),
    (
        SETS,
        pd.DataFrame({"label": [["a"], ["b", "c"]]}),
        {CLASSES: ["a", "b", "c"], OFFSETS: [0, 1, 3]},
    ),
    (
        RANKING,
        [{"x": 0.5, "y": 0.75}, {"z": 0.5}],
        {CLASSES: ["y", "x", "z"], SCORES: [0.75, 0.5, 0.5], OFFSETS: [0, 2, 3]},
    ),
    (UNDECLARED, np.array([1, 2]), {VALUES: [1.0, 2.0]}),
    (UNDECLARED, np.array(["a", "b"]), {CLASSES: ["a", "b"]}),
    (OutputRule(classes=("1", "2")), np.array([1, 2]), {CLASSES: ["1", "2"]}),
    (REGRESSION, np.array([1, 2], np.float32), {VALUES: [1.0, 2.0]}),
    (REGRESSION, [1, 2.5], {VALUES: [1.0, 2.5]}),
    (REGRESSION, {"value": [1, 2.5]}, {VALUES: [1.0, 2.5]}),
    (SETS, np.array([[1, 0, 1], [0, 0, 0]]), {CLASSES: ["a", "c"], OFFSETS: [0, 2, 2]}),
    (SETS, [["a"], ["b", "c"]], {CLASSES: ["a", "b", "c"], OFFSETS: [0, 1, 3]}),
    (RANKING, [["x", "y"], ["z", "w"]], {CLASSES: ["x", "y", "z", "w"], OFFSETS: [0, 2, 4]}),
    (
        PROBA,
        np.array([[0.75, 0.25], [0.25, 0.75]]),
        {
            CLASSES: ["0", "1"],
            SCORES: [0.25, 0.75],
            NAMES: '["0","1"]',
            MATRIX: [0.75, 0.25, 0.25, 0.75],
        },
    ),
    (
        PROBA,
        [[0.75, 0.25], [1, 0]],
        {
            CLASSES: ["0", "0"],
            SCORES: [0.25, 0.0],
            NAMES: '["0","1"]',
            MATRIX: [0.75, 0.25, 1.0, 0.0],
        },
    ),
    (
        PROBA3,
        [None, list(np.array([0.25, 0.5, 0.25], np.float32))],
        {
            CLASSES: [None, "b"],
            SCORES: [NAN, 0.5],
            NAMES: '["a","b","c"]',
            MATRIX: [NAN, NAN, NAN, 0.25, 0.5, 0.25],
        },
    ),
    (
        OutputRule("binary_classification", "predict_proba", "1", ("0", "1"), 0.25),
        np.array([[0.75, 0.25], [1.0, 0.0]]),
        {
            CLASSES: ["1", "0"],
            SCORES: [0.25, 0.0],
            NAMES: '["0","1"]',
            MATRIX: [0.75, 0.25, 1.0, 0.0],
        },
    ),
    (
        OutputRule("binary_classification", "predict_proba", None, ("0", "1")),
        np.array([[0.75, 0.25], [0.25, 0.75]]),
        {CLASSES: ["0", "1"], NAMES: '["0","1"]', MATRIX: [0.75, 0.25, 0.25, 0.75]},
    ),
]

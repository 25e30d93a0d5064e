"""A baseline as it is sent, stored and shown: JSON of one version, checked to the last number.

Everything in it merges or is frozen: counts in bins, calibrations, trees of few levels, figures.
A document is taken from whoever may send one, so every number is checked against what reads it.
"""

from __future__ import annotations

import json
import math
from itertools import pairwise
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from inferspan_collector.estimates.boosted_trees import BINS, DEPTH

FORMAT: Final = 1
DOCUMENT_BYTES_MAX: Final = 16 * 2**20
"""A baseline of 50 numbers takes some 2 MB."""
COLUMNS_MAX: Final = 1_000
FIGURES_MAX: Final = 1_000
_INNER, _LEAVES = 2**DEPTH - 1, 2**DEPTH

Name = Annotated[str, Field(min_length=1, max_length=256)]
Text = Annotated[str, Field(max_length=4_096)]
Count = Annotated[int, Field(ge=0, le=2**53)]
Number = Annotated[float, Field(allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]


class BadDocument(ValueError):
    """It is no baseline; the message says where it breaks which rule, and the remedy."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Tally(_Part):
    """Counts of one window in the bins of its column: `drift.counts.Counts`, one window."""

    inside: tuple[Count, ...]
    below: Count
    above: Count
    below_sum: Number
    above_sum: Number
    missing: Count
    mistyped: Count
    low: Number | None
    """None where the window holds no number."""
    high: Number | None


class Column(_Part):
    """Frozen bins of a column, and its windows counted in them."""

    edges: tuple[Number, ...] = ()
    """Of a number."""
    coarse: tuple[Count, ...] = ()
    at_edges: bool = False
    categories: tuple[Text, ...] = ()
    """Of a category."""
    windows: tuple[Tally, ...] = Field(min_length=1, max_length=1_000)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if bool(self.edges) == bool(self.categories):
            raise ValueError("a column has either `edges` or `categories`")
        bins = len(self.edges) - 1 if self.edges else len(self.categories)
        if self.edges:
            _rising("edges", self.edges)
            _rising("coarse", self.coarse)
            if bins < 1 or not self.coarse or self.coarse[0] != 0 or self.coarse[-1] >= bins:
                raise ValueError("`coarse` names bins, the first one first")
        elif list(self.categories) != sorted(set(self.categories)):
            raise ValueError("`categories` are sorted, each once")
        if any(len(window.inside) != bins for window in self.windows):
            raise ValueError(f"each window counts {bins} bins")
        return self


class Line(_Part):
    """`estimates.calibration.Calibration`: no points = scores are taken as they are."""

    scores: tuple[Number, ...]
    probabilities: tuple[Share, ...]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if len(self.scores) != len(self.probabilities):
            raise ValueError("each score has one probability")
        _rising("scores", self.scores)
        if any(b < a for a, b in pairwise(self.probabilities)):
            raise ValueError("`probabilities` never fall")
        return self


class BinaryFit(_Part):
    """CBPE of two classes."""

    kind: Literal["binary"]
    calibration: Line


class MulticlassFit(_Part):
    """CBPE of the probabilities of several classes."""

    kind: Literal["multiclass"]
    classes: tuple[Text, ...] = Field(min_length=1)
    calibrations: tuple[Line, ...]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if len(self.classes) != len(self.calibrations) or len(set(self.classes)) < len(
            self.classes
        ):
            raise ValueError("each class stands once and has one calibration")
        return self


class TopScoreFit(_Part):
    """CBPE of the score of the predicted class."""

    kind: Literal["top_score"]
    calibrations: dict[Text, Line]
    other: Line


class Tree(_Part):
    """`estimates.boosted_trees.Tree`."""

    features: tuple[Count, ...] = Field(min_length=_INNER, max_length=_INNER)
    bins: tuple[Annotated[int, Field(ge=0, le=BINS)], ...] = Field(
        min_length=_INNER, max_length=_INNER
    )
    values: tuple[Number, ...] = Field(min_length=_LEAVES, max_length=_LEAVES)


class Trees(_Part):
    """`estimates.boosted_trees.BoostedTrees`, and the spread of errors around them."""

    cuts: tuple[tuple[Number, ...], ...]
    mean: Number
    spread: Annotated[float, Field(ge=0.0, allow_inf_nan=False)]
    trees: tuple[Tree, ...] = Field(max_length=1_000)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for cuts in self.cuts:
            _rising("cuts", cuts)
            if len(cuts) > BINS - 2:
                raise ValueError(f"at most {BINS - 2} cuts")
        if any(feature >= len(self.cuts) for tree in self.trees for feature in tree.features):
            raise ValueError("a tree looks at a feature that has no cuts")
        return self


class DirectLossFit(_Part):
    """DLE: features in the order that trees see them, the prediction last."""

    kind: Literal["direct_loss"]
    numbers: tuple[Name, ...]
    texts: tuple[tuple[Name, tuple[Text, ...]], ...]
    losses: dict[Name, Trees]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        width = len(self.numbers) + len(self.texts) + 1
        if any(len(trees.cuts) != width for trees in self.losses.values()):
            raise ValueError(f"trees have cuts of {width} columns")
        return self


Fit = Annotated[
    BinaryFit | MulticlassFit | TopScoreFit | DirectLossFit, Field(discriminator="kind")
]


class Estimates(_Part):
    """What estimates are made with, or why there are none."""

    reason: Text | None = None
    fit: Fit | None = None
    positive: Text | None = None
    labelled: Count = 0
    windows: dict[Name, tuple[Number | None, ...]] = Field(default_factory=dict)
    """Figure → what was true of each window: thresholds of estimates are learnt from these."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.fit is None) == (self.reason is None):
            raise ValueError("either `fit` or the `reason` why there is none")
        if isinstance(self.fit, BinaryFit) and self.positive is None:
            raise ValueError("a binary fit needs `positive`")
        return self


class OfflineFigure(_Part):
    """A figure of all rows with its interval, and its value in each window of the file."""

    value: Number | None
    low: Number | None = None
    high: Number | None = None
    n: Count = 0
    reason: Text | None = None
    windows: tuple[Number | None, ...] = Field(default=(), max_length=1_000)


class Folds(_Part):
    """Cross-validation of one figure: mean and standard deviation (ddof 0) over the folds."""

    mean: Number
    std: Annotated[float, Field(ge=0.0, allow_inf_nan=False)]
    folds: Annotated[int, Field(ge=2, le=10_000)]


class Baseline(_Part):
    """A whole baseline."""

    format: Literal[1] = FORMAT
    version: Name | None = None
    """Of the model; None = of any."""
    target: Name = "default"
    task: Name | None = None
    positive_class: Text | None = None
    predictions: Annotated[int, Field(ge=1, le=2**53)]
    labeled: Count
    source: Text
    """The name of the file, without its directory."""
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    data_version: Text | None = None
    code_version: Text | None = None
    parameters: dict[Name, Text] = Field(default_factory=dict, max_length=200)
    columns: dict[Name, Column] = Field(max_length=COLUMNS_MAX)
    estimates: Estimates
    figures: dict[Name, OfflineFigure] = Field(max_length=FIGURES_MAX)
    cross_validation: dict[Name, Folds] = Field(default_factory=dict, max_length=FIGURES_MAX)
    confusion: tuple[tuple[Text, Text, Count], ...] = Field(default=(), max_length=1_000_000)
    """(predicted, actual, n)."""


def parsed(text: str | bytes) -> Baseline:
    """Read a document.

    Raises:
        BadDocument: it is none.
    """
    try:
        return Baseline.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the document"
        raise BadDocument(
            f"{where:.200}: {first['msg']:.300}; `inferspan baseline` of this collector's version "
            "makes such documents"
        ) from None


def plain(baseline: Baseline) -> dict[str, Any]:
    """The document as what JSON knows."""
    return baseline.model_dump(mode="json")


def written(baseline: Baseline) -> str:
    """The document as JSON; `parsed` gives the same again, to the last bit."""
    return json.dumps(plain(baseline), allow_nan=False, separators=(",", ":"))


def shown(baseline: Baseline) -> dict[str, Any]:
    """What answers say of it: all but bins, fits and windows."""
    found = baseline.model_dump(
        mode="json",
        include={
            "version", "target", "task", "positive_class", "predictions", "labeled", "source",
            "sha256", "data_version", "code_version", "parameters", "cross_validation",
        },
    )  # fmt: skip
    found["figures"] = {
        name: figure.model_dump(mode="json", exclude={"windows"})
        for name, figure in baseline.figures.items()
    }
    found["columns"] = {
        name: "number" if column.edges else "category" for name, column in baseline.columns.items()
    }
    return found


def finite(number: float | None) -> float | None:
    """JSON knows neither NaN nor infinities."""
    return float(number) if number is not None and math.isfinite(number) else None


def _rising(name: str, numbers: tuple[float, ...]) -> None:
    if any(b <= a for a, b in pairwise(numbers)):
        raise ValueError(f"`{name}` rise strictly")

"""The demo's little world: three hospitals, a real model, and one scanner that renames its columns.

Everything here is a function of (seconds, seed): the same demo gives the same figures.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from inferspan_collector.cli.demo.names import CHANGED, CLASSES, HOSPITALS, POSITIVE

MALIGNANT_SHARE: Final = (0.35, 0.42, 0.38)
"""Case mix per hospital."""
VISITS_PER_SECOND: Final = 60
SECONDS_PER_MINUTE: Final = 1
"""The replay shows one minute of clinic per second."""
MEASUREMENTS: Final = 10
"""Of the thirty numbers of a row, the model reads the ten means."""
KEPT: Final = (8, 9)
"""Columns that the scanner's new software calls as the old one did: symmetry, fractal dimension."""

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class LabelEvent:
    """One label to be sent `delay` seconds after its prediction."""

    visit: int
    delay: float
    actual: str
    revision: int


@dataclass(frozen=True)
class Plan:
    """Who comes when, what is really true, and when which thing happens.

    Visits are numbered 0…`visits`-1; `minutes` of clinic time are spread evenly over them.
    """

    seconds: int
    seed: int

    @property
    def minutes(self) -> int:
        """Clinic time that is replayed."""
        return self.seconds * SECONDS_PER_MINUTE

    @property
    def visits(self) -> int:
        """How many predictions are made."""
        return self.seconds * VISITS_PER_SECOND

    @property
    def change_minute(self) -> int:
        """The minute from which the scanner's columns have other names: after a third."""
        return round(self.minutes / 3)

    @property
    def fix_minute(self) -> int:
        """The minute from which version 2, which knows both names, is served."""
        return round(self.minutes * 0.75)

    def minute(self, visit: int) -> int:
        """The clinic's minute, from 0, in which a visit falls."""
        return visit * self.minutes // self.visits

    def names(self, visit: int) -> str:
        """By which names the visit's scanner calls its columns: `old` or `new`."""
        changed = self.minute(visit) >= self.change_minute
        return "new" if changed and self.hospital(visit) == CHANGED else "old"

    def version(self, visit: int) -> str:
        """The model's version that serves the visit."""
        return "2" if self.minute(visit) >= self.fix_minute else "1"

    def hospital(self, visit: int) -> str:
        """Where the visit takes place."""
        return HOSPITALS[int(self._draw[0][visit])]

    def measurements(self, visit: int) -> Floats:
        """The thirty numbers of the visit."""
        row: Floats = self._patients.held_out[int(self._draw[1][visit])]
        return row

    def actual(self, visit: int) -> str:
        """What is really true, and known only later."""
        return CLASSES[int(self._patients.malignant[int(self._draw[1][visit])])]

    def labels(self, visit: int) -> list[LabelEvent]:
        """What the pathology reports: late, some never, some twice, some wrong at first."""
        draw = np.random.default_rng((self.seed, visit))
        if draw.random() < 0.04:
            return []
        first = 0.12 * self.seconds
        delay = first + min(draw.exponential(0.06 * self.seconds), 0.25 * self.seconds)
        actual = self.actual(visit)
        fate = draw.random()
        if fate < 0.05:
            wrong = CLASSES[1 - CLASSES.index(actual)]
            correction = LabelEvent(visit, delay + 0.05 * self.seconds, actual, revision=1)
            return [LabelEvent(visit, delay, wrong, revision=0), correction]
        copies = 2 if fate < 0.08 else 1
        return [LabelEvent(visit, delay * (1 + copy), actual, 0) for copy in range(copies)]

    @cached_property
    def _patients(self) -> Patients:
        return load_patients()

    @cached_property
    def _draw(self) -> tuple[Ints, Ints]:
        """Per visit: the hospital, and the patient, drawn with replacement by its case mix."""
        draw = np.random.default_rng(self.seed)
        hospital = draw.integers(len(HOSPITALS), size=self.visits)
        sick = draw.random(self.visits) < np.array(MALIGNANT_SHARE)[hospital]
        malignant = np.flatnonzero(self._patients.malignant)
        benign = np.flatnonzero(~self._patients.malignant)
        patient = np.where(
            sick,
            draw.choice(malignant, self.visits),
            draw.choice(benign, self.visits),
        )
        return hospital, patient


@dataclass(frozen=True, slots=True)
class Patients:
    """scikit-learn's breast-cancer measurements: one half trains, the other comes to be seen."""

    training: Floats
    training_classes: NDArray[np.str_]
    held_out: Floats
    malignant: NDArray[np.bool_]
    """Of the held-out rows."""


def load_patients() -> Patients:
    """Read and halve the data set that ships with scikit-learn."""
    data = load_breast_cancer()
    names = np.array(CLASSES)[np.where(data.target == 0, 1, 0)]
    training, held_out, training_classes, classes = train_test_split(
        data.data, names, test_size=0.5, random_state=0, stratify=names
    )
    return Patients(training, training_classes, held_out, classes == POSITIVE)


def train(patients: Patients) -> Pipeline:
    """Fit the model: scale the ten means, then a logistic regression."""
    model = make_pipeline(StandardScaler(), LogisticRegression())
    model.fit(patients.training[:, :MEASUREMENTS], patients.training_classes)
    return model


def filled_in(measurements: Floats, means: Floats) -> Floats:
    """What is left of a row whose columns have new names: the mean, where none has the old one.

    Args:
        measurements: float64[`MEASUREMENTS`].
        means: the same columns' means, of the training rows.
    """
    filled = means.copy()
    filled[list(KEPT)] = measurements[list(KEPT)]
    return filled

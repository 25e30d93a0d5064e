"""What the conformance suite is held against: fitted models of each library, by its name.

A library's file is `{library}_subjects.py` here, with a list `SUBJECTS` of real models that were
fitted before anything was instrumented.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final, cast

import pytest

from inferspan.instrumenting import available


class Refuses:
    """An input that raises one and the same object whenever a library asks for its numbers."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __array__(self, *args: object, **kwargs: object) -> Any:
        raise self.error


@dataclass(frozen=True)
class Subject:
    """A fitted model."""

    name: str
    model: Any
    methods: tuple[str, ...]
    """Those that are predictions of one input."""
    given: Any
    """Some rows."""
    wrong: Any
    """What the methods refuse."""
    refit: Callable[[Any], object] | None = None
    """Fits a copy of the model again; of one that does not learn, makes it again."""
    arguments: Callable[[Any], tuple[Any, ...]] = lambda given: (given,)
    """How the methods take rows."""
    refusing: Callable[[BaseException], Any] = Refuses
    """An input that raises this very object once the library looks at it."""
    task: bool = True
    """Whether the model itself says what its task is."""
    copies: bool = True
    """Whether the library can copy and pickle it."""
    operation: str | None = None
    """What its calls are, where the method's name alone does not say it."""

    def call(self, method: str, model: Any = None) -> Any:
        return self.call_with(self.given, method, model)

    def call_with(self, given: Any, method: str, model: Any = None) -> Any:
        """Call a method with other rows than the usual ones."""
        of = self.model if model is None else model
        return getattr(of, method)(*self.arguments(given))

    def again(self) -> Any:
        """Another model that answers the same."""
        return copy.deepcopy(self.model) if self.copies else cast("Any", self.refit)(self.model)


APART: Final = frozenset(
    (
        *("kserve", "mlflow", "mlserver"),
        *("sentence_transformers", "torch", "transformers", "tritonclient"),
    )
)
"""Cannot be installed beside the others: `make test-integrations` runs what is in tests/apart."""
_TOGETHER: Final = " ".join(library for library in available() if library not in APART)
LIBRARIES: Final = os.environ.get("TESTED_LIBRARIES", _TOGETHER).split()
"""All, unless `make test-integrations` runs this where only one is installed."""


def subjects_of(library: str) -> list[Subject]:
    return cast("list[Subject]", import_module(f".{library}_subjects", __package__).SUBJECTS)


def each_method() -> Any:
    """Parametrizes by library, subject and method."""
    return pytest.mark.parametrize(
        ("library", "subject", "method"),
        [
            pytest.param(library, subject, method, id=f"{library}-{subject.name}-{method}")
            for library in LIBRARIES
            for subject in subjects_of(library)
            for method in subject.methods
        ],
    )


def each_subject() -> Any:
    """Parametrizes by library and subject."""
    return pytest.mark.parametrize(
        ("library", "subject"),
        [
            pytest.param(library, subject, id=f"{library}-{subject.name}")
            for library in LIBRARIES
            for subject in subjects_of(library)
        ],
    )

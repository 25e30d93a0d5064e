"""What the conformance suite is held against: fitted models of each library, by its name.

A library's file is `{library}_subjects.py` here, with a list `SUBJECTS` of real models that were
fitted before anything was instrumented.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final, cast

import pytest

from inferspan.instrumenting import available


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
    """Fits a copy of the model again."""

    def call(self, method: str, model: Any = None) -> Any:
        return getattr(self.model if model is None else model, method)(self.given)


LIBRARIES: Final = available()


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

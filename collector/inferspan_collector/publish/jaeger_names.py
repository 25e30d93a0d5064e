"""The names under which Jaeger knows our services and models, one place for all three views.

Jaeger escapes neither regular expressions nor URLs in names, so they are made of
`[A-Za-z0-9_-]` only; what people read in attributes and on our own pages is the original.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from inferspan import semconv

QUALITY_SUFFIX: Final = "-quality"
UNKNOWN_SERVICE: Final = "unknown_service"
"""What OpenTelemetry calls a service that gave no name."""


def safe_names(originals: Iterable[str]) -> dict[str, str]:
    """Give each name a safe one of its own.

    A function of the set of names: those that are safe already keep themselves, the others are
    served in the order of the alphabet.

    Args:
        originals: names as spans gave them.

    Returns:
        original → safe name, each safe name once.
    """
    names = sorted(set(originals), key=lambda name: (semconv.safe_name(name) != name, name))
    chosen: dict[str, str] = {}
    taken: set[str] = set()
    for name in names:
        chosen[name] = semconv.safe_name(name, taken)
        taken.add(chosen[name])
    return chosen


def quality_service(safe_service: str) -> str:
    """The service under which a service's evaluations stand, so that its own figures stay clean."""
    return f"{safe_service}{QUALITY_SUFFIX}"


def evaluation_name(model: str) -> str:
    """Name of an evaluation span, and of the model's row in the Monitor tab."""
    return f"evaluate {semconv.safe_name(model)}"


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a service in Jaeger stands for; originals, None where there is none."""

    predictions: str | None = None
    """The service whose predictions are meant."""
    evaluations: str | None = None
    """The service whose evaluations are meant."""

    @property
    def service(self) -> str | None:
        """The service, under whichever of its two names."""
        return self.predictions or self.evaluations


def meanings(known: Iterable[str]) -> dict[str, Meaning]:
    """Find what each name in Jaeger stands for.

    Args:
        known: the original names of all services.

    Returns:
        Every name under which one of them can be asked for → what is meant.
    """
    found: dict[str, Meaning] = {}
    names = safe_names(known)
    for original, safe in names.items():
        for name in (safe, original):
            found[name] = Meaning(predictions=original)
    for original, safe in names.items():
        for name in (quality_service(safe), quality_service(original)):
            # Somebody's own service may have the name of another's twin: both are meant.
            found[name] = replace(found.get(name, Meaning()), evaluations=original)
    return found


def versioned(model: str, version: str | None) -> str:
    """A model's version in one short text: `churn v7`, `churn 2026-11`, `churn` without one."""
    if not version:
        return model
    return f"{model} v{version}" if version.isdigit() else f"{model} {version}"

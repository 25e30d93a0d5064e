"""One section of a model's page each: what it asks of the API, and what of the answers it shows.

A section is a module of this package and a template of its name. What it needs is `Part`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, Protocol

from inferspan_collector.page.asking import Json, Question
from inferspan_collector.page.choices import Choice


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What sections know beside the answers."""

    model: Json
    """As the API lists it."""
    minimum_n: int
    """A figure that rests on fewer predictions is not yet known."""
    jaeger: str | None
    """Jaeger's page, without a slash at its end."""
    now_ns: int


class Part(Protocol):
    """A module of this package."""

    TITLE: str

    def questions(self, choice: Choice) -> Mapping[str, Question]:
        """What it asks, by names of its own."""

    def view(
        self, answers: Mapping[str, Any], choice: Choice, around: Surroundings
    ) -> Mapping[str, Any]:
        """What its template shows, of the bodies of all answers."""


def _parts() -> Mapping[str, Part]:
    from inferspan_collector.page.parts import (
        confusion,
        drift,
        estimates,
        groups,
        labels,
        latency,
        mistakes,
        trend,
    )

    return MappingProxyType(
        {
            "estimates": estimates,
            "trend": trend,
            "latency": latency,
            "mistakes": mistakes,
            "confusion": confusion,
            "groups": groups,
            "labels": labels,
            "drift": drift,
        }
    )


PARTS: Final = _parts()
"""By name, in the order of the page: first what can be known before the labels come."""

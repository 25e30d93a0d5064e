"""The names under which Jaeger knows our services and models, one place for all three views.

Jaeger escapes neither regular expressions nor URLs in names, so they are made of
`[A-Za-z0-9_-]` only; what people read in attributes and on our own pages is the original.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Self

from inferspan_collector.store.cells import ModelSummary

QUALITY_SUFFIX: Final = "-quality"
UNKNOWN_SERVICE: Final = "unknown_service"
"""What OpenTelemetry calls a service that gave no name."""

_UNSAFE_IN_NAMES: Final = re.compile(r"[^A-Za-z0-9_-]")


def distinct_name(name: str, original: str, taken: frozenset[str] | set[str] = frozenset()) -> str:
    """Tell a name apart from those already given to others.

    Args:
        name: how it would be called if it were alone.
        original: what is called so; its hash tells it apart.
        taken: names already given.

    Returns:
        The name; where it is taken or empty, `-` and four hex digits of the original's hash
        follow, and more of them where that is taken, too.
    """
    if name and name not in taken:
        return name
    content = original.encode("utf-8", "replace")
    digests = (hashlib.blake2b(content, digest_size=size).hexdigest() for size in range(2, 65))
    return next(told for digest in digests if (told := f"{name}-{digest}") not in taken)


def safe_name(name: str, taken: frozenset[str] | set[str] = frozenset()) -> str:
    """Make a name that Jaeger and Prometheus can carry: `[A-Za-z0-9_-]+`.

    Jaeger's Monitor tab escapes neither regular expressions nor URLs. Originals are stored and
    shown; only what goes to Jaeger and Prometheus passes through here.

    Args:
        name: any text.
        taken: names already given to others.

    Returns:
        The name with every other character as `_`, told apart as `distinct_name` does.
    """
    return distinct_name(_UNSAFE_IN_NAMES.sub("_", name), name, taken)


def safe_names(originals: Iterable[str]) -> dict[str, str]:
    """Give each name a safe one of its own.

    A function of the set of names: those that are safe already keep themselves, the others are
    served in the order of the alphabet.

    Args:
        originals: names as spans gave them.

    Returns:
        original → safe name, each safe name once.
    """
    names = sorted(set(originals), key=lambda name: (safe_name(name) != name, name))
    chosen: dict[str, str] = {}
    taken: set[str] = set()
    for name in names:
        chosen[name] = safe_name(name, taken)
        taken.add(chosen[name])
    return chosen


def quality_service(safe_service: str) -> str:
    """The service under which a service's evaluations stand, so that its own figures stay clean."""
    return f"{safe_service}{QUALITY_SUFFIX}"


def service_names(known: Iterable[str]) -> dict[str, str]:
    """Give each service a safe name, and one to the predictions that name none.

    Args:
        known: names as spans gave them.

    Returns:
        As `safe_names`, and "" → `unknown_service`.
    """
    names = safe_names(name for name in known if name)
    # A service may really be called that: OpenTelemetry gives this name to who has none.
    names[""] = distinct_name(UNKNOWN_SERVICE, "", set(names.values()))
    return names


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a service in Jaeger stands for: originals, "" = none given; None = nothing."""

    predictions: str | None = None
    """The service whose predictions are meant."""
    evaluations: str | None = None
    """The service whose evaluations are meant."""

    @property
    def service(self) -> str | None:
        """The service, under whichever of its two names."""
        return self.evaluations if self.predictions is None else self.predictions


def meanings(known: Iterable[str]) -> dict[str, Meaning]:
    """Find what each name in Jaeger stands for.

    Args:
        known: the original names of all services.

    Returns:
        Every name under which one of them, or the predictions without a service, can be asked
        for → what is meant.
    """
    found: dict[str, Meaning] = {}
    names = service_names(known)
    for original, safe in names.items():
        for name in (safe, original or safe):
            found[name] = Meaning(predictions=original)
    for original, safe in names.items():
        for name in (quality_service(safe), quality_service(original or safe)):
            # Somebody's own service may have the name of another's twin: both are meant.
            found[name] = replace(found.get(name, Meaning()), evaluations=original)
    return found


def versioned(model: str, version: str | None) -> str:
    """A model's version in one short text: `churn v7`, `churn 2026-11`, `churn` without one."""
    if not version:
        return model
    return f"{model} v{version}" if version.isdigit() else f"{model} {version}"


@dataclass(frozen=True, slots=True)
class Names:
    """What Jaeger calls services, models and versions; nothing has the name of another.

    What is not known yet has the name it would have if it were alone.
    """

    services: Mapping[str, str] = field(default_factory=dict)
    """As `service_names`."""
    models: Mapping[str, str] = field(default_factory=dict)
    """As `safe_names`."""
    versions: Mapping[tuple[str, str], str] = field(default_factory=dict)
    """(model, version or "") → text, as `versioned`."""

    @classmethod
    def of(cls, summaries: Iterable[ModelSummary]) -> Self:
        """Name all that the store knows."""
        models = list(summaries)
        versions: dict[tuple[str, str], str] = {}
        taken: set[str] = set()
        for model, version in sorted(
            (summary.model, version) for summary in models for version in ("", *summary.versions)
        ):
            # `churn` 7 and `churn` v7 are two, and so may be the model `churn v7`.
            text = versioned(model, version)
            name = distinct_name(text, f"{model}\0{version}", taken)
            versions[model, version] = name
            taken.add(name)
        return cls(
            services=service_names(service for summary in models for service in summary.services),
            models=safe_names(summary.model for summary in models),
            versions=versions,
        )

    def service(self, original: str | None) -> str:
        """The safe name of a service, or of having none."""
        name = original or ""
        return self.services.get(name) or safe_name(name or UNKNOWN_SERVICE)

    def evaluation(self, model: str) -> str:
        """Name of a model's evaluation spans, and of its row in the Monitor tab."""
        return f"evaluate {self.models.get(model) or safe_name(model)}"

    def version(self, model: str, version: str | None) -> str:
        """A model's version in one short text, for people."""
        return self.versions.get((model, version or "")) or versioned(model, version)

"""Which spans a rule takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from inferspan import semconv
from inferspan_collector.config.mappings import KINDS, Match
from inferspan_collector.decode.attributes import Attributes, Value, shown
from inferspan_collector.decode.mapping.patterns import Patterns
from inferspan_collector.decode.mapping.views import SpanView

ANY: Final = "any value"


@dataclass(frozen=True, slots=True)
class Condition:
    """One thing that has to hold for a span to be taken."""

    place: str
    """`scope`, `span name`, `attribute gen_ai.operation.name`."""
    wanted: str
    """What has to be there, in words."""
    read: Callable[[SpanView], Value]
    holds: Callable[[SpanView], bool]

    def fault(self, view: SpanView) -> str:
        """Why it does not hold for a span."""
        value = self.read(view)
        if value is None:
            return f"{self.place} is missing; wanted is {self.wanted}"
        return f"{self.place} = {shown(value)}; wanted is {self.wanted}"


class Matcher:
    """The conditions of a rule; all have to hold."""

    __slots__ = ("_conditions", "_scope", "key")

    def __init__(self, match: Match) -> None:
        self._scope = None if match.scope is None else Patterns(match.scope)
        self.key = next(iter(match.attributes), None)
        """An attribute that every span taken carries; None where there is none."""
        self._conditions = _conditions(match)

    def takes_scope(self, scope: str) -> bool:
        """Whether spans of this scope can be taken."""
        return self._scope is None or self._scope.fit(scope)

    def takes(self, view: SpanView) -> bool:
        """Whether a span is taken."""
        if self.key is not None and self.key not in view.attributes:
            return False
        return self.fault(view) is None

    def fault(self, view: SpanView) -> Condition | None:
        """The first condition that does not hold; None: the span is taken."""
        for each in self._conditions:
            if not each.holds(view):
                return each
        return None


def _conditions(match: Match) -> list[Condition]:
    found = []
    if match.scope is not None:
        found.append(_of_text("scope", match.scope, lambda view: view.scope))
    if match.span is not None:
        found.append(_of_text("span name", match.span, lambda view: view.span.name))
    if match.kind is not None:
        found.append(_of_text("span kind", match.kind, _kind))
    for name, patterns in match.resource.items():
        found.append(_of_attribute("resource", name, patterns, lambda view: view.resource))
    for name, patterns in match.attributes.items():
        found.append(_of_attribute("attribute", name, patterns, lambda view: view.attributes))
    for name, patterns in match.without.items():
        there = _of_attribute("attribute", name, patterns, lambda view: view.attributes)
        found.append(_not(there))
    return found


def _kind(view: SpanView) -> str:
    kind = view.span.kind
    return KINDS[kind] if 0 <= kind < len(KINDS) else KINDS[0]


def _of_text(place: str, texts: tuple[str, ...], read: Callable[[SpanView], str]) -> Condition:
    patterns = Patterns(texts)
    return Condition(place, _wanted(patterns), read, lambda view: patterns.fit(read(view)))


def _of_attribute(
    place: str,
    name: str,
    texts: tuple[str, ...],
    attributes: Callable[[SpanView], Attributes],
) -> Condition:
    def read(view: SpanView) -> Value:
        return attributes(view).value(name)

    place = f"{place} {name}"
    patterns = Patterns(texts)
    if patterns.any:
        return Condition(place, ANY, read, lambda view: name in attributes(view))
    return Condition(place, _wanted(patterns), read, lambda view: _fits(patterns, read(view)))


def _not(there: Condition) -> Condition:
    return Condition(
        there.place,
        f"anything but {there.wanted}" if there.wanted != ANY else "none",
        there.read,
        lambda view: not there.holds(view),
    )


def _wanted(patterns: Patterns) -> str:
    return " or ".join(map(repr, patterns.texts))


def _fits(patterns: Patterns, value: Value) -> bool:
    if isinstance(value, list):
        return any(_fits(patterns, entry) for entry in value)
    if isinstance(value, str):
        return patterns.fit(value)
    if value is None or isinstance(value, bytes):
        return False
    text = semconv.class_text(value)
    return text is not None and patterns.fit(text)

"""The rules of the configuration, compiled: which spans each takes, and what it makes of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from opentelemetry.proto.common.v1.common_pb2 import KeyValue

from inferspan import semconv
from inferspan_collector.config.mappings import HOLE, Mapping, PredictionFields
from inferspan_collector.decode.attributes import Attributes, RefusedRecord, Value
from inferspan_collector.decode.mapping.matching import Matcher
from inferspan_collector.decode.mapping.sampling import adjusted_count
from inferspan_collector.decode.mapping.sources import Read, compiled, places
from inferspan_collector.decode.mapping.views import SpanView
from inferspan_collector.decode.mapping.wire_values import Type, attribute

SCOPES_REMEMBERED_MAX: Final = 1024
"""Scope names whose rules are remembered; a sender may make up any number of them."""
ITEMS_MAX: Final = 64
"""Labels of one span."""
OUR_SCOPES: Final = (
    semconv.SCOPE_PREDICTIONS,
    semconv.SCOPE_RECORDS,
    semconv.SCOPE_LABELS,
    semconv.SCOPE_PROCESSOR,
)
"""Spans of these speak our vocabulary already."""
_NUMBER: Final = re.compile("0|[1-9][0-9]{0,3}")
OWN_PREFIX: Final = "inferspan."
"""What a foreign span says in our own vocabulary wins over what a mapping reads."""

ATTRIBUTES: Final[dict[str, tuple[str, Type]]] = {
    "model": (semconv.MODEL_NAME, "text"),
    "version": (semconv.MODEL_VERSION, "text"),
    "variant": (semconv.MODEL_VARIANT, "text"),
    "operation": (semconv.OPERATION_NAME, "text"),
    "task": (semconv.TASK_TYPE, "text"),
    "prediction_id": (semconv.PREDICTION_ID, "text"),
    "prediction_ids": (semconv.PREDICTION_IDS, "text"),
    "count": (semconv.PREDICTION_COUNT, "integer"),
    "event_time": (semconv.EVENT_TIME_UNIX_NANO, "integer"),
    "class": (semconv.OUTPUT_CLASS, "text"),
    "score": (semconv.OUTPUT_SCORE, "number"),
    "value": (semconv.OUTPUT_VALUE, "number"),
    "positive_class": (semconv.OUTPUT_POSITIVE_CLASS, "text"),
    "threshold": (semconv.OUTPUT_THRESHOLD, "number"),
    "classes_predicted": (semconv.OUTPUT_CLASSES_PREDICTED, "text"),
    "scores": (semconv.OUTPUT_SCORES, "number"),
    "values": (semconv.OUTPUT_VALUES, "number"),
    "offsets": (semconv.OUTPUT_OFFSETS, "integer"),
    "classes": (semconv.OUTPUT_CLASSES, "text"),
    "probabilities": (semconv.OUTPUT_PROBABILITIES, "number"),
    "error_type": (semconv.ERROR_TYPE, "text"),
    "adjusted_count": (semconv.SAMPLING_ADJUSTED_COUNT, "number"),
}
"""Field of a prediction → the attribute it becomes."""
ORIGIN: Final[dict[str, tuple[str, Type]]] = {
    "environment": (semconv.DEPLOYMENT_ENVIRONMENT_NAME, "text"),
    "service": (semconv.SERVICE_NAME, "text"),
}
"""The same of the fields that stand in the resource."""


@dataclass(frozen=True, slots=True)
class Mapped:
    """A foreign span in our words: what a span of ours would carry, and its resource."""

    rule: str
    attributes: Attributes
    resource: Attributes


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule, compiled."""

    name: str
    matcher: Matcher
    fields: tuple[tuple[str, Read], ...]
    required: frozenset[str]
    sources: dict[str, str]
    """Field → where its value comes from, in words."""
    each: str | None = None
    about_itself: bool = False

    @classmethod
    def of(cls, mapping: Mapping) -> Rule:
        """Compile a rule; `mapping` is checked, and no reference to a ready-made one."""
        recorded = mapping.prediction or mapping.label
        assert mapping.name is not None
        assert mapping.match is not None
        assert recorded is not None
        sources = recorded.field_sources()
        required = set(recorded.required)
        if isinstance(recorded, PredictionFields):
            required.add("model")
        return cls(
            name=mapping.name,
            matcher=Matcher(mapping.match),
            fields=tuple((field, compiled(given)) for field, given in sources.items()),
            required=frozenset(required),
            sources={field: places(given) for field, given in sources.items()},
            each=None if mapping.label is None else mapping.label.each,
            about_itself=mapping.label is not None and mapping.label.about == "self",
        )

    def values(self, view: SpanView) -> dict[str, Value]:
        """Field → value of those that the span has.

        Raises:
            RefusedRecord: a required one is missing, or one cannot be read.
        """
        found: dict[str, Value] = {}
        try:
            for field, read in self.fields:
                value = read(view)
                if value is not None:
                    found[field] = value
                elif field in self.required:
                    raise RefusedRecord(
                        f"missing_{field}",
                        f"span {view.span.name!r:.80} has no {field}: neither of "
                        f"{self.sources[field]} has a value",
                    )
        except RefusedRecord as refused:
            raise self.refusal(refused) from None
        return found

    def refusal(self, refused: RefusedRecord) -> RefusedRecord:
        """A refusal that says which mapping led to it."""
        return RefusedRecord(refused.reason, f"mapping {self.name!r}: {refused}")


@dataclass(frozen=True, slots=True)
class Carried:
    """The labels of one span: a view of each, and how many more there are than are taken."""

    rule: Rule
    items: list[SpanView]
    surplus: int


@dataclass(frozen=True, slots=True)
class _OfScope:
    """The rules that may take spans of one scope."""

    predictions: tuple[Rule, ...]
    labels: tuple[Rule, ...]
    keys: frozenset[str] | None

    @classmethod
    def of(cls, predictions: Sequence[Rule], labels: Sequence[Rule], scope: str) -> _OfScope:
        if scope in OUR_SCOPES:
            return cls((), (), frozenset())
        predicting = tuple(rule for rule in predictions if rule.matcher.takes_scope(scope))
        labeling = tuple(rule for rule in labels if rule.matcher.takes_scope(scope))
        keys = [rule.matcher.key for rule in (*predicting, *labeling)]
        known = frozenset(key for key in keys if key is not None)
        return cls(predicting, labeling, None if None in keys else known)


class Mapper:
    """All rules, in the order of the configuration: the first that takes a span counts.

    A span may be a prediction by one rule and carry labels by another.
    """

    def __init__(self, mappings: Iterable[Mapping]) -> None:
        rules = [rule for mapping in mappings for rule in mapping.rules()]
        self._predictions = tuple(Rule.of(rule) for rule in rules if rule.prediction is not None)
        self._labels = tuple(Rule.of(rule) for rule in rules if rule.label is not None)
        self._by_scope: dict[str, _OfScope] = {}

    @property
    def predictions(self) -> tuple[Rule, ...]:
        """The rules that take spans for predictions."""
        return self._predictions

    @property
    def labeling(self) -> tuple[Rule, ...]:
        """The rules that find labels on spans."""
        return self._labels

    @property
    def rules(self) -> tuple[Rule, ...]:
        """All of them."""
        return (*self._predictions, *self._labels)

    def keys(self, scope: str) -> frozenset[str] | None:
        """Attributes of which a span of this scope has to carry one to be taken by any rule.

        None where a rule takes spans whatever they carry; empty where none takes any.
        """
        return self._of_scope(scope).keys

    def prediction(self, view: SpanView) -> Mapped | None:
        """The span as a prediction in our words; None where no rule takes it.

        Raises:
            RefusedRecord: a rule takes it, and it lacks what the rule requires.
        """
        rule = self._taking(self._of_scope(view.scope).predictions, view)
        if rule is None:
            return None
        values = rule.values(view)
        try:
            return Mapped(rule.name, _in_our_words(values, view), _resource(values, view))
        except RefusedRecord as refused:
            raise rule.refusal(refused) from None

    def labels(self, view: SpanView) -> Carried | None:
        """The labels that the span carries; None where no rule says that it carries any."""
        rule = self._taking(self._of_scope(view.scope).labels, view)
        if rule is None:
            return None
        if rule.each is None:
            return Carried(rule, [view], 0)
        prefixes = _items(rule.each, view.attributes)
        views = [view.at(prefix) for prefix in prefixes[:ITEMS_MAX]]
        return Carried(rule, views, len(prefixes) - len(views)) if prefixes else None

    def _of_scope(self, scope: str) -> _OfScope:
        found = self._by_scope.get(scope)
        if found is None:
            if len(self._by_scope) >= SCOPES_REMEMBERED_MAX:
                self._by_scope.clear()
            found = self._by_scope[scope] = _OfScope.of(self._predictions, self._labels, scope)
        return found

    @staticmethod
    def _taking(rules: Sequence[Rule], view: SpanView) -> Rule | None:
        for rule in rules:
            if rule.matcher.takes(view):
                return rule
        return None


def _in_our_words(values: dict[str, Value], view: SpanView) -> Attributes:
    pairs = [
        attribute(name, values[field], kind)
        for field, (name, kind) in ATTRIBUTES.items()
        if field in values
    ]
    pairs += [
        attribute(semconv.SLICE_PREFIX + field.removeprefix("slices."), value, "text")
        for field, value in values.items()
        if field.startswith("slices.")
    ]
    if "adjusted_count" not in values and view.span.trace_state:
        count = adjusted_count(view.span.trace_state)
        pairs.append(attribute(semconv.SAMPLING_ADJUSTED_COUNT, count, "number"))
    # Of a name given twice the last counts: what the span says in our own words.
    return Attributes((*pairs, *_own(view)))


def _own(view: SpanView) -> Iterator[KeyValue]:
    for pair in view.span.attributes:
        if pair.key.startswith(OWN_PREFIX) or pair.key == semconv.ERROR_TYPE:
            yield pair


def _resource(values: dict[str, Value], view: SpanView) -> Attributes:
    if not ORIGIN.keys() & values.keys():
        return view.resource
    pairs = []
    for field, (name, kind) in ORIGIN.items():
        value = values.get(field, view.resource.value(name))
        pairs.append(attribute(name, value, kind))
    return Attributes(pairs)


def _items(each: str, attributes: Attributes) -> list[str]:
    """The prefixes that `each` comes to on a span, by their numbers."""
    before, _, after = each.partition(HOLE)
    numbers = set()
    for name in attributes:
        if name.startswith(before):
            number, _, field = name[len(before) :].partition(after)
            if field and _NUMBER.fullmatch(number):
                numbers.add(int(number))
    return [f"{before}{number}{after}" for number in sorted(numbers)]

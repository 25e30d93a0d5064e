"""What a decorator or `wrap` declared about a model, checked and resolved once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field
from typing import Any, Final

from opentelemetry.trace import SpanKind

from inferspan import semconv, settings
from inferspan.arguments import Arguments, Keywords, Source
from inferspan.attributes import Attributes, type_name
from inferspan.capture import INPUT_SHOWN, OUTPUT_SHOWN, Call, Drop
from inferspan.containment import from_outside
from inferspan.frozen import altered, frozen
from inferspan.output_columns import OutputRule
from inferspan.redaction import Redactor
from inferspan.sampling import Thresholds

UNREAD: Final = object()
"""In place of an answer whose mapping raised."""


@frozen
class PredictionPlan:
    """How the calls of one function are recorded."""

    span_name: str
    model: str
    version: str | None
    constants: Attributes
    """Operation, model, version, task…: the same on every span."""
    rule: OutputRule
    capture: str | None = None
    """A capture policy; None = what the settings say at the time of the call."""
    sample_ratio: float | None = None
    """Share of root calls that get a full span; None = as the provider's sampler says."""
    prediction_id: Source | None = None
    slices: tuple[tuple[str, Source], ...] = ()
    more_slices: Source | None = None
    features: tuple[tuple[str, Source], ...] = ()
    more_features: Source | None = None
    output: Callable[[Any], object] | None = None
    answer: Callable[[Arguments, Keywords, Any], object] | None = None
    """As `output`, given the call's arguments, too; counts where there is no `output`."""
    inputs: Callable[[Arguments, Keywords], Mapping[str, object]] | None = None
    """What of the arguments the model is given, by name; None = all of them."""
    redact: Redactor | None = None
    """What was declared; `redactor` is what counts."""
    argument_names: tuple[str, ...] = ()
    owner: object = None
    """The wrapped object, whose own inner calls are part of this prediction."""
    kind: SpanKind = SpanKind.INTERNAL
    """CLIENT where a server predicts, which may record the same prediction."""
    live_rule: Callable[[], OutputRule] | None = None
    """Finds the rule at the time of the call, where the classes are known only then: `rule` in all
    else."""
    thresholds: Thresholds = field(default_factory=Thresholds)
    """From where on a call counts as slow or unsure."""

    fixed: Mapping[str, Attributes] = field(init=False)
    """Capture policy → the constants, with the policy itself unless it is the default. See
    `fixed_beside`."""
    keyed: Redactor | None = field(init=False)
    """What redacts where ids leave the process keyed: it shows the id as it is sent."""
    templates: Mapping[str, Attributes] = field(init=False)
    """Capture policy → all attributes of a usual call, in their order, to be copied and filled."""
    templates_of_probabilities: Mapping[str, Attributes] = field(init=False)
    """The same of a call that answers with probabilities."""
    declares: bool = field(init=False)
    """Whether anything declared is to be read from the call's arguments."""
    returns_as_is: bool = field(init=False)
    """Whether answers are read as they are, by a rule that never changes."""

    def __post_init__(self) -> None:
        sources = (self.prediction_id, self.more_slices, self.more_features)
        declares = bool(self.slices or self.features) or sources != (None, None, None)
        object.__setattr__(self, "declares", declares)
        returns_as_is = (self.output, self.answer, self.live_rule) == (None, None, None)
        object.__setattr__(self, "returns_as_is", returns_as_is)
        fixed = {
            policy: {**self.constants, semconv.CAPTURE_POLICY: policy}
            if policy != semconv.CAPTURE_DEFAULT
            else self.constants
            for policy in semconv.CAPTURE_POLICIES
        }
        object.__setattr__(self, "fixed", fixed)
        answered: Attributes = {semconv.OUTPUT_CLASS: "", semconv.OUTPUT_SCORE: 0.0}
        if self.rule.numeric:
            answered = {semconv.OUTPUT_VALUE: 0.0}
        object.__setattr__(self, "templates", self._templates(answered))
        answered = {**answered, semconv.OUTPUT_CLASSES: "", semconv.OUTPUT_PROBABILITIES: ()}
        object.__setattr__(self, "templates_of_probabilities", self._templates(answered))
        keyed = self.redact
        if self.prediction_id is not None:
            names = frozenset(name.casefold() for name in self.prediction_id.names)
            keyed = altered(keyed or Redactor(), ids=names)
        object.__setattr__(self, "keyed", keyed)

    def _templates(self, answered: Attributes) -> dict[str, Attributes]:
        sized = {semconv.INPUT_SHAPE: "", semconv.INPUT_DTYPE: ""}
        shown = {
            semconv.INPUT_VALUE: "",
            **INPUT_SHOWN,
            semconv.OUTPUT_VALUE_JSON: "",
            **OUTPUT_SHOWN,
        }
        return {
            policy: {
                **sized,
                **(shown if policy == "values" else {}),
                **answered,
                **(self.constants if policy == "values" else self.fixed[policy]),
                semconv.PREDICTION_ID: "",
            }
            for policy in semconv.CAPTURE_POLICIES
        }

    def rule_now(self, drop: Drop) -> OutputRule:
        """The rule by which an answer is read now; `drop` is told why it is the declared one only.

        Raises:
            BaseException: what comes from outside while a model is asked.
        """
        if self.live_rule is not None:
            try:
                return self.live_rule()
            except Exception as error:  # of a model's own property
                if from_outside(error):
                    raise
                raised = type_name(type(error))
                drop("classes", f"classes_ raised {raised}; declare classes=[…]")
        return self.rule

    def fixed_beside(self, attributes: Attributes, policy: str) -> Attributes:
        """The constants, and the policy where nothing beside them tells it."""
        # Only `values` shows answers; inputs that are declared as features are shown under all.
        told = semconv.OUTPUT_VALUE_JSON in attributes
        return self.constants if told else self.fixed[policy]

    def given(self, call: Call) -> Call:
        """A call as far as its arguments are what the model is given."""
        return call if self.inputs is None else ((), self.inputs(call[0], call[1]), 0)

    @property
    def redactor(self) -> Redactor | None:
        """What replaces values by their names."""
        told = settings.latest or settings.current()
        return self.redact if told.id_key is None else self.keyed

    def confidence(self, score: float | None) -> float | None:
        """How sure a single answer is: the probability of the class that was answered."""
        if score is None or self.rule.numeric or self.rule.ragged:
            return None
        return max(score, 1.0 - score) if self.rule.task == semconv.BINARY else score

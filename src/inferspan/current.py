"""What runs in this context: a prediction, a batch of them, or one that another process began."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol, cast

from opentelemetry import context as otel_context
from opentelemetry.context import Context

from inferspan.containment import Contained

if TYPE_CHECKING:
    from inferspan.redaction import Redactor
    from inferspan.references import PredictionRef

CURRENT_KEY: Final = otel_context.create_key("inferspan-prediction")
"""Where a context keeps the innermost `Running`."""
_REFER: Final = Contained("refer to a prediction")


class Declared(Protocol):
    """What was declared of a model, as far as it concerns what runs in it."""

    @property
    def model(self) -> str:
        """The model's name."""

    @property
    def redactor(self) -> Redactor | None:
        """What replaces values by their names."""


class Running(Protocol):
    """What stages, snapshots and `current_prediction` ask of whatever they are in."""

    @property
    def ended(self) -> bool:
        """A task that outlives it keeps the context, and with it what is over."""

    @property
    def recording(self) -> bool:
        """Whether a snapshot taken in it reaches anybody."""

    @property
    def plan(self) -> Declared:
        """What was declared of it."""

    @property
    def policy(self) -> str:
        """One of `semconv.CAPTURE_POLICIES`."""

    def records_messages(self) -> bool:
        """Whether an exception's message may go on its spans."""

    def reference(self) -> PredictionRef | None:
        """What a caller keeps of it; None where it is not one prediction."""


class Within(Context):
    """The context of a model's call, while nobody has derived another from it.

    Says what the keys say, too. Libraries ask their models for one thing by way of others, and each
    of these calls looks here.
    """

    __slots__ = ("call", "owner")
    call: Running
    owner: object
    """What is known of the model whose call it is, or the model; None where it is a function."""


def made_current(running: Running, context: Context) -> Context:
    """The context `context`, in which `running` is the innermost."""
    return otel_context.set_value(CURRENT_KEY, running, context)


def entered() -> Running | None:
    """The innermost in this context, even where it is over."""
    return cast("Running | None", otel_context.get_value(CURRENT_KEY))


def running() -> Running | None:
    """The innermost that is running in this context."""
    found = entered()
    return None if found is None or found.ended else found


def current_prediction() -> PredictionRef | None:
    """What is being predicted here, inside a decorated call.

    Returns:
        A frozen reference (`.id`, `.to_token()`, `.traceparent`, `.label(value)`) that may be kept
        and used at any later time; None outside of a prediction.
    """
    with _REFER:
        found = running()
        return None if found is None else found.reference()
    return None

"""What a caller says later of a prediction → labels, checked as a whole before any is sent."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

from inferspan import semconv
from inferspan.declaration import refuse_unknown
from inferspan.label_records import LabelDetails, RefusedLabel, check_options
from inferspan.labels import label, read_record
from inferspan.providers import label_tracer

BODY_BYTES_MAX: Final = 1 << 18
"""Bytes of one feedback."""
VERDICTS_MAX: Final = 1_000
"""Verdicts of one body."""
NOWHERE: Final = "labels go nowhere: inferspan.configure() was not called"
"""What a caller is told where nothing says where labels go."""
_MEMBERS: Final = (
    "prediction_id",
    "label",
    "model",
    "target",
    "time",
    "id",
    "revision",
    "action",
    "index",
    "item_id",
    "text",
    "annotator_kind",
)
_PASSED_ON: Final = ("time", "id", "revision", "action", "index", "item_id", "text")


class RefusedFeedback(ValueError):
    """A body of which nothing is sent; says the value, the rule and the remedy."""


@dataclass(frozen=True, slots=True)
class FeedbackRules:
    """Whose predictions may be judged, and as what."""

    models: tuple[str, ...]
    target: str
    source: str
    kind: str

    @classmethod
    def of(cls, models: Iterable[str], *, target: str | None, source: str, kind: str) -> Self:
        """Check the options.

        Raises:
            ValueError: no model, or an option that breaks its rule.
        """
        named = tuple(models)
        if not named:
            raise ValueError("Feedback(): must name the models that may be judged; Feedback('…')")
        for model in named:
            check_options(model, kind, None, semconv.LABEL_ACTIONS[0])
        return cls(named, target or semconv.DEFAULT_TARGET, source, kind)

    def label_all(self, body: bytes | str) -> list[str] | None:
        """Send what a body says as labels.

        Args:
            body: JSON: an object, or a list of up to 1,000.

        Returns:
            The labels' ids; None where nothing says where labels go.

        Raises:
            RefusedFeedback: something of it cannot count; nothing was sent.
        """
        verdicts = [self._checked(verdict, at) for at, verdict in enumerate(_parsed(body))]
        if label_tracer() is None:
            return None
        sent = [label(given, value, **options) for given, value, options in verdicts]
        return [label_id for label_id in sent if label_id is not None]

    def _checked(self, verdict: object, at: int) -> tuple[object, object, dict[str, Any]]:
        """The arguments of `inferspan.label`, which refuses none of these."""
        where = f"verdict {at}"
        if not isinstance(verdict, Mapping):
            raise RefusedFeedback(
                f"{where} is a {type(verdict).__name__}: must be an object such as "
                '{"prediction_id": "…", "label": "fraud"}'
            )
        try:
            refuse_unknown("a verdict", verdict, _MEMBERS)
            options = self._options(verdict)
            model, action = options["model"], options.get("action", "upsert")
            check_options(model, self.kind, options["annotator_kind"], action)
            details = {name: options[name] for name in options if name not in ("id", "text")}
            read_record(
                verdict.get("prediction_id"),
                verdict.get("label"),
                LabelDetails(**details, reference=options.get("text")),
            )
            if "id" in options and semconv.prediction_id_text(options["id"]) is None:
                raise RefusedLabel("id", f"id={options['id']!r:.80} is no id; give a string")
        except (RefusedLabel, TypeError, ValueError) as error:
            raise RefusedFeedback(f"{where}: {error}") from None
        return verdict.get("prediction_id"), verdict.get("label"), options

    def _options(self, verdict: Mapping[str, Any]) -> dict[str, Any]:
        model = verdict.get("model", self.models[0] if len(self.models) == 1 else None)
        if model not in self.models:
            raise ValueError(f"model={model!r:.80}: must be one of {', '.join(self.models)}")
        return {
            "model": model,
            "target": verdict.get("target", self.target),
            "source": self.source,
            "kind": self.kind,
            "annotator_kind": verdict.get("annotator_kind"),
            **{name: verdict[name] for name in _PASSED_ON if name in verdict},
        }


def _parsed(body: bytes | str) -> list[object]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        raise RefusedFeedback("the body is no JSON: must be an object, or a list of them") from None
    verdicts = found if isinstance(found, list) else [found]
    if len(verdicts) > VERDICTS_MAX:
        raise RefusedFeedback(
            f"{len(verdicts):,} verdicts: at most {VERDICTS_MAX:,}; send fewer at a time"
        )
    return verdicts

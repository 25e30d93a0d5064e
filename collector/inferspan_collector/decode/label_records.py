"""A label record's fields → one checked row: the same rules for spans, logs and lines.

The three transports spell the fields differently (`inferspan.label.class`, `class`) and carry
the same Python values; what is checked here is said in the sender's own spelling.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from inferspan import semconv
from inferspan_collector.decode.attributes import (
    RefusedRecord,
    checked_id,
    checked_name,
    checked_text,
    shown,
)
from inferspan_collector.decode.columns import NO_LINK, LabelRow
from inferspan_collector.decode.predictions import CLOCK_SKEW_MAX_NS, TIME_MAX_NS
from inferspan_collector.label_fields import TRUTHS
from inferspan_collector.several_classes import class_set_text

ATTRIBUTES: Final[Mapping[str, str]] = {
    "id": semconv.LABEL_ID,
    "model": semconv.MODEL_NAME,
    "version": semconv.MODEL_VERSION,
    "prediction_id": semconv.PREDICTION_ID,
    "index": semconv.PREDICTION_INDEX,
    "item_id": semconv.PREDICTION_ITEM_ID,
    "entity_id": semconv.ENTITY_ID,
    "response_id": semconv.GEN_AI_RESPONSE_ID,
    "target": semconv.TARGET_NAME,
    "kind": semconv.TARGET_KIND,
    "class": semconv.LABEL_CLASS,
    "classes": semconv.LABEL_CLASSES,
    "value": semconv.LABEL_VALUE,
    "values": semconv.LABEL_VALUES,
    "text": semconv.LABEL_TEXT,
    "time": semconv.LABEL_TIME_UNIX_NANO,
    "source": semconv.LABEL_SOURCE,
    "annotator_kind": semconv.LABEL_ANNOTATOR_KIND,
    "revision": semconv.LABEL_REVISION,
    "action": semconv.LABEL_ACTION,
    "weight": semconv.LABEL_WEIGHT,
}
"""Field of a label → the attribute that carries it. `environment` stands in the resource."""
LABEL_TEXT_LENGTH_MAX: Final = 16_384
"""Characters of a reference answer."""
INDEX_MAX: Final = 2**31 - 1
REVISION_MAX: Final = 2**63 - 1
_NUMBER: Final = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)

Link = tuple[tuple[int, int], int]


def read_label(
    fields: Mapping[str, object],
    names: Mapping[str, str],
    received_ns: int,
    *,
    link: Link = NO_LINK,
) -> LabelRow:
    """Check one label.

    Args:
        fields: its fields by the keys of `ATTRIBUTES`, and `environment`; None counts as absent.
            `time` in Unix ns. Without `id`, a hash of the content stands for it, the same as the
            SDK's: the same content is the same label.
        names: field → how this transport spells it, for messages.
        received_ns: the time of receipt, Unix ns.
        link: the span it is about, `NO_LINK` where none is named.

    Raises:
        RefusedRecord: it breaks a rule of the vocabulary.
    """
    return _Reader(fields, names).row(received_ns, link)


def scored(row: LabelRow, score: float, *, own_id: bool = False) -> LabelRow:
    """A label of a class with the score that was given beside it; NaN and infinities are none.

    The score is part of what an evaluation says, so of its id too, unless the id is the sender's.
    """
    if not math.isfinite(score):
        return row
    if own_id:
        return replace(row, value=score)
    said = {semconv.LABEL_ID: row.label_id, semconv.LABEL_VALUE: score}
    return replace(row, value=score, label_id=semconv.label_record_id(said))


def read_field(field: str, value: object) -> str | None:
    """Check one text of a label by itself, as `read_label` does.

    Args:
        field: `model`, `version`, `target`, `kind`, `source` or `annotator_kind`.
        value: what was given for it.

    Raises:
        RefusedRecord: as `read_label`, or the model is not named.
    """
    reader = _Reader({field: value}, ATTRIBUTES)
    if field == "kind":
        return reader.kind()
    if field == "annotator_kind":
        return reader.annotator_kind()
    if field == "target":
        return reader.target()
    text = reader.text(field)
    if field == "model" and text is None:
        raise RefusedRecord("missing_model", f"{semconv.MODEL_NAME} is missing")
    return text


def read_class(value: object) -> tuple[str | None, float]:
    """Check the class of a label by itself: its text, and the number it spells or NaN.

    Raises:
        RefusedRecord: as `read_label`.
    """
    truth = _Reader({"class": value}, ATTRIBUTES).judgeable("class")
    return truth.actual, truth.value


@dataclass(frozen=True, slots=True)
class _Truth:
    actual: str | None = None
    value: float = math.nan
    text: str | None = None
    said: Mapping[str, object] = field(default_factory=dict)
    """The attributes that carry it on the wire."""


class _Reader:
    def __init__(self, fields: Mapping[str, object], names: Mapping[str, str]) -> None:
        self._fields = fields
        self._names = names

    def row(self, received_ns: int, link: Link) -> LabelRow:
        model = self.text("model")
        prediction_id = self._id("prediction_id")
        response_id = self.text("response_id")
        entity_id = self._id("entity_id")
        if link == NO_LINK:
            self._names_its_prediction(model, prediction_id, response_id, entity_id)
        deleted = self._choice("action", semconv.LABEL_ACTIONS) == "delete"
        item_id = self._item()
        truth = _Truth() if deleted else self._truth()
        if item_id is not None and not deleted:
            truth = self._relevance(item_id, truth)
        given = self._integer("time", 1, TIME_MAX_NS)
        # A time ahead of us would win over every later correction.
        skewed = given is not None and given > received_ns + CLOCK_SKEW_MAX_NS
        row = LabelRow(
            label_id=self._id("id") or "",
            revision=self._integer("revision", 0, REVISION_MAX) or 0,
            environment=self.text("environment"),
            model=model,
            version=self.text("version"),
            prediction_id=prediction_id,
            index=self._integer("index", 0, INDEX_MAX) or 0,
            item_id=item_id,
            link=link,
            response_id=response_id,
            entity_id=entity_id,
            target=self.target(),
            kind=self.kind(),
            actual=truth.actual,
            value=truth.value,
            text=truth.text,
            time=received_ns if given is None or skewed else given,
            source=self.text("source"),
            annotator_kind=self.annotator_kind(),
            deleted=deleted,
            weight=self._weight(),
            skewed=skewed,
        )
        return row if row.label_id else replace(row, label_id=_record_id(row, given, truth))

    def target(self) -> str:
        """Which truth it tells."""
        return self.text("target") or semconv.DEFAULT_TARGET

    def kind(self) -> str:
        """What kind of truth that is."""
        return self._choice("kind", semconv.TARGET_KINDS)

    def annotator_kind(self) -> str | None:
        """Who told it."""
        return self._choice("annotator_kind", semconv.ANNOTATOR_KINDS) or None

    def _names_its_prediction(
        self,
        model: str | None,
        prediction_id: str | None,
        response_id: str | None,
        entity_id: str | None,
    ) -> None:
        if prediction_id is None and response_id is not None:
            return
        if model is None:
            said = "entity_id" if prediction_id is None and entity_id else "prediction_id"
            raise RefusedRecord(
                "missing_model",
                f"{self._names['model']} is missing: without it {self._names[said]} names no "
                "prediction",
            )
        if prediction_id is None and entity_id is None:
            raise RefusedRecord(
                "missing_prediction",
                f"the label names no prediction: give {self._names['prediction_id']}",
            )

    def _truth(self) -> _Truth:
        text = self.text("text")
        given = [field for field in TRUTHS if field != "text" and self._present(field)]
        if len(given) > 1 or not (given or text):
            spelled = ", ".join(self._names[field] for field in given) or "none"
            raise RefusedRecord(
                "ambiguous_value" if given else "missing_value",
                f"a label has exactly one of {', '.join(self._names[f] for f in TRUTHS)}; "
                f"this one has {spelled}",
            )
        truth = self.judgeable(given[0]) if given else _Truth()
        said = truth.said if text is None else {**truth.said, semconv.LABEL_TEXT: text}
        return replace(truth, text=text, said=said)

    def judgeable(self, field: str) -> _Truth:
        """The truth as text and as number."""
        attribute = ATTRIBUTES[field]
        given = self._fields[field]
        if field == "class":
            actual = self._class_text(field, given)
            return _Truth(actual, _number_in(actual), said={attribute: actual})
        if field == "value":
            value = self._number(field, given)
            return _Truth(semconv.class_text(value), value, said={attribute: value})
        if not isinstance(given, list):
            raise self._bad_type(field, "a list")
        if field == "classes":
            classes = [self._class_text(field, entry) for entry in given]
            return _Truth(class_set_text(classes), said={attribute: classes})
        numbers = [self._number(field, entry) for entry in given]
        actual = json.dumps(numbers, separators=(",", ":"))
        return _Truth(actual, said={attribute: numbers})

    def _item(self) -> str | None:
        """The item as the ranking spells it: a class."""
        if not self._present("item_id"):
            return None
        return self._class_text("item_id", self._fields["item_id"])

    def _relevance(self, item_id: str, truth: _Truth) -> _Truth:
        """The truth of one item: how relevant it was, as a number from 0 on."""
        value = {"true": 1.0, "false": 0.0}.get(truth.actual or "", truth.value)
        if not value >= 0.0:
            given = ", ".join(
                f"{self._names[field]} = {shown(self._fields[field])}"
                for field in TRUTHS
                if self._present(field)
            )
            raise RefusedRecord(
                "bad_relevance",
                f"{given} is not how relevant the item {item_id!r:.80} was: send "
                f"{self._names['value']} from 0 on, or {self._names['class']} true or false",
            )
        return replace(truth, value=value)

    def _present(self, field: str) -> bool:
        return self._fields.get(field) not in (None, "")

    def text(self, field: str) -> str | None:
        """A text, None where it is absent or empty."""
        value = self._fields.get(field)
        if isinstance(value, bool):
            raise self._bad_type(field, "a text")
        name = self._names.get(field, field)
        if field == "text":
            return checked_text(name, value, LABEL_TEXT_LENGTH_MAX)
        return checked_name(name, value)

    def _id(self, field: str) -> str | None:
        value = self._fields.get(field)
        if isinstance(value, bool):
            raise self._bad_type(field, "a text")
        return checked_id(self._names[field], value)

    def _choice(self, field: str, allowed: tuple[str, ...]) -> str:
        """One of a fixed set; the first where it is absent."""
        value = self._fields.get(field)
        if value in (None, ""):
            return "" if field == "annotator_kind" else allowed[0]
        if value not in allowed:
            raise RefusedRecord(
                f"unknown_{field}",
                f"{self._names[field]} = {shown(value)} is not one of {', '.join(allowed)}",
            )
        return str(value)

    def _class_text(self, field: str, value: object) -> str:
        if isinstance(value, str):
            checked_text(self._names[field], value)
        text = semconv.class_text(value) if isinstance(value, (str, int, float)) else None
        if isinstance(value, float) and text is None:
            raise self._not_finite(field, value)
        if not text:
            raise RefusedRecord(
                "bad_class",
                f"{self._names[field]} = {shown(value)} is no class: send a text, a number or a "
                "boolean",
            )
        checked_text(self._names[field], text)
        return text

    def _number(self, field: str, value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            or_class = f", or as {self._names['class']}" if field in TRUTHS else ""
            raise self._bad_type(field, f"a number; send it without quotes{or_class}")
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if not math.isfinite(number):
            raise self._not_finite(field, value)
        return number

    def _integer(self, field: str, low: int, high: int) -> int | None:
        value = self._fields.get(field)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int):
            raise self._bad_type(field, "an integer")
        if not low <= value <= high:
            raise RefusedRecord(
                f"bad_{field}", f"{self._names[field]} = {shown(value)} is not within {low}…{high}"
            )
        return value

    def _weight(self) -> float:
        value = self._fields.get("weight")
        weight = 1.0 if value is None else self._number("weight", value)
        if weight <= 0.0:
            raise RefusedRecord(
                "bad_weight", f"{self._names['weight']} = {weight} is not greater than 0"
            )
        return weight

    def _bad_type(self, field: str, wanted: str) -> RefusedRecord:
        value = shown(self._fields.get(field))
        return RefusedRecord("bad_type", f"{self._names[field]} = {value} is not {wanted}")

    def _not_finite(self, field: str, value: object) -> RefusedRecord:
        return RefusedRecord(
            "not_finite",
            f"{self._names[field]} = {shown(value)} is never a label; leave the label out",
        )


def _number_in(text: str) -> float:
    """The number a class text spells, NaN where it spells none."""
    number = float(text) if _NUMBER.fullmatch(text) else math.nan
    return number if math.isfinite(number) else math.nan


def _record_id(row: LabelRow, time: int | None, truth: _Truth) -> str:
    """A label's id made of what it says, as the SDK makes it of the attributes it sends.

    Neither the environment (the SDK's stands in the resource) nor a time of receipt is part of it:
    that differs when the same row is sent again.
    """
    said = {
        semconv.MODEL_NAME: row.model,
        semconv.MODEL_VERSION: row.version,
        semconv.PREDICTION_ID: row.prediction_id,
        semconv.PREDICTION_INDEX: row.index or None,
        semconv.PREDICTION_ITEM_ID: row.item_id,
        semconv.GEN_AI_RESPONSE_ID: row.response_id,
        semconv.ENTITY_ID: row.entity_id,
        semconv.TARGET_NAME: row.target,
        semconv.TARGET_KIND: row.kind,
        semconv.LABEL_TIME_UNIX_NANO: time,
        semconv.LABEL_SOURCE: row.source,
        semconv.LABEL_ANNOTATOR_KIND: row.annotator_kind,
        semconv.LABEL_REVISION: row.revision or None,
        semconv.LABEL_ACTION: "delete" if row.deleted else None,
        semconv.LABEL_WEIGHT: None if row.weight == 1.0 else row.weight,
        "link": None if row.link == NO_LINK else row.link,
        **truth.said,
    }
    return semconv.label_record_id(
        {name: value for name, value in said.items() if value is not None}
    )

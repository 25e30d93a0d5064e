"""A label record's fields → one checked row: the same rules for spans, logs and lines.

The three transports spell the fields differently (`inferspan.label.class`, `class`) and carry
the same Python values; what is checked here is said in the sender's own spelling.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Final

from inferspan import semconv
from inferspan_collector.decode.attributes import (
    RefusedRecord,
    checked_text,
    class_set_text,
    shown,
)
from inferspan_collector.decode.columns import NO_LINK, LabelRow
from inferspan_collector.decode.predictions import CLOCK_SKEW_MAX_NS, TIME_MAX_NS

ATTRIBUTES: Final[Mapping[str, str]] = {
    "id": semconv.LABEL_ID,
    "model": semconv.MODEL_NAME,
    "version": semconv.MODEL_VERSION,
    "prediction_id": semconv.PREDICTION_ID,
    "index": semconv.PREDICTION_INDEX,
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
"""Field of a label → the attribute that carries it."""

TRUTHS: Final = ("class", "classes", "value", "values", "text")
"""Fields of which a label has exactly one; only `text` may also stand beside another."""
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
    environment: str | None = None,
) -> LabelRow:
    """Check one label.

    Args:
        fields: its fields by the keys of `ATTRIBUTES`; None counts as absent. `time` in Unix ns.
            Without `id`, a hash of the content stands for it: the same content is the same label.
        names: field → how this transport spells it, for messages.
        received_ns: the time of receipt, Unix ns.
        link: the span it is about, `NO_LINK` where none is named.
        environment: the environment it comes from.

    Raises:
        RefusedRecord: it breaks a rule of the vocabulary.
    """
    return _Reader(fields, names).row(received_ns, link, environment)


class _Reader:
    def __init__(self, fields: Mapping[str, object], names: Mapping[str, str]) -> None:
        self._fields = fields
        self._names = names

    def row(self, received_ns: int, link: Link, environment: str | None) -> LabelRow:
        model = self._text("model")
        prediction_id = self._text("prediction_id", semconv.PREDICTION_ID_LENGTH_MAX)
        response_id = self._text("response_id")
        entity_id = self._text("entity_id")
        self._names_its_prediction(model, prediction_id, response_id, entity_id, link)
        deleted = self._choice("action", semconv.LABEL_ACTIONS) == "delete"
        actual, value, text = self._truth(deleted)
        given = self._integer("time", 1, TIME_MAX_NS)
        # A time ahead of us would win over every later correction.
        skewed = given is not None and given > received_ns + CLOCK_SKEW_MAX_NS
        row = LabelRow(
            label_id=self._text("id") or "",
            revision=self._integer("revision", 0, REVISION_MAX) or 0,
            environment=environment,
            model=model,
            version=self._text("version"),
            prediction_id=prediction_id,
            index=self._integer("index", 0, INDEX_MAX) or 0,
            link=link,
            response_id=response_id,
            entity_id=entity_id,
            target=self._text("target") or semconv.DEFAULT_TARGET,
            kind=self._choice("kind", semconv.TARGET_KINDS),
            actual=actual,
            value=value,
            text=text,
            time=received_ns if given is None or skewed else given,
            source=self._text("source"),
            annotator_kind=self._choice("annotator_kind", semconv.ANNOTATOR_KINDS) or None,
            deleted=deleted,
            weight=self._weight(),
            skewed=skewed,
        )
        return row if row.label_id else _with_content_id(row, given)

    def _names_its_prediction(
        self,
        model: str | None,
        prediction_id: str | None,
        response_id: str | None,
        entity_id: str | None,
        link: Link,
    ) -> None:
        resolved = link != NO_LINK or response_id is not None
        if model is None and not resolved:
            raise RefusedRecord(
                "missing_model",
                f"{self._names['model']} is missing: without it {self._names['prediction_id']} "
                "names no prediction",
            )
        if prediction_id is None and entity_id is None and not resolved:
            raise RefusedRecord(
                "missing_prediction",
                f"the label names no prediction: give {self._names['prediction_id']} or "
                f"{self._names['entity_id']}",
            )

    def _truth(self, deleted: bool) -> tuple[str | None, float, str | None]:
        if deleted:
            return None, math.nan, None
        text = self._text("text", LABEL_TEXT_LENGTH_MAX)
        given = [field for field in TRUTHS if field != "text" and self._present(field)]
        if len(given) > 1 or not (given or text):
            spelled = ", ".join(self._names[field] for field in given) or "none"
            raise RefusedRecord(
                "ambiguous_value" if given else "missing_value",
                f"a label has exactly one of {', '.join(self._names[f] for f in TRUTHS)}; "
                f"this one has {spelled}",
            )
        actual, value = self._classified(given[0]) if given else (None, math.nan)
        return actual, value, text

    def _classified(self, field: str) -> tuple[str, float]:
        """The truth as text and as number."""
        if field == "class":
            actual = self._class_text(field, self._fields[field])
            return actual, _number_in(actual)
        if field == "value":
            value = self._number(field, self._fields[field])
            return semconv.class_text(value) or "", value
        entries = self._fields[field]
        if not isinstance(entries, list):
            raise self._bad_type(field, "a list")
        if field == "classes":
            return class_set_text(self._class_text(field, entry) for entry in entries), math.nan
        numbers = [self._number(field, entry) for entry in entries]
        return json.dumps(numbers, separators=(",", ":")), math.nan

    def _present(self, field: str) -> bool:
        return self._fields.get(field) not in (None, "")

    def _text(self, field: str, length_max: int | None = None) -> str | None:
        value = self._fields.get(field)
        if isinstance(value, bool):
            raise self._bad_type(field, "a text")
        name = self._names.get(field, field)
        return checked_text(name, value, length_max) if length_max else checked_text(name, value)

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
            raise self._bad_type(field, "a number")
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


def content_id(content: Mapping[str, object]) -> str:
    """A label id made of what the label says: loading it twice gives the same id twice.

    Args:
        content: anything JSON can hold, NaN and bytes too.
    """
    canonical = json.dumps(content, sort_keys=True, default=repr)
    return hashlib.blake2b(canonical.encode("ascii"), digest_size=16).hexdigest()


def _with_content_id(row: LabelRow, time: int | None) -> LabelRow:
    # A time of receipt is no part of the content: it differs when the same row is sent again.
    content = {**asdict(row), "time": time, "skewed": None}
    return replace(row, label_id=content_id(content))

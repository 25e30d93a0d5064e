"""A label's value, time and options → the attributes of its record: pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import numpy as np

from inferspan import semconv
from inferspan.attributes import (
    CLASS_LENGTH_MAX,
    Attributes,
    name_fault,
    text,
    type_name,
)
from inferspan.foreign import is_missing
from inferspan.settings import checked_choice

Time = datetime | int | str
"""A datetime with offset, Unix nanoseconds, or an RFC 3339 text with offset."""

VALUES_MAX: Final = 4096
"""Members of a label that is a set of classes or a list of numbers."""
TEXT_LENGTH_MAX: Final = 16_384
"""Characters of a reference answer."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_NANOSECONDS_MIN: Final = 10**17
"""March 1973; a smaller integer is surely in seconds, milli- or microseconds."""
_INT64_MAX: Final = 2**63 - 1


class RefusedLabel(ValueError):
    """A label that cannot count; says the value, the rule and the remedy.

    Args:
        kind: which rule it is, the same for every value that breaks it.
        message: what is said.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class MissingTruth(RefusedLabel):
    """A label without a value: there is no truth yet, which is no mistake in a table."""


def check_options(model: str | None, kind: str, annotator_kind: str | None, action: str) -> str:
    """Check what is wrong whatever the data.

    Returns:
        The model's name.

    Raises:
        ValueError: no model, one that no prediction can have, or a choice that does not exist.
    """
    if not isinstance(model, str) or not model:
        raise ValueError(f"model={model!r}: a label names its model; write model='…'")
    if (fault := name_fault(model)) is not None:
        raise ValueError(f"model={model!r:.150} {fault}")
    checked_choice("kind", kind, semconv.TARGET_KINDS)
    checked_choice("action", action, semconv.LABEL_ACTIONS)
    if annotator_kind is not None:
        checked_choice("annotator_kind", annotator_kind, semconv.ANNOTATOR_KINDS)
    return model


@dataclass(frozen=True, slots=True, eq=False, repr=False, kw_only=True)
class LabelDetails:
    """What a label says besides its prediction and its value; unchecked, as the caller gave it."""

    model: str
    target: str = semconv.DEFAULT_TARGET
    time: object = None
    """When it became known; None or NaT = absent."""
    source: object = None
    kind: str = semconv.TARGET_KINDS[0]
    annotator_kind: str | None = None
    revision: object = 0
    """0 or more."""
    action: str = semconv.LABEL_ACTIONS[0]
    weight: object = None
    """Greater than 0."""
    index: object = None
    """Row of a batch call, 0 or more."""
    item_id: object = None
    """Which item of a ranking, a class."""
    version: object = None
    reference: object = None
    """A reference answer."""


def label_attributes(wire_id: str | None, value: object, details: LabelDetails) -> Attributes:
    """Make a label record, without its id.

    Args:
        wire_id: the prediction's id as it is sent; None refuses.
        value: as `inferspan.label` takes it.
        details: the rest.

    Raises:
        RefusedLabel: value, id, time or a number cannot count.
    """
    if wire_id is None:
        raise RefusedLabel(
            "prediction id", "the prediction's id is empty; give a string, integer or UUID"
        )
    reference = details.reference
    record: Attributes = {
        semconv.MODEL_NAME: _name("model", details.model),
        semconv.PREDICTION_ID: wire_id,
        semconv.TARGET_NAME: _name("target", details.target),
        semconv.TARGET_KIND: details.kind,
    }
    if details.action != semconv.LABEL_ACTIONS[0]:
        record[semconv.LABEL_ACTION] = details.action
    elif reference is None or value is not None:
        record.update(value_attributes(value))
    if reference is not None:
        if not isinstance(reference, str):
            raise RefusedLabel("text", f"text is a {type_name(type(reference))}; give a string")
        record[semconv.LABEL_TEXT] = text(reference, TEXT_LENGTH_MAX)
    if (known := time_ns(details.time)) is not None:
        record[semconv.LABEL_TIME_UNIX_NANO] = known
    for attribute, option in (
        (semconv.MODEL_VERSION, details.version),
        (semconv.LABEL_SOURCE, details.source),
        (semconv.LABEL_ANNOTATOR_KIND, details.annotator_kind),
    ):
        if not is_missing(option):
            record[attribute] = _name(attribute, option)
    for attribute, option in (
        (semconv.PREDICTION_INDEX, details.index),
        (semconv.LABEL_REVISION, details.revision),
    ):
        if not is_missing(option) and (number := _count(attribute, option)):
            record[attribute] = number
    if not is_missing(details.item_id):
        record[semconv.PREDICTION_ITEM_ID] = _item(details.item_id)
        if details.action == semconv.LABEL_ACTIONS[0]:
            _check_relevance(record)
    if not is_missing(details.weight):
        record[semconv.LABEL_WEIGHT] = _weight(details.weight)
    return record


def value_attributes(value: object) -> Attributes:
    """Write a label's value: `.class`, `.classes`, `.value` or `.values`.

    Raises:
        RefusedLabel: None, NaN, an infinity, an empty list, or a type that is no label.
    """
    plain = _plain(value)
    if isinstance(plain, (str, bool)):
        return {semconv.LABEL_CLASS: _class(plain) or ""}
    if isinstance(plain, (int, float)):
        return {semconv.LABEL_VALUE: _finite(plain)}
    if isinstance(plain, (set, frozenset)):
        plain = sorted(plain, key=lambda item: semconv.class_text(item) or "")
    elif isinstance(plain, np.ndarray) and plain.ndim == 1:
        plain = plain.tolist()
    if isinstance(plain, (list, tuple)):
        return _values([_plain(item) for item in plain])
    if is_missing(plain):
        raise MissingTruth(
            "no value",
            f"the value is {'None' if plain is None else 'missing'}: absence is no label; leave "
            "it out, or take a label back with action='delete'",
        )
    raise RefusedLabel(
        "value type",
        f"a {type_name(type(value))} is no label; give a class, a number, or a list of either",
    )


def time_ns(time: object) -> int | None:
    """A time as Unix nanoseconds; None where it is missing.

    Raises:
        RefusedLabel: no offset, another unit than nanoseconds, out of range, or no time at all.
    """
    if is_missing(time):
        return None
    if isinstance(time, str):
        try:
            time = datetime.fromisoformat(time)
        except ValueError:
            raise RefusedLabel(
                "time text", f"time {time!r:.60} is not RFC 3339; write 2026-11-21T06:00:00Z"
            ) from None
    if isinstance(time, datetime):
        if time.utcoffset() is None:
            raise RefusedLabel(
                "time offset",
                f"time {time.isoformat()} has no offset, so it names no moment; give a datetime "
                "with a time zone (pandas: .dt.tz_localize('UTC'))",
            )
        nanoseconds = (time - _EPOCH) // _MICROSECOND * 1000 + int(getattr(time, "nanosecond", 0))
    elif isinstance(time, (int, np.integer)) and not isinstance(time, bool):
        nanoseconds = int(time)
    else:
        raise RefusedLabel(
            "time type",
            f"a {type_name(type(time))} is no time; give a datetime with offset or nanoseconds",
        )
    if not _NANOSECONDS_MIN <= nanoseconds <= _INT64_MAX:
        raise RefusedLabel(
            "time unit",
            f"time {nanoseconds} is not Unix time in nanoseconds; multiply seconds by 10**9",
        )
    return nanoseconds


def _values(items: Sequence[Any]) -> Attributes:
    if len(items) > VALUES_MAX:
        raise RefusedLabel("values", f"{len(items)} values; a label holds at most {VALUES_MAX}")
    numbers = [item for item in items if isinstance(item, (int, float))]
    if items and len(numbers) == len(items) and not any(isinstance(i, bool) for i in items):
        return {semconv.LABEL_VALUES: [_finite(number) for number in numbers]}
    classes = [_class(item) for item in items]
    texts = [written for written in classes if written is not None]
    if len(texts) != len(items):
        raise RefusedLabel(
            "list", "a list holds something that is no class; give strings or numbers"
        )
    return {semconv.LABEL_CLASSES: texts}


def _class(value: object) -> str | None:
    if isinstance(value, str) and len(value) > CLASS_LENGTH_MAX:
        raise RefusedLabel(
            "class length",
            f"a class of {len(value):,} characters; one holds at most {CLASS_LENGTH_MAX:,}, a "
            "longer truth is a reference answer: give text=",
        )
    return semconv.class_text(value)


def _plain(value: object) -> object:
    if isinstance(value, np.generic) and value.dtype.kind in "biufU":
        return value.item()
    if isinstance(value, np.ndarray) and value.ndim == 0:
        return _plain(value[()])
    return value


def _finite(number: int | float) -> float:
    try:
        finite = float(number)
    except OverflowError:
        finite = math.inf
    if not math.isfinite(finite):
        raise RefusedLabel(
            "number", "the value is NaN, infinite or beyond float64; give a finite number"
        )
    return finite


def _name(what: str, value: object) -> str:
    written = semconv.class_text(value)
    if not written:
        raise RefusedLabel(
            f"name {what}", f"{what} is a {type_name(type(value))} or empty; give a text"
        )
    if (fault := name_fault(written)) is not None:
        raise RefusedLabel(f"name {what}", f"{what} {fault}")
    return text(written)


def _count(what: str, value: object) -> int:
    plain = _plain(value)
    number = isinstance(plain, (int, float)) and not isinstance(plain, bool)
    # In this order: int() of an infinity raises.
    if not number or not 0 <= plain < 2**31 or plain != int(plain):  # type: ignore[operator,call-overload]
        raise RefusedLabel(f"count {what}", f"{what} is no whole number from 0 on; count from 0")
    return int(plain)  # type: ignore[call-overload,no-any-return]


def _item(value: object) -> str:
    written = _class(_plain(value))
    if not written:
        raise RefusedLabel(
            "item",
            f"item_id is a {type_name(type(value))} or empty; name the item as the ranking does",
        )
    return written


def _check_relevance(record: Attributes) -> None:
    """Refuse what does not say how relevant an item was, as receivers do."""
    said: Any = record.get(semconv.LABEL_CLASS, record.get(semconv.LABEL_VALUE))
    try:
        relevance = float({"true": 1.0, "false": 0.0}.get(said, said))
    except (TypeError, ValueError):
        relevance = math.nan
    if not relevance >= 0.0:
        raise RefusedLabel(
            "relevance",
            "the value does not say how relevant the item was; give a number from 0 on, True or "
            "False",
        )


def _weight(value: object) -> float:
    plain = _plain(value)
    if isinstance(plain, bool) or not isinstance(plain, (int, float)) or not _finite(plain) > 0:
        raise RefusedLabel(
            "weight", "weight must be a finite number greater than 0; leave it out for 1"
        )
    return float(plain)

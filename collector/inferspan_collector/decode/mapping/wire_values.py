"""Values that a mapping found → attributes of the vocabulary, in the type that each has there."""

from __future__ import annotations

import re
from typing import Final, Literal

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue

from inferspan import semconv
from inferspan_collector.decode.attributes import RefusedRecord, Value, shown

Type = Literal["text", "number", "integer"]

_NUMBER: Final = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")
_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,19}")
_INT64: Final = range(-(2**63), 2**63)


def attribute(name: str, value: Value, kind: Type) -> KeyValue:
    """An attribute of the vocabulary.

    Numbers that came as text are read as numbers, floats where a text is wanted are written as
    classes are. What is of the wrong type otherwise is left for the reader to refuse.

    Raises:
        RefusedRecord: the wire cannot carry it: half a surrogate pair, an integer of over 64 bits.
    """
    return KeyValue(key=name, value=_any_value(name, value, kind))


def _any_value(name: str, value: Value, kind: Type) -> AnyValue:
    if isinstance(value, list):
        return AnyValue(
            array_value=ArrayValue(values=[_any_value(name, entry, kind) for entry in value])
        )
    value = _typed(value, kind)
    if value is None:
        return AnyValue()
    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    if isinstance(value, str):
        try:
            return AnyValue(string_value=value)
        except UnicodeEncodeError:
            raise RefusedRecord(
                "bad_text",
                f"{name} = {value!a:.80} holds half a surrogate pair; send valid Unicode",
            ) from None
    if isinstance(value, float):
        return AnyValue(double_value=value)
    if isinstance(value, int):
        if value not in _INT64:
            raise RefusedRecord(
                "bad_type", f"{name} = {shown(value)} is an integer of more than 64 bits"
            )
        return AnyValue(int_value=value)
    assert isinstance(value, bytes)
    return AnyValue(bytes_value=value)


def _typed(value: Value, kind: Type) -> Value:
    if kind == "text":
        if isinstance(value, int) and not isinstance(value, bool) and value not in _INT64:
            return str(value)
        return semconv.class_text(value) if isinstance(value, float) else value
    if isinstance(value, str):
        text = value.strip()
        if kind == "integer" and _INTEGER.fullmatch(text):
            return int(text)
        if kind == "number" and _NUMBER.fullmatch(text):
            return float(text)
    if kind == "integer" and isinstance(value, float) and value.is_integer():
        return int(value)
    if kind == "number" and isinstance(value, int) and value not in _INT64:
        # As JSON's own numbers are: too large for a double is no number.
        return float("inf") if value.bit_length() > 1023 else float(value)
    return value

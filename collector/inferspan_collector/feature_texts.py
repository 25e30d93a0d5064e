"""The texts of features as bytes, and back: as OTLP writes an array of texts."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue

_REMEMBERED: Final = 4096


@lru_cache(_REMEMBERED)
def array_bytes(texts: tuple[str | None, ...]) -> bytes:
    """Texts as an OTLP `ArrayValue`; None as the empty text."""
    values = [AnyValue(string_value=text or "") for text in texts]
    return ArrayValue(values=values).SerializeToString()


@lru_cache(_REMEMBERED)
def array_texts(content: bytes) -> tuple[str | None, ...]:
    """What `array_bytes` wrote, or a sender did; an empty text is None."""
    return tuple(each.string_value or None for each in ArrayValue.FromString(content).values)

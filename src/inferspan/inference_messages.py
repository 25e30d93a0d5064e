"""Messages of the Open Inference Protocol over gRPC, by whatever classes they were generated as.

https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_grpc.md
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from inferspan.arguments import Arguments, Keywords
from inferspan.attributes import NAME_LENGTH_MAX, text
from inferspan.inference_tensors import BYTES, answering, by_row, kept_as, tensors_of
from inferspan.integration import Asked
from inferspan.output_columns import ELEMENTS_MAX, Misfit

_TYPES: Final = {
    "BOOL": "?",
    "UINT8": "<u1",
    "UINT16": "<u2",
    "UINT32": "<u4",
    "UINT64": "<u8",
    "INT8": "<i1",
    "INT16": "<i2",
    "INT32": "<i4",
    "INT64": "<i8",
    "FP16": "<f2",
    "FP32": "<f4",
    "FP64": "<f8",
}
"""Type of a tensor → that of its raw contents."""
_LENGTH: Final = 4
"""Bytes of the length before each text of raw contents."""


def asked(arguments: Arguments, keywords: Keywords) -> Asked:
    """The model that a request asks."""
    request = arguments[0]
    version = str(request.model_version)
    return Asked(
        text(str(request.model_name), NAME_LENGTH_MAX),
        text(version, NAME_LENGTH_MAX) if version else None,
    )


def request_id(request: Any, *rest: Any, **keywords: Any) -> str | None:
    """The id of a request; None where it has none."""
    return str(getattr(request, "id", "")) or None


def inputs(arguments: Arguments, keywords: Keywords) -> Mapping[str, object]:
    """What the model is given, by name."""
    return tensors_of(arguments[0].inputs)


def answer(arguments: Arguments, keywords: Keywords, response: Any) -> object:
    """The output that is the answer.

    Raises:
        Misfit: it is not known which, or too large.
    """
    at = answering([output.name for output in response.outputs])
    output, raw = response.outputs[at], response.raw_output_contents
    if np.prod(tuple(output.shape), dtype=float) > ELEMENTS_MAX:
        raise Misfit(f"more than {ELEMENTS_MAX:,} numbers; call in smaller batches")
    if len(raw) > at:
        flat = of_raw(raw[at], output.datatype)
    else:
        filled = [values for _, values in output.contents.ListFields()]
        flat = np.array(list(filled[0]) if filled else [], kept_as(output.datatype))
    return by_row(flat.reshape(tuple(output.shape)))


def of_raw(raw: bytes, datatype: str) -> Any:
    """The values of a tensor in bytes, in a row.

    Raises:
        Misfit: a type that numpy has not, or texts that end before their last does.
    """
    if datatype != BYTES:
        if datatype not in _TYPES:
            raise Misfit(f"a tensor of type {datatype} is not read")
        return np.frombuffer(raw, _TYPES[datatype])
    texts, at = [], 0
    while at < len(raw):
        length = int.from_bytes(raw[at : at + _LENGTH], "little")
        at += _LENGTH
        texts.append(raw[at : at + length])
        at += length
    if at > len(raw):
        raise Misfit(
            f"texts of {at:,} bytes, of which {len(raw):,} came; look whether the answer was cut"
        )
    return np.array(texts, object)

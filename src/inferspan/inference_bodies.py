"""Bodies of the Open Inference Protocol over HTTP: JSON, and tensors in bytes that may follow it.

https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md
and its extension for binary tensors.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from inferspan import inference_messages
from inferspan.arguments import Arguments, Keywords
from inferspan.inference_tensors import answering, by_row, kept_as
from inferspan.output_columns import Misfit
from inferspan.sent_headers import HEADERS
from inferspan.served_requests import header_text

BODY_BYTES_MAX: Final = 1 << 22
"""Bytes of an answer that are read for its outputs."""
REQUEST_BYTES_MAX: Final = 1 << 16
"""Bytes of JSON that are read of a request that is given in bytes; tensors after it are none."""
_BINARY: Final = "inference-header-content-length"
"""How long the JSON is that comes before tensors in bytes."""
_BINARY_SIZE: Final = "binary_data_size"
_BYTES: Final = ("content", "data")
"""Under which names HTTP libraries take a body in bytes."""


def said(keywords: Keywords) -> Mapping[str, Any]:
    """What a request says in JSON, be it as an object or in bytes."""
    body = keywords.get("json")
    if body is None:
        raw = next((keywords[name] for name in _BYTES if keywords.get(name) is not None), None)
        if isinstance(raw, str | bytes | bytearray | memoryview):
            body = _json_of(raw, _header(keywords.get(HEADERS), _BINARY))
    return body if isinstance(body, Mapping) else {}


def _json_of(raw: str | bytes | bytearray | memoryview, length: str | None) -> object:
    """The JSON that a body is, or that comes before its tensors; None where it is not read."""
    try:
        size = len(raw) if length is None else int(length)
        if not 0 <= size <= REQUEST_BYTES_MAX:
            return None
        told = raw[:size]
        return json.loads(bytes(told) if isinstance(told, memoryview) else told)
    except (ValueError, RecursionError):  # for the server to refuse
        return None


def _header(headers: Any, name: str) -> str | None:
    """The value of a header; None where there is none."""
    given = headers or {}
    pairs = given.items() if hasattr(given, "items") else given
    return next((header_text(v) for n, v in pairs if header_text(n).lower() == name), None)


def _is_unread(keywords: Keywords, response: Any) -> bool:
    """Whether the answer is still to be read by the caller, who would find nothing after us."""
    # Of requests, whose sessions may stream without the call saying so, and of httpx.
    consumed = ("_content_consumed", "is_stream_consumed")
    return bool(keywords.get("stream")) or any(
        getattr(response, name, True) is False for name in consumed
    )


def answer(arguments: Arguments, keywords: Keywords, response: Any) -> object:
    """The output that is the answer.

    Raises:
        Misfit: it is not known which, is too large, or is for the caller to read.
    """
    if _is_unread(keywords, response):
        raise Misfit("a streamed answer is not read: it is the caller's")
    if len(response.content) > BODY_BYTES_MAX:
        raise Misfit(f"{len(response.content):,} bytes: at most {BODY_BYTES_MAX:,} are read")
    length = _header(response.headers, _BINARY)
    body = response.json() if length is None else json.loads(response.content[: int(length)])
    outputs = body["outputs"]
    at = answering([output["name"] for output in outputs])
    output = outputs[at]
    if length is not None and _BINARY_SIZE in output.get("parameters", {}):
        # What lies in bytes follows the JSON, in the order of the outputs.
        begins = int(length) + sum(_binary_size(before) for before in outputs[:at])
        raw = response.content[begins : begins + _binary_size(output)]
        values = inference_messages.of_raw(raw, output["datatype"])
    else:
        values = np.array(output["data"], kept_as(output["datatype"]))
    return by_row(values.reshape(output["shape"]))


def _binary_size(output: Mapping[str, Any]) -> int:
    return int(output.get("parameters", {}).get(_BINARY_SIZE, 0))

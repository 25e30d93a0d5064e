"""What an ONNX file says that its runtime does not: the classes its last nodes answer with.

Reads protobuf messages as they lie, without the package `onnx`: of the graph only the nodes that a
result comes from, and of initializers none but a list of classes. Numbers of fields are those of
onnx.proto; https://github.com/onnx/onnx/blob/main/onnx/onnx.proto.
"""

from __future__ import annotations

import hashlib
import mmap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from inferspan.attributes import CLASS_LENGTH_MAX

Label = int | str

HASHED_BYTES_MAX: Final = 64 << 20
"""Bytes of a model that are hashed: some 0.1 s."""

CLASSES_MAX: Final = 1024
"""More are no list of classes that anybody reads."""
_STEPS_MAX: Final = 64
"""Nodes between a result and what made it."""
_NODES_MAX: Final = 4096
"""Nodes at the end of a graph that are looked at."""
_GRAPH, _NODE, _INITIALIZER = 7, 1, 5
_INPUT, _OUTPUT, _OP_TYPE, _ATTRIBUTE = 1, 2, 4, 5
_ATTRIBUTE_NAME, _INTS, _STRINGS = 1, 8, 9
_DATA_TYPE, _INT32_DATA, _STRING_DATA, _INT64_DATA, _TENSOR_NAME, _RAW_DATA = 2, 5, 6, 7, 8, 9
_STRING_TYPE: Final = 8
_WIDTHS: Final = {6: "<i4", 7: "<i8"}
"""Types of elements that classes have, INT32 and INT64, and how one lies in `raw_data`."""
_LABELS: Final = frozenset((b"classlabels_ints", b"classlabels_int64s", b"classlabels_strings"))
_PASSING: Final = frozenset(
    (b"Cast", b"Identity", b"Reshape", b"Squeeze", b"Unsqueeze", b"Flatten", b"Normalizer")
)
"""Operators that change the form of a result, not what it is about."""
_CHOOSES: Final = b"ArrayFeatureExtractor"
"""Takes elements of its first input: of classes, where these are an initializer."""


@dataclass(frozen=True, slots=True)
class Origin:
    """What a result of a graph comes from."""

    operator: str
    """`LinearClassifier`, `ZipMap`…"""
    labels: tuple[Label, ...] = ()
    """The classes that it answers with, in the order of the columns of probabilities."""


@dataclass(frozen=True, slots=True)
class OnnxFile:
    """What a model says that was read from a file or from memory."""

    artifact_hash: str | None
    """`sha256:…`; None where it is larger than what is hashed, or not to be read."""
    origins: tuple[Origin | None, ...]
    """Of each result that was asked about."""


def read_file(model: str | bytes | None, outputs: Sequence[str | None]) -> OnnxFile:
    """Hash a model, and find what its results come from.

    Args:
        model: its path, or itself; None = not known. What lies beside the file, such as large
            weights, is not looked at.
        outputs: names of results; None stands for none.
    """
    if isinstance(model, bytes):
        return _read(memoryview(model), outputs)
    try:
        with (
            Path(model or "").open("rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped,
            memoryview(mapped) as view,
        ):
            return _read(view, outputs)
    except (OSError, ValueError):
        return OnnxFile(None, (None,) * len(outputs))


def _read(model: memoryview, outputs: Sequence[str | None]) -> OnnxFile:
    hashed = None
    if len(model) <= HASHED_BYTES_MAX:
        hashed = f"sha256:{hashlib.sha256(model).hexdigest()}"
    origins = (None if output is None else origin_of(model, output) for output in outputs)
    return OnnxFile(hashed, tuple(origins))


def origin_of(model: memoryview, output: str) -> Origin | None:
    """The operator that a result of a graph comes from; None where that is not found.

    Args:
        model: a serialized `ModelProto`; also one that is truncated or something else.
        output: the name of the result.

    Returns:
        The first operator, seen from the end, that does more than change a result's form.
    """
    try:
        graph = next(of for number, of in _fields(model) if number == _GRAPH)
        if isinstance(graph, int):
            return None
        return _origin(graph, output.encode())
    except (ValueError, IndexError, StopIteration):
        return None


def _origin(graph: memoryview, wanted: bytes) -> Origin | None:
    nodes = [node for number, node in _fields(graph) if number == _NODE]
    made_by: dict[bytes, memoryview] = {}
    for node in nodes[-_NODES_MAX:]:
        if not isinstance(node, int):
            made_by.update(dict.fromkeys(_texts(node, _OUTPUT), node))
    for _ in range(_STEPS_MAX):
        found = made_by.get(wanted)
        if found is None:
            return None
        operator = next(iter(_texts(found, _OP_TYPE)), b"")
        inputs = _texts(found, _INPUT)
        if operator == _CHOOSES:
            labels = _initializer(graph, inputs[0])
            return Origin(operator.decode(), labels) if labels else None
        if operator not in _PASSING or not inputs:
            return Origin(operator.decode("utf-8", "replace"), _labels(found))
        wanted = inputs[0]
    return None


def _labels(node: memoryview) -> tuple[Label, ...]:
    for number, attribute in _fields(node):
        if number != _ATTRIBUTE or isinstance(attribute, int):
            continue
        if next(iter(_texts(attribute, _ATTRIBUTE_NAME)), b"") in _LABELS:
            return _checked([*_numbers(attribute, _INTS), *_texts(attribute, _STRINGS)])
    return ()


def _initializer(graph: memoryview, name: bytes) -> tuple[Label, ...]:
    """The elements of a constant, where it is a list of integers or texts."""
    for number, constant in _fields(graph):
        if number != _INITIALIZER or isinstance(constant, int):
            continue
        if name not in _texts(constant, _TENSOR_NAME):
            continue
        kind = next((k for n, k in _fields(constant) if n == _DATA_TYPE), 0)
        if kind == _STRING_TYPE:
            return _checked([*_texts(constant, _STRING_DATA)])
        if kind not in _WIDTHS:
            return ()  # floats, say: values that are chosen from, but no classes
        raw = next((r for n, r in _fields(constant) if n == _RAW_DATA), b"")
        if raw and not isinstance(raw, int):
            return _checked(np.frombuffer(raw, _WIDTHS[kind])[: CLASSES_MAX + 1].tolist())
        return _checked([*_numbers(constant, _INT64_DATA), *_numbers(constant, _INT32_DATA)])
    return ()


def _checked(labels: list[int | bytes]) -> tuple[Label, ...]:
    if len(labels) > CLASSES_MAX or any(
        isinstance(label, bytes) and len(label) > CLASS_LENGTH_MAX for label in labels
    ):
        return ()
    return tuple(label.decode() if isinstance(label, bytes) else label for label in labels)


def _texts(message: memoryview, wanted: int) -> list[bytes]:
    found = (of for number, of in _fields(message) if number == wanted)
    return [bytes(of) for of in found if not isinstance(of, int)]


def _numbers(message: memoryview, wanted: int) -> list[int]:
    """Repeated integers, packed or not."""
    found: list[int] = []
    for number, of in _fields(message):
        if number != wanted:
            continue
        if isinstance(of, int):
            found.append(_signed(of))
            continue
        at = 0
        while at < len(of):
            value, at = _varint(of, at)
            found.append(_signed(value))
    return found


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Number and content of each field: an integer, or the bytes of what has a length.

    Raises:
        ValueError, IndexError: it is no message.
    """
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        number, kind = key >> 3, key & 7
        if kind == 0:
            value, at = _varint(message, at)
            yield number, value
            continue
        if kind == 2:
            length, at = _varint(message, at)
        elif kind in (1, 5):
            length = 8 if kind == 1 else 4
        else:
            raise ValueError(f"the wire type {kind} is none of protobuf's")
        if at + length > len(message):
            raise ValueError("a field is longer than its message")
        if kind == 2:
            yield number, message[at : at + length]
        at += length


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError("a number of more than 64 bits")

"""Tensors of the Open Inference Protocol: how they look, and which of an answer is the answer.

https://github.com/kserve/open-inference-protocol
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from inferspan.output_columns import Misfit

BYTES: Final = "BYTES"
"""The type of a tensor of texts."""
OUTPUTS_MAX: Final = 64
"""Outputs of an answer that are looked at."""
_LABELS: Final = frozenset(("label", "output_label", "predict"))
"""What exporters and runtimes call the output that is a class per row."""


@dataclass(frozen=True, slots=True)
class RemoteTensor:
    """A tensor as far as a message tells of it."""

    shape: tuple[int, ...]
    dtype: str


def told_tensors(given: Iterable[Mapping[str, Any]] | None) -> dict[str, RemoteTensor]:
    """The tensors that a message in JSON tells of, by name, wherever their values are."""
    return {
        str(one["name"]): RemoteTensor(tuple(map(int, one["shape"])), str(one["datatype"]))
        for one in given or ()
    }


def tensors_of(given: Iterable[Any] | None) -> dict[str, RemoteTensor]:
    """The same of a message's objects, of whatever class: each has `name`, `shape`, `datatype`."""
    return {
        str(one.name): RemoteTensor(tuple(map(int, one.shape)), str(one.datatype))
        for one in given or ()
    }


def answering(names: Sequence[str]) -> int:
    """Where the output stands that is the answer: the only one, or the one that is called `label`.

    Raises:
        Misfit: it is not known.
    """
    found = names[:OUTPUTS_MAX]
    answers = [at for at, name in enumerate(found) if len(found) == 1 or name in _LABELS]
    if len(answers) != 1:
        raise Misfit(
            f"{len(names)} outputs, of which none is known to be the answer; say so by "
            "@inferspan.predict(output=…) around the call"
        )
    # Probabilities beside it say nothing while nobody knows of which classes they are.
    return answers[0]


def kept_as(datatype: str) -> Any:
    """What numpy keeps values of a tensor as: texts as objects, for they may be bytes."""
    return object if datatype == BYTES else None


def by_row(array: Any) -> Any:
    """An output with one entry a row: texts as such, and a single column as a vector."""
    if array.dtype == object:  # as `kept_as`
        texts = [e.decode() if isinstance(e, bytes) else e for e in array.reshape(-1)]
        array = np.array(texts).reshape(array.shape)
    return array.reshape(-1) if array.ndim == 2 and array.shape[1] == 1 else array

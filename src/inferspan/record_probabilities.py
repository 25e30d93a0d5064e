"""Probabilities of all classes in slim records: which are kept, and their columns."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from itertools import chain

import numpy as np

from inferspan import semconv
from inferspan.attributes import Attributes, names_text
from inferspan.outputs import Output
from inferspan.packed_columns import code_dictionary, floats


def kept(output: Output, task: str | None, classes_max: int) -> bool:
    """Whether a slim record carries these: of a multiclass task, for which figures need them all.

    Args:
        output: an answer, with probabilities or not.
        task: the declared one.
        classes_max: the most classes to carry.
    """
    return (
        output.probabilities is not None
        and task == semconv.MULTICLASS
        and 2 <= len(output.names) <= classes_max
    )


def without(output: Output) -> Output:
    """The same answer without them; class and score, which follow from them, stay."""
    # A copy: the full span of the call may still have to be written.
    fewer = copy.copy(output)
    fewer.probabilities, fewer.names = None, ()
    return fewer


def add_probabilities(found: Attributes, outputs: Sequence[Output], counts: Sequence[int]) -> None:
    """Add the columns of a record.

    Args:
        found: the record's attributes; completed in place.
        outputs: of each call.
        counts: rows of each call.
    """
    lists: list[str | None] = []
    numbers: list[list[float]] = []
    for output, count in zip(outputs, counts, strict=True):
        given = output.probabilities
        fits = given is not None and len(given) == count * len(output.names)
        lists.extend([names_text(output.names) if fits else None] * count)
        if given is not None and fits:
            numbers.append(given)
    if not numbers:
        return
    packed = floats(np.fromiter(chain.from_iterable(numbers), np.float64))
    if packed is None:
        return
    found[semconv.RECORD_PROBABILITY_CLASSES], found[semconv.RECORD_PROBABILITY_CLASS_CODES] = (
        code_dictionary(lists)
    )
    found[semconv.RECORD_PROBABILITIES] = packed

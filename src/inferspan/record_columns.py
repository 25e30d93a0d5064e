"""Rows of slim records → columns: pure packing, as `docs/vocabulary.md` lays the record out."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, repeat
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from opentelemetry.trace import SpanContext

from inferspan import semconv
from inferspan.attributes import Attributes, names_text
from inferspan.capture import row_ids, rows_of, slice_texts
from inferspan.features import feature_columns
from inferspan.identity import random_bytes, uuid7s
from inferspan.outputs import Output
from inferspan.packed_columns import code_dictionary, flags, floats, unsigned
from inferspan.plans import PredictionPlan
from inferspan.record_probabilities import add_probabilities

if TYPE_CHECKING:
    # Importing inferspan need not wait for it.
    from numpy.typing import NDArray

Row = tuple[
    PredictionPlan,
    SpanContext,  # of the call; an invalid one is replaced by minted ids
    str | None,  # prediction id, None = not made yet
    list[Any] | None,  # ids of a batch's rows, as given
    int,  # start, Unix ns
    int,  # duration, ns
    str | None,  # error.type
    Output | None,
    dict[str, object],  # slices
    dict[str, object],  # features
]
"""One call of a model, as its thread left it: a plain tuple, the cheapest thing to make."""
PLAN: Final = 0
IDS: Final = 3
START: Final = 4
DURATION: Final = 5
OUTPUT: Final = 7
SLICES: Final = 8
FEATURES: Final = 9

_NOTHING: Final = Output()


def row_count(row: Row) -> int:
    """Predictions of a call."""
    rows = rows_of(row[IDS], row[OUTPUT])
    return 1 if rows is None else rows


def has_row_ids(row: Row) -> bool:
    """Whether each row of the call has an id of its own."""
    ids = row[IDS]
    return ids is not None and len(ids) == row_count(row)


def pack(rows: Sequence[Row], key: bytes | None) -> tuple[Attributes, int]:
    """Pack calls of one plan.

    Args:
        rows: at least one call, all of the same plan, none without predictions, and either all or
            none with ids of their rows.
        key: of the HMAC that replaces prediction ids.

    Returns:
        The record's attributes, and the Unix ns that its start offsets count from.
    """
    plans, contexts, ids, given, starts, durations, errors, outputs, _, _ = zip(*rows, strict=True)
    start = min(starts)
    found: Attributes = dict(plans[0].constants)
    found[semconv.RECORD_COUNT] = len(rows)
    found[semconv.RECORD_TRACE_IDS] = _wire_ids([each.trace_id for each in contexts], 16)
    found[semconv.RECORD_SPAN_IDS] = _wire_ids([each.span_id for each in contexts], 8)
    found[semconv.RECORD_SAMPLED] = flags([each.trace_flags.sampled for each in contexts])
    counts = [row_count(row) for row in rows]
    if has_row_ids(rows[0]):
        own = [row_ids(column, len(column), key, _unheard) or () for column in given]
        found[semconv.RECORD_IDS] = _ids(list(chain.from_iterable(own)))
    else:
        found[semconv.RECORD_IDS] = _ids(_prediction_ids(ids, starts, key))
    found[semconv.RECORD_START_OFFSETS] = unsigned([at - start for at in starts])
    found[semconv.RECORD_DURATIONS] = unsigned(durations)
    if any(errors):
        names, codes = code_dictionary(errors)
        found[semconv.RECORD_ERROR_TYPES] = names
        found[semconv.RECORD_ERROR_TYPE_CODES] = codes
    if counts.count(1) != len(counts):
        found[semconv.RECORD_ROW_COUNTS] = np.array(counts, "<u4").tobytes()
    answers = [output or _NOTHING for output in outputs]
    _add_outputs(found, answers, counts)
    add_probabilities(found, answers, counts)
    _add_slices(found, rows, counts)
    _add_features(found, rows, counts)
    return found, start


def _wire_ids(ids: Sequence[int], width: int) -> bytes:
    if 0 not in ids:
        return b"".join([each.to_bytes(width, "big") for each in ids])
    # A call without a span context still has to be told from others.
    return b"".join([each.to_bytes(width, "big") if each else random_bytes(width) for each in ids])


def _prediction_ids(
    ids: Sequence[str | None], starts: Sequence[int], key: bytes | None
) -> list[str]:
    texts = list(ids)
    missing = [position for position, each in enumerate(texts) if each is None]
    for position, made in zip(missing, uuid7s([starts[at] for at in missing]), strict=True):
        texts[position] = made
    if key is not None:
        texts = [semconv.prediction_id_text(each, key) for each in texts]
    return [each or "" for each in texts]


def _ids(texts: list[str]) -> bytes | list[str]:
    joined = "".join(texts)
    if len(joined) == 32 * len(texts) and all(len(each) == 32 for each in texts):
        try:
            packed = bytes.fromhex(joined)
        except ValueError:
            return texts
        if packed.hex() == joined:
            return packed
    return texts


def _add_outputs(found: Attributes, outputs: list[Output], counts: list[int]) -> None:
    if any(output.offsets is not None for output in outputs):
        _add_sets(found, outputs, counts)
    else:
        labels = _spread([o.classes or o.label for o in outputs], counts)
        if any(label is not None for label in labels):
            found[semconv.RECORD_CLASSES], found[semconv.RECORD_CLASS_CODES] = code_dictionary(
                labels
            )
    # A set's scores are of its entries. Where there are as many as rows, receivers of a full span
    # take them for the rows', so a record has to say the same.
    scores = [_scores_of_rows(o, n) for o, n in zip(outputs, counts, strict=True)]
    for name, column in (
        (semconv.RECORD_SCORES, scores),
        (semconv.RECORD_VALUES, [o.values or o.value for o in outputs]),
    ):
        if (packed := floats(_spread(column, counts))) is not None:
            found[name] = packed


def _scores_of_rows(output: Output, count: int) -> list[float] | float | None:
    if output.offsets is None or output.scores is None or len(output.scores) == count:
        return output.scores or output.score
    return None


def _spread(values: list[Any], counts: list[int]) -> list[Any]:
    """One entry per row: of a column its entries, of a single value as many of it as rows."""
    return list(
        chain.from_iterable(
            value if isinstance(value, list) and len(value) == count else repeat(value, count)
            for value, count in zip(values, counts, strict=True)
        )
    )


def _add_sets(found: Attributes, outputs: list[Output], counts: list[int]) -> None:
    entries: list[str | None] = []
    ends = [0]
    for output, count in zip(outputs, counts, strict=True):
        if output.offsets is None or output.classes is None:
            # A lone absent entry: this row has no answer, which is not the empty set.
            for _ in range(count):
                entries.append(None)
                ends.append(len(entries))
            continue
        begin = len(entries)
        entries.extend(output.classes)
        ends.extend(begin + end for end in output.offsets[1:])
    found[semconv.RECORD_CLASSES], found[semconv.RECORD_CLASS_CODES] = code_dictionary(entries)
    found[semconv.RECORD_CLASS_OFFSETS] = np.array(ends, "<u4").tobytes()


def _add_slices(found: Attributes, rows: Sequence[Row], counts: list[int]) -> None:
    keys = {key: None for row in rows for key in row[SLICES] if key and "." not in key}
    for key in keys:
        column: list[str | None] = []
        for row, count in zip(rows, counts, strict=True):
            words = None
            if key in row[SLICES]:
                words = slice_texts(row[SLICES][key], rows_of(row[IDS], row[OUTPUT])) or None
            column.extend(words if isinstance(words, list) else repeat(words, count))
        if any(word is not None for word in column):
            names, codes = code_dictionary(column)
            found[semconv.RECORD_SLICE_PREFIX + key] = names
            found[semconv.RECORD_SLICE_CODES_PREFIX + key] = codes


def _add_features(found: Attributes, rows: Sequence[Row], counts: list[int]) -> None:
    if not any(row[FEATURES] for row in rows):
        return
    total = sum(counts)
    numeric: dict[str, NDArray[np.float64]] = {}
    texts: dict[str, list[str | None]] = {}
    at = 0
    for row, count in zip(rows, counts, strict=True):
        numbers, words, _ = feature_columns(row[FEATURES], rows_of(row[IDS], row[OUTPUT]))
        for name, column in numbers.items():
            whole = numeric.get(name)
            if whole is None:
                whole = numeric[name] = np.full(total, np.nan)
            whole[at : at + count] = column
        for name, column_of_texts in words.items():
            texts.setdefault(name, [None] * total)[at : at + count] = [
                word or None for word in column_of_texts
            ]
        at += count
    if numeric:
        data = floats(np.concatenate(list(numeric.values())))
        if data is not None:
            found[semconv.RECORD_FEATURE_NAMES] = names_text(tuple(numeric))
            found[semconv.RECORD_FEATURE_DATA] = data
    for name, words_or_none in texts.items():
        names, codes = code_dictionary(words_or_none)
        found[semconv.RECORD_CATEGORY_PREFIX + name] = names
        found[semconv.RECORD_CATEGORY_CODES_PREFIX + name] = codes


def _unheard(what: str, reason: str, beside: str = "") -> None:
    """A slim record has no room for what was dropped; full spans of the model say it."""

"""The features of predictions: checked for their lengths, and not kept by this version.

What is wrong with them costs the prediction nothing; it is said, and counted.
"""

from __future__ import annotations

from inferspan import semconv
from inferspan_collector.decode.attributes import Attributes, RefusedRecord
from inferspan_collector.decode.outputs import disagree
from inferspan_collector.decode.packed_columns import (
    coded,
    floats,
    json_names,
    required,
    width_of,
)

_DOUBLE: tuple[int, ...] = (8,)


def fault_in_span(attributes: Attributes, rows: int) -> RefusedRecord | None:
    """What is wrong with the features of a prediction span of so many rows, if anything."""
    try:
        if semconv.FEATURE_NAMES in attributes or semconv.FEATURE_DATA in attributes:
            names = json_names(attributes, semconv.FEATURE_NAMES)
            raw = required(attributes, semconv.FEATURE_DATA)
            width_of(semconv.FEATURE_DATA, raw, len(names) * rows, _DOUBLE)
        name = semconv.FEATURE_CATEGORY_VALUES
        if semconv.FEATURE_CATEGORY_NAMES in attributes or name in attributes:
            names = json_names(attributes, semconv.FEATURE_CATEGORY_NAMES)
            values = attributes.class_texts(name) or []
            if len(values) != len(names) * rows:
                rule = f"{len(names)} features of {rows} rows need {len(names) * rows}"
                raise disagree(name, len(values), rule)
    except RefusedRecord as fault:
        return fault
    return None


def fault_in_record(attributes: Attributes, rows: int) -> RefusedRecord | None:
    """What is wrong with the features of a slim record of so many rows, if anything."""
    try:
        if semconv.RECORD_FEATURE_NAMES in attributes or semconv.RECORD_FEATURE_DATA in attributes:
            names = json_names(attributes, semconv.RECORD_FEATURE_NAMES)
            required(attributes, semconv.RECORD_FEATURE_DATA)
            floats(attributes, semconv.RECORD_FEATURE_DATA, len(names) * rows)
        prefixes = semconv.RECORD_CATEGORY_PREFIX, semconv.RECORD_CATEGORY_CODES_PREFIX
        keys = {
            name.removeprefix(prefix)
            for name in attributes
            for prefix in prefixes
            if name.startswith(prefix)
        }
        for key in sorted(keys):
            name, codes_name = (prefix + key for prefix in prefixes)
            coded(attributes, codes_name, rows, name, attributes.class_texts(name))
    except RefusedRecord as fault:
        return fault
    return None

"""The fields of a label as lines of JSON and columns of files name them."""

from __future__ import annotations

from typing import Final

SUBJECTS: Final = ("prediction_id", "entity_id")
"""Fields that hold an id of the user's own; senders may key them."""
TRUTHS: Final = ("class", "classes", "value", "values", "text")
"""Fields of which a label has exactly one; only `text` may also stand beside another."""
FIELDS: Final = (
    *SUBJECTS,
    "index",
    "item_id",
    "model",
    "version",
    "environment",
    "target",
    *TRUTHS,
    "time",
    "id",
    "source",
    "kind",
    "annotator_kind",
    "revision",
    "action",
    "weight",
)
"""What a line or a row may hold."""

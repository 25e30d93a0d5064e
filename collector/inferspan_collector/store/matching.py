"""Which predictions a label is about: one definition for the join, dry runs and look-ups."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from inferspan_collector.config import Config
from inferspan_collector.store.database import sql

_MATCH: Final = sql("inferspan_collector.store", "match.sql")
_WINDOW: Final = sql("inferspan_collector.store", "window.sql")


def matching(labels: str, predictions: str, windows: str) -> str:
    """The query for (label_row, prediction_row, late) of labels and what they are about.

    `late`: the two were received further apart than the label's window, so they do not join.
    Links are looked up in `near_predictions`, so that their targets have to be there.

    Args:
        labels: name of a relation with the columns of `full_rows.labels`.
        predictions: name of a relation with the columns of `full_rows.predictions`.
        windows: what `windows_of` says.
    """
    matches = _MATCH.format(labels=labels, predictions=predictions)
    return _WINDOW.format(matches=matches, labels=labels, predictions=predictions, windows=windows)


def windows_of(config: Config) -> str:
    """The label windows as a relation; see `lengths_of`."""
    return lengths_of(config.label_window_ns, config.label_windows_ns)


def lengths_of(otherwise_ns: int, lengths_ns: Mapping[tuple[str, str], int]) -> str:
    """Spans of time as a relation of (model, target, length in ns); model NULL = any other."""
    rows = [
        f"(NULL, NULL, {otherwise_ns}::BIGINT)",
        *(
            f"({_quoted(model)}, {_quoted(target)}, {length}::BIGINT)"
            for (model, target), length in lengths_ns.items()
        ),
    ]
    return f"(SELECT * FROM (VALUES {', '.join(rows)}) AS w(model, target, length))"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"

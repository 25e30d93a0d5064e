"""Which predictions a label is about: one definition for the join, dry runs and look-ups."""

from __future__ import annotations

from inferspan_collector.store.database import sql

_MATCH = sql("inferspan_collector.store", "match.sql")


def matching(labels: str, predictions: str) -> str:
    """The query for (label_row, prediction_row) of labels and the predictions they are about.

    Args:
        labels: name of a relation with the columns of the table `labels`.
        predictions: name of a relation with the columns of the table `predictions`.
    """
    return _MATCH.format(labels=labels, predictions=predictions)

"""Classes that labels of a dry run name and no prediction says: another spelling, or a rare class.

A label `true` of a prediction `1` joins, and is judged wrong in silence.
"""

from __future__ import annotations

import contextlib
from typing import Any, Final

from inferspan.semconv import class_text
from inferspan_collector.cli.client import Client, Refused
from inferspan_collector.cli.printable import quoted

CLASSES_MAX: Final = 100
"""Classes of a file that are looked at, the first ones."""
PREDICTIONS_READ: Final = 1_000
"""The newest ones, of which the classes that a model says are those that it says there."""


class LabelledClasses:
    """Which classes the joined rows of a file name."""

    def __init__(self) -> None:
        self._named: dict[str, None] = {}

    def add(self, record: dict[str, Any]) -> None:
        """Note the class of a row, or its number, which is one where the model says classes."""
        text = class_text(record.get("class", record.get("value")))
        if text is not None and len(self._named) < CLASSES_MAX:
            self._named[text] = None

    def unsaid(self, client: Client, model: str) -> str:
        """What to say of classes that no prediction names; empty where there are none."""
        with contextlib.suppress(Refused):
            rows = client.predictions(model, limit=PREDICTIONS_READ)
            said = sorted({row["predicted"] for row in rows if row["predicted"] is not None})
            never = [name for name in self._named if name not in said]
            if said and never:
                return (
                    f"labels say {quoted(never)}, which none of the newest predictions says: "
                    f"{model} says {quoted(said)}; if it is another spelling, send what it says, "
                    f"or set models.{model}.class_aliases, unless that is done"
                )
        return ""

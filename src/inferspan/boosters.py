"""What boosters of trees have in common, whichever library made them: an objective says it all."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from inferspan import semconv
from inferspan.integration import Description


def described(
    model: object,
    framework: str,
    *,
    objective: str | None,
    task: str | None,
    classes: int,
    columns: Iterable[str],
) -> Description:
    """A booster, which knows its classes by their numbers alone.

    Args:
        model: the booster.
        framework: who made it.
        objective: what it was trained for, in the library's words; None = it does not say.
        task: what that means; None = nothing that is known here.
        classes: how many there are, where there are several.
        columns: names of its features.
    """
    count = {semconv.BINARY: 2, semconv.MULTICLASS: classes}.get(task or "", 0)
    return Description(
        name=type(model).__name__,
        framework=framework,
        task=task,
        classes=tuple(range(count)),
        positive=1 if task == semconv.BINARY else None,
        columns=tuple(columns),
        form=objective or "",
    )


def likelier(probabilities: Any) -> dict[str, Any]:
    """The class above one half of probabilities of the class 1, as their scikit-learn APIs say."""
    found = np.asarray(probabilities)
    if found.shape == (1,):  # most calls: as one answer it is read at once
        score = float(found[0])
        return {"label": "1" if score > 0.5 else "0", "score": score}
    return {"label": (found > 0.5).astype(int), "score": probabilities}

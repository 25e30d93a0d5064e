"""A path into a JSON document: `$.choices[0].label`, `$["a b"]`, `$.outputs[*].data`."""

from __future__ import annotations

import json
import re
from typing import Final

STEPS_MAX: Final = 32
EVERY: Final = None
"""The step `[*]`: every entry of an array."""

Step = str | int | None
_STEP: Final = re.compile(
    r"""\.(?P<name>[^.\[\]"\s]+)|\[(?P<index>-?[0-9]{1,9})\]|\[(?P<quoted>"(?:[^"\\]|\\.)*")\]|\[\*\]"""
)


def parse_json_path(path: str) -> tuple[Step, ...]:
    """The steps of a path: a key, an index (from the end where negative), or `EVERY`.

    Raises:
        ValueError: it is none; the message shows how one is written.
    """
    steps: list[Step] = []
    at = 1
    while at < len(path) and path[:1] == "$":
        match = _STEP.match(path, at)
        if match is None:
            break
        if match["name"] is not None:
            steps.append(match["name"])
        elif match["index"] is not None:
            steps.append(int(match["index"]))
        elif match["quoted"] is not None:
            steps.append(str(json.loads(match["quoted"])))
        else:
            steps.append(EVERY)
        at = match.end()
    if path[:1] != "$" or at < len(path):
        raise ValueError(
            f"{path!r} is no path into JSON (wrong from {path[at:][:20]!r} on); write it as "
            '$.choices[0].label, $["a key"] or $.outputs[*].data'
        )
    if len(steps) > STEPS_MAX or steps.count(EVERY) > 1:
        raise ValueError(f"{path!r} has more than {STEPS_MAX} steps, or more than one [*]")
    return tuple(steps)


def follow(document: object, steps: tuple[Step, ...]) -> object:
    """What stands at the path; None where nothing does. With `[*]` a list of what stands there."""
    for position, step in enumerate(steps):
        if step is EVERY:
            if not isinstance(document, list):
                return None
            return [follow(entry, steps[position + 1 :]) for entry in document]
        if isinstance(step, str):
            document = document.get(step) if isinstance(document, dict) else None
        elif isinstance(document, list) and -len(document) <= step < len(document):
            document = document[step]
        else:
            return None
    return document

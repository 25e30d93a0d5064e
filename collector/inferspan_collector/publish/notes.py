"""Why an answer may be empty: what was asked for that no prediction has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from inferspan_collector.config import Model
from inferspan_collector.store.cell_queries import SLICE
from inferspan_collector.store.cells import ModelSummary
from inferspan_collector.store.reader import Reader

KNOWN_NAMED_MAX: Final = 20
"""Values that a note names as those there are."""


def notes(
    values: Mapping[str, str],
    model: ModelSummary,
    section: Model,
    reader: Reader,
    by: Iterable[str] = (),
) -> list[str]:
    """One line per value that is unknown, with what is known; mostly none.

    Args:
        values: the parameters of the question.
        model: what predictions have shown of the model.
        section: what the configuration says of it; its targets are known too.
        reader: asked for slices and labels where the question names them.
        by: the keys grouped by.
    """
    found = [
        _note(f"{name}={values[name]}", f"no prediction of {model.model} has it", known)
        for name, known in (
            ("environment", model.environments),
            ("service", model.services),
            ("version", model.versions),
        )
        # An empty value asks for those without one.
        if values.get(name, "") not in ("", *known)
    ]
    target = values.get("target")
    if target is not None:
        joined = reader.labelled().get(model.model, {})
        targets = {*joined, *section.targets, section.primary_target}
        if target not in targets:
            said = f"no label of {model.model} has joined for it"
            found.append(_note(f"target={target}", said, targets))
    if not any(name.startswith(SLICE) for name in (*values, *by)):
        return found
    slices = reader.slice_values(model.model)
    for key in by:
        if key.startswith(SLICE) and key.removeprefix(SLICE) not in slices:
            found.append(_no_slice(f"by={key}", model, slices))
    for name, value in values.items():
        if not name.startswith(SLICE):
            continue
        known = slices.get(name.removeprefix(SLICE))
        if known is None:
            found.append(_no_slice(f"{name}={value}", model, slices))
        elif value not in known:
            found.append(_note(f"{name}={value}", f"no prediction of {model.model} has it", known))
    return found


def listed(values: Iterable[str]) -> str:
    """Some of the values by name, and how many more there are."""
    known = sorted(values)
    more = len(known) - KNOWN_NAMED_MAX
    return f"{', '.join(known[:KNOWN_NAMED_MAX])}{f' and {more} more' if more > 0 else ''}"


def _no_slice(asked: str, model: ModelSummary, slices: Mapping[str, tuple[str, ...]]) -> str:
    said = f"no prediction of {model.model} has that slice"
    return _note(asked, said, (f"{SLICE}{key}" for key in slices))


def _note(asked: str, said: str, known: Iterable[str]) -> str:
    return f"{asked}: {said}; known: {listed(known) or 'none'}"

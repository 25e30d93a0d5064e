"""What `import inferspan` offers is on purpose, and small."""

from __future__ import annotations

import types

import inferspan

TYPES = {"PredictionRef"}
"""For annotations: what is given out, and never made by hand."""

NOT_OURS = {"annotations", "TYPE_CHECKING", "import_module"}


def test_the_public_names_are_those_in_all() -> None:
    public = {
        name
        for name in dir(inferspan)
        if not name.startswith("_") and not isinstance(getattr(inferspan, name), types.ModuleType)
    }
    assert public - NOT_OURS == set(inferspan.__all__) | TYPES


def test_all_is_sorted_and_at_most_twelve() -> None:
    assert list(inferspan.__all__) == sorted(inferspan.__all__)
    assert len(inferspan.__all__) <= 12


def test_every_public_name_says_what_it_is() -> None:
    undocumented = [n for n in inferspan.__all__ if not (getattr(inferspan, n).__doc__ or "")]
    assert undocumented == []

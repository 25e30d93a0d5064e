"""ADWIN beside river's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from river.drift import ADWIN

from inferspan_collector.drift.adaptive_windowing import AdaptiveWindow, changes


@st.composite
def streams(draw: st.DrawFn) -> list[float]:
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    levels = draw(st.lists(st.floats(0, 1), min_size=1, max_size=4))
    parts = [rng.random(draw(st.integers(1, 800))) < level for level in levels]
    values = np.concatenate(parts).astype(float)
    if draw(st.booleans()):
        values = values * 1_000 + rng.normal(size=len(values))
    return [float(value) for value in values]


@given(stream=streams(), delta=st.sampled_from([0.002, 0.05, 1e-6]))
def test_it_changes_when_rivers_does_and_keeps_the_same_window(
    stream: list[float], delta: float
) -> None:
    ours, theirs = AdaptiveWindow(delta), ADWIN(delta)
    for value in stream:
        changed = ours.update(value)
        theirs.update(value)
        assert changed == theirs.drift_detected
        assert ours.width == theirs.width
        assert ours.mean == pytest.approx(theirs.estimation, abs=1e-9)


def test_a_fall_of_accuracy_is_found_and_said_once() -> None:
    rng = np.random.default_rng(0)
    errors = np.concatenate([rng.random(3_000) < 0.05, rng.random(3_000) < 0.25]).astype(float)
    (change,) = changes(errors.tolist())
    assert 3_000 < change.position < 3_300
    assert change.before < change.after


@pytest.mark.parametrize("stream", [[], [1.0], [0.0] * 5_000, [1e300] * 100])
def test_nothing_changes_where_nothing_does(stream: list[float]) -> None:
    assert changes(stream) == []

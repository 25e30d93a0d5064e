"""Thresholds learnt from windows: NannyML's rule, and the published windows' own."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferspan_collector.drift.thresholds import Thresholds, learnt


@given(st.lists(st.floats(0, 1), min_size=5, max_size=30), st.floats(0, 5))
def test_mean_and_deviations_of_the_windows(values: list[float], deviations: float) -> None:
    thresholds = learnt(np.array(values), deviations)
    spread = deviations * np.std(values)
    assert thresholds.low == pytest.approx(np.mean(values) - spread, abs=1e-12)
    assert thresholds.high == pytest.approx(np.mean(values) + spread, abs=1e-12)


def test_a_threshold_stands_where_the_figure_ends_at_the_furthest() -> None:
    thresholds = learnt(np.array([0.0, 0.1] * 3), least=0.0, greatest=1.0)
    assert thresholds == Thresholds(low=0.0, high=pytest.approx(0.2))
    ends = learnt(np.array([0.0, 1.0] * 3), least=0.0, greatest=1.0)
    assert ends == Thresholds(0.0, 1.0)
    # Where nothing is beyond it, so that nothing alerts.
    assert not ends.alerts(np.array([0.0, 0.5, 1.0])).any()


@pytest.mark.parametrize("values", [[], [0.5], [0.5, 0.6, 0.5, 0.4], [0.1, 0.2, 0.3, 0.4, np.inf]])
def test_nothing_is_learnt_of_fewer_than_five_windows(values: list[float]) -> None:
    assert learnt(np.array(values)) == Thresholds()


def test_alerts_are_strictly_outside_and_never_of_nan() -> None:
    values = np.array([0.1, 0.2, 0.5, 0.8, 0.9, np.nan])
    assert Thresholds(0.2, 0.8).alerts(values).tolist() == [True, *[False] * 3, True, False]
    assert not Thresholds().alerts(values).any()

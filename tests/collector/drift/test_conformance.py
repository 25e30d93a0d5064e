"""What every distance and every check holds, whichever it is: new ones are found by themselves."""

from __future__ import annotations

import numpy as np
import pytest
from drift_values import Case, categories, numbers
from hypothesis import given
from hypothesis import strategies as st

from inferspan_collector.drift.bins import freeze_categories, freeze_numbers
from inferspan_collector.drift.checks import CHECKS
from inferspan_collector.drift.methods import CATEGORY, METHODS, NUMBER

CASES = {NUMBER: numbers(), CATEGORY: categories()}
METHOD_KINDS = [(name, kind) for name, method in METHODS.items() for kind in sorted(method.KINDS)]
CHECK_KINDS = [(name, kind) for name, check in CHECKS.items() for kind in sorted(check.KINDS)]


@pytest.mark.parametrize(("name", "kind"), METHOD_KINDS)
@given(data=st.data())
def test_a_distance_is_a_number_in_its_range_or_nan_where_a_side_is_empty(
    name: str, kind: str, data: st.DataObject
) -> None:
    case = data.draw(CASES[kind])
    reference, window = case.whole(case.reference), case.whole(case.window)
    (distance,) = METHODS[name].distances(reference, window, case.bins)
    assert np.isnan(distance) == (window.values[0] == 0)
    if not np.isnan(distance):
        limit = METHODS[name].LIMIT
        assert 0 <= distance <= (np.inf if limit is None else limit)


@pytest.mark.parametrize(("name", "kind"), METHOD_KINDS)
@given(data=st.data())
def test_the_reference_has_no_distance_from_itself(
    name: str, kind: str, data: st.DataObject
) -> None:
    case = data.draw(CASES[kind])
    reference = case.whole(case.reference)
    (distance,) = METHODS[name].distances(reference, reference, case.bins)
    assert distance == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(("name", "kind"), METHOD_KINDS)
@given(data=st.data())
def test_all_windows_at_once_are_as_far_as_one_by_one(
    name: str, kind: str, data: st.DataObject
) -> None:
    case = data.draw(CASES[kind])
    windows = np.array(
        data.draw(
            st.lists(st.integers(0, 3), min_size=len(case.window), max_size=len(case.window))
        ),
        dtype=np.int64,
    )
    reference, counts = case.whole(case.reference), case.counted(case.window, windows, 4)
    together = METHODS[name].distances(reference, counts, case.bins)
    for window in range(4):
        alone = counts.take(np.array([window]))
        (one,) = METHODS[name].distances(reference, alone, case.bins)
        np.testing.assert_allclose(together[window], one, rtol=1e-12, atol=1e-15)


def split(case: Case, data: st.DataObject) -> list[np.ndarray]:
    """The rows of the window in two parts, in any order."""
    rows = np.array(data.draw(st.permutations(range(len(case.window)))), dtype=np.int64)
    cut = data.draw(st.integers(0, len(rows)))
    return [rows[:cut], rows[cut:]]


@pytest.mark.parametrize("kind", CASES)
@given(data=st.data())
def test_counts_of_parts_add_up_to_the_counts_of_the_whole(kind: str, data: st.DataObject) -> None:
    case = data.draw(CASES[kind])
    parts = []
    for rows in split(case, data):
        values = (
            case.window[rows]
            if isinstance(case.window, np.ndarray)
            else [case.window[row] for row in rows]
        )
        parts.append(case.whole(values))
    merged, whole = parts[0] + parts[1], case.whole(case.window)
    for integers in (
        "inside", "below", "above", "missing", "mistyped", "low", "high", "n_values", "n_rows",
        "squares",
    ):  # fmt: skip
        np.testing.assert_array_equal(getattr(merged, integers), getattr(whole, integers))
    for sums in ("below_sum", "above_sum"):
        np.testing.assert_allclose(getattr(merged, sums), getattr(whole, sums), rtol=1e-12)
    assert whole.rows[0] == len(case.window)


@pytest.mark.parametrize("kind", CASES)
@given(data=st.data())
def test_windows_together_are_the_counts_of_all_their_rows(kind: str, data: st.DataObject) -> None:
    case = data.draw(CASES[kind])
    windows = np.arange(len(case.window), dtype=np.int64) % 3
    together = case.counted(case.window, windows, 3).together()
    whole = case.whole(case.window)
    np.testing.assert_array_equal(together.inside, whole.inside)
    np.testing.assert_array_equal(together.rows, whole.rows)
    np.testing.assert_array_equal(together.n_values, whole.n_values)
    np.testing.assert_array_equal(together.low, whole.low)


def repeated(
    values: np.ndarray | list[str | None], times: np.ndarray
) -> np.ndarray | list[str | None]:
    if isinstance(values, np.ndarray):
        return np.repeat(values, times)
    return [value for value, n in zip(values, times.tolist(), strict=True) for _ in range(n)]


@pytest.mark.parametrize("kind", CASES)
@given(data=st.data())
def test_a_row_that_stands_for_several_counts_as_they_do(kind: str, data: st.DataObject) -> None:
    case = data.draw(CASES[kind])
    seed = data.draw(st.integers(0, 2**32))
    times = np.random.default_rng(seed).integers(1, 5, len(case.window))
    weighed = case.whole(case.window, times.astype(np.float64))
    every = case.whole(repeated(case.window, times))
    plain = case.whole(case.window)
    for name in ("inside", "below", "above", "missing", "mistyped", "low", "high"):
        np.testing.assert_array_equal(getattr(weighed, name), getattr(every, name))
    for name in ("n_values", "n_rows"):
        np.testing.assert_array_equal(getattr(weighed, name), getattr(plain, name))
    reference = case.whole(case.reference)
    for name, method in METHODS.items():
        if kind in method.KINDS:
            found = method.distances(reference, weighed, case.bins)
            expected = method.distances(reference, every, case.bins)
            if name == "chi_squared":
                # As sure as so many rows as their weights are worth, not as all they stand for.
                assert np.isnan(found) == np.isnan(expected)
                continue
            np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)
    for name, check in CHECKS.items():
        if kind in check.KINDS and name != "constant":
            np.testing.assert_allclose(check.shares(weighed), check.shares(every), rtol=1e-12)


@given(data=st.data(), each=st.sampled_from([0.25, 3.0, 1e6]))
def test_rows_that_weigh_alike_are_as_far_as_rows_that_weigh_one(
    data: st.DataObject, each: float
) -> None:
    case = data.draw(CASES["category"])
    reference, plain = case.whole(case.reference), case.whole(case.window)
    alike = case.whole(case.window, np.full(len(case.window), each))
    chi_squared = METHODS["chi_squared"]
    np.testing.assert_allclose(
        chi_squared.distances(reference, alike, case.bins),
        chi_squared.distances(reference, plain, case.bins),
        rtol=1e-6,
        atol=1e-9,
    )


@pytest.mark.parametrize(("name", "kind"), CHECK_KINDS)
@given(data=st.data())
def test_a_check_is_a_share_or_nan(name: str, kind: str, data: st.DataObject) -> None:
    case = data.draw(CASES[kind])
    (share,) = CHECKS[name].shares(case.whole(case.window))
    if np.isnan(share):
        assert case.whole(case.window).values[0] == 0
    else:
        assert 0 <= share <= 1


def test_a_reference_without_a_value_has_no_bins() -> None:
    assert freeze_numbers(np.array([])) is None
    assert freeze_numbers(np.array([np.nan, np.inf])) is None
    assert freeze_categories([None, None]) is None


@pytest.mark.parametrize(
    "values",
    [
        [5.0],
        [0.0, 0.0, 0.0],
        [1e17, 1e17],
        [-1e308, 1e308],
        [5e-324, 1e-323],
        [1.0, np.nextafter(1.0, 2.0)],
        [0.0, *([1.0] * 10_000), 1e300],
    ],
    ids=str,
)
def test_any_finite_reference_has_bins_that_hold_it_all(values: list[float]) -> None:
    reference = np.array(values)
    bins = freeze_numbers(reference)
    assert bins is not None
    assert (bins.edges[1:] > bins.edges[:-1]).all()
    counts = bins.count(reference, np.zeros(len(reference), np.int64), 1)
    assert counts.inside.sum() == len(reference)
    for method in METHODS.values():
        if NUMBER in method.KINDS:
            assert method.distances(counts, counts, bins) == pytest.approx([0], abs=1e-9)


@pytest.mark.parametrize("name", [name for name, kind in METHOD_KINDS if kind == NUMBER])
def test_infinities_are_out_of_range_and_harm_no_other_window(name: str) -> None:
    bins = freeze_numbers(np.arange(100.0))
    assert bins is not None
    values = np.array([1.0, 2.0, np.inf, -np.inf, 1.0, 2.0])
    windows = np.array([0, 0, 1, 1, 2, 2])
    reference = bins.count(np.arange(100.0), np.zeros(100, np.int64), 1)
    counts = bins.count(values, windows, 3)
    assert CHECKS["out_of_range"].shares(counts).tolist() == [0, 1, 0]
    distances = METHODS[name].distances(reference, counts, bins)
    assert distances[0] == distances[2]
    assert distances[1] > 0

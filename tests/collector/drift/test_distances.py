"""Every distance beside what scipy, or NannyML's definition, says of the same rows."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
from drift_values import Case, categories, numbers
from hypothesis import assume, example, given
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon
from scipy.stats import chi2_contingency, ks_2samp, wasserstein_distance

from inferspan_collector.drift.bins import freeze_numbers
from inferspan_collector.drift.checks import CHECKS
from inferspan_collector.drift.methods import (
    CATEGORY,
    METHODS,
    NUMBER,
    chi_squared,
    kolmogorov_smirnov,
    wasserstein,
)

KINDS = {NUMBER: numbers(), CATEGORY: categories()}


def present(values: np.ndarray | list[str | None]) -> np.ndarray:
    """What is there, as NannyML drops what is not."""
    if isinstance(values, np.ndarray):
        return values[~np.isnan(values)]
    return np.array([value for value in values if value is not None], dtype=np.object_)


def proportions(case: Case) -> tuple[np.ndarray, np.ndarray]:
    """NannyML's `_calculate` of the binned distances: reference and window, leftovers last."""
    reference, window = present(case.reference), present(case.window)
    if isinstance(case.reference, np.ndarray):
        edges = np.histogram_bin_edges(reference, bins="doane")
        p = np.histogram(reference, edges)[0] / len(reference)
        q = np.histogram(window, edges)[0] / len(window)
    else:
        names = sorted(set(reference))
        ours, theirs = Counter(reference), Counter(window)
        p = np.array([ours[name] for name in names]) / len(reference)
        q = np.array([theirs[name] for name in names]) / len(window)
    return np.append(p, 0.0), np.append(q, max(0.0, 1 - q.sum()))


def of_jensen_shannon(case: Case) -> float:
    p, q = proportions(case)
    with np.errstate(invalid="ignore"):
        found = float(jensenshannon(p, q, base=2))
    # scipy takes the root of what rounding may leave a hair below 0.
    return 0.0 if math.isnan(found) and np.allclose(p, q, rtol=0, atol=1e-12) else found


def of_hellinger(case: Case) -> float:
    p, q = proportions(case)
    return math.sqrt(sum((math.sqrt(a) - math.sqrt(b)) ** 2 for a, b in zip(p, q, strict=True)) / 2)


def of_population_stability(case: Case) -> float:
    total = 0.0
    for p, q in zip(*proportions(case), strict=True):
        # A share of a rounding error is none.
        p, q = max(p, 1e-4), max(q, 1e-4)
        total += (q - p) * math.log(q / p)
    return total


def of_l_infinity(case: Case) -> float:
    ours, theirs = Counter(present(case.reference)), Counter(present(case.window))
    n, m = ours.total(), theirs.total()
    return max(abs(ours[name] / n - theirs[name] / m) for name in ours | theirs)


def of_chi_squared(case: Case) -> float:
    return float(chi2_contingency(table(case)).statistic)


def table(case: Case) -> np.ndarray:
    ours, theirs = Counter(present(case.reference)), Counter(present(case.window))
    names = sorted(ours | theirs)
    return np.array([[ours[name] for name in names], [theirs[name] for name in names]])


EXACT: dict[str, Callable[[Case], float]] = {
    "jensen_shannon": of_jensen_shannon,
    "hellinger": of_hellinger,
    "population_stability": of_population_stability,
    "l_infinity": of_l_infinity,
    "chi_squared": of_chi_squared,
}
BOUNDED = {"kolmogorov_smirnov", "wasserstein"}


def test_every_method_has_its_oracle() -> None:
    assert set(METHODS) == set(EXACT) | BOUNDED


def ours(name: str, case: Case) -> float:
    whole, window = case.whole(case.reference), case.whole(case.window)
    return float(METHODS[name].distances(whole, window, case.bins)[0])


def regular(case: Case) -> bool:
    """Whether numpy finds Doane's bins, and no value lies on their rounding errors.

    Around one value alone it makes a bin of width 1.
    """
    reference = present(case.reference)
    if not isinstance(case.reference, np.ndarray):
        return True
    if reference.min() == reference.max():
        return False
    try:
        edges = np.histogram_bin_edges(reference, bins="doane")
    except ValueError:
        return False
    return bool((np.diff(edges) > 0).all())


@pytest.mark.parametrize(
    ("name", "kind"), [(name, kind) for name in EXACT for kind in sorted(METHODS[name].KINDS)]
)
@given(data=st.data())
def test_what_is_exact_equals_its_oracle(name: str, kind: str, data: st.DataObject) -> None:
    case = data.draw(KINDS[kind])
    assume(len(present(case.window)) and regular(case))
    # The root of a rounding error of 1e-17 is 3e-9, in scipy's as in ours.
    assert ours(name, case) == pytest.approx(EXACT[name](case), rel=1e-9, abs=3e-8)


@given(case=categories())
def test_the_p_value_of_chi_squared_is_that_of_scipy(case: Case) -> None:
    assume(len(present(case.window)))
    whole, window = case.whole(case.reference), case.whole(case.window)
    p = chi_squared.p_values(whole, window, case.bins)[0]
    assert p == pytest.approx(chi2_contingency(table(case)).pvalue, rel=1e-8)


@given(case=numbers())
def test_kolmogorov_smirnov_is_below_the_exact_one_within_its_bound(case: Case) -> None:
    reference, window = present(case.reference), present(case.window)
    assume(len(window))
    with np.errstate(divide="ignore"):  # scipy's p-value of a few rows, which is not asked for
        exact = ks_2samp(reference, window, method="asymp").statistic
    bound = kolmogorov_smirnov.error_bounds(case.whole(case.reference), case.whole(case.window))[0]
    assert -1e-12 <= exact - ours("kolmogorov_smirnov", case) <= bound + 1e-12


@given(case=numbers())
def test_wasserstein_is_the_exact_one_within_its_bound(case: Case) -> None:
    reference, window = present(case.reference), present(case.window)
    assume(len(window))
    bound = wasserstein.error_bounds(
        case.whole(case.reference),
        case.whole(case.window),
        case.bins,  # type: ignore[arg-type]
    )[0]
    exact = wasserstein_distance(reference, window)
    assert ours("wasserstein", case) == pytest.approx(exact, rel=1e-9, abs=bound + 1e-9)


@given(data=st.data())
def test_wasserstein_is_exact_where_the_window_has_values_of_a_reference_of_few(
    data: st.DataObject,
) -> None:
    few = data.draw(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30, unique=True))
    reference, window = (
        np.array(data.draw(st.lists(st.sampled_from(few), min_size=1, max_size=60)))
        for _ in range(2)
    )
    # Below and above the reference it is exact, too; between its values others are not.
    least, greatest = reference.min(), reference.max()
    assume(np.isin(window[(window > least) & (window < greatest)], reference).all())
    bins = freeze_numbers(reference)
    assert bins is not None
    case = Case(reference, window, bins)
    exact = wasserstein_distance(reference, window)
    assert ours("wasserstein", case) == pytest.approx(exact, rel=1e-9, abs=1e-9)


def test_whatever_is_near_a_constant_is_something_else() -> None:
    bins = freeze_numbers(np.zeros(10))
    assert bins is not None
    case = Case(np.zeros(10), np.array([0.0, 0.25]), bins)
    counts = case.whole(case.window)
    assert CHECKS["out_of_range"].shares(counts).tolist() == [0.5]
    assert ours("kolmogorov_smirnov", case) == 0.5
    assert ours("wasserstein", case) == 0.125
    assert ours("jensen_shannon", case) == pytest.approx(jensenshannon([1, 0], [0.5, 0.5], base=2))


def test_both_bounds_are_small_for_a_continuous_feature() -> None:
    rng = np.random.default_rng(7)
    reference, window = rng.lognormal(size=50_000), rng.lognormal(0.1, size=5_000)
    bins = freeze_numbers(reference)
    assert bins is not None
    whole = bins.count(reference, np.zeros(50_000, np.int64), 1)
    counts = bins.count(window, np.zeros(5_000, np.int64), 1)
    assert kolmogorov_smirnov.error_bounds(whole, counts)[0] < 0.005
    exact = ks_2samp(reference, window).statistic
    assert kolmogorov_smirnov.distances(whole, counts, bins)[0] == pytest.approx(exact, abs=1e-3)
    exact = wasserstein_distance(reference, window)
    assert wasserstein.distances(whole, counts, bins)[0] == pytest.approx(exact, rel=5e-3)


@pytest.mark.parametrize("spread", [0.5, 1.0, 2.0])
def test_wasserstein_is_near_the_exact_one_however_far_the_tail_reaches(spread: float) -> None:
    rng = np.random.default_rng(11)
    reference = rng.lognormal(sigma=spread, size=6_000)
    bins = freeze_numbers(reference)
    assert bins is not None
    assert np.diff(bins.edges).max() <= np.ptp(reference) / 512 * (1 + 1e-9)
    # Windows as they are, and moved ones: what is learnt from the first decides on the others.
    for shift in (0.0, 0.02, 0.3):
        window = rng.lognormal(shift, spread, 600)
        near = ours("wasserstein", Case(reference, window, bins))
        assert near == pytest.approx(wasserstein_distance(reference, window), rel=0.01), shift


few = st.lists(st.integers(-20, 20).map(lambda k: k / 4), min_size=2, max_size=60)


@given(reference=few, data=st.data())
@example(reference=[float(k) for k in range(20)], data=None)
def test_kolmogorov_smirnov_is_exact_for_a_feature_of_few_values(
    reference: list[float], data: st.DataObject | None
) -> None:
    if data is None:
        # The greatest two values, which no edge of Doane's parts.
        window = [19.0 if value == 18 else value for value in reference]
    else:
        window = data.draw(st.lists(st.sampled_from(reference), min_size=1, max_size=60))
    bins = freeze_numbers(np.array(reference))
    assert bins is not None
    case = Case(np.array(reference), np.array(window), bins)
    with np.errstate(divide="ignore"):  # scipy's p-value, which is not asked for
        exact = ks_2samp(reference, window, method="asymp").statistic
    assert ours("kolmogorov_smirnov", case) == pytest.approx(exact, abs=1e-12)

"""How long steps of predictions took: each run counts once, with its prediction."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from records import MINUTE_NS, SECOND_NS, START_NS, Label, Prediction, Stage
from stores import CONFIG, FaultyStore, Store, tidied, tidied_at

from inferspan_collector.latency_sketch import bucket_values_ns
from inferspan_collector.store.cells import CellQuery, QueryError, StageCells
from inferspan_collector.store.stages import KEPT_NS, WINDOW_NS
from inferspan_collector.telemetry import FOLDED, OTHER, STAGE_RUNS

Step = tuple[int, str | None, str, str]
"""Minute, version, stage, phase."""
MINUTE = START_NS // MINUTE_NS


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path)
    yield opened
    opened.database.close()


def cells(store: Store) -> tuple[StageCells, list[Step]]:
    """Cells by minute and version, and the step of each."""
    found = store.reader.stage_cells(CellQuery(every=1, by=("version",)))
    steps = zip(found.window.tolist(), found.groups, found.stage, found.phase, strict=True)
    return found, [(minute, version, stage, phase) for minute, (version,), stage, phase in steps]


def runs(store: Store) -> Counter[tuple[Step, float]]:
    """Runs by step and by how long they took, as the middle of their bucket, in ms."""
    found, steps = cells(store)
    took = (bucket_values_ns(found.bucket) / 1e6).round(1).tolist()
    counted: Counter[tuple[Step, float]] = Counter()
    for step, ms, n in zip(steps, took, found.n.tolist(), strict=True):
        counted[step, ms] += n
    return counted


def covered(store: Store) -> dict[Step, int]:
    """Predictions of which a step's run was seen."""
    found, steps = cells(store)
    counted: dict[Step, int] = defaultdict(int)
    for step, n in zip(steps, found.covered.tolist(), strict=True):
        counted[step] += n
    return dict(counted)


def results(store: Store) -> dict[str, int]:
    """What became of runs, as our own counters say it."""
    found = store.telemetry.snapshot()[STAGE_RUNS]
    return {labels[0]: n for labels, n in found.items()}


FEATURES = (MINUTE, "7", "features", "")


def test_a_run_counts_with_its_prediction_in_the_same_request(store: Store) -> None:
    store.commit((Stage(), Prediction(), Stage(None, "queue", span=1, duration=1_000_000)))

    assert runs(store) == {(FEATURES, 2.0): 1, ((MINUTE, "7", "", "queue"), 1.0): 1}
    assert covered(store) == {FEATURES: 1, (MINUTE, "7", "", "queue"): 1}
    assert results(store) == {"counted": 2}


@pytest.mark.parametrize("first", [0, 1])
def test_a_run_may_come_before_its_prediction_or_after_it(store: Store, first: int) -> None:
    requests = [(Stage(),), (Prediction(),)]
    store.commit(requests[first])
    assert runs(store) == {}
    store.commit(requests[1 - first])

    assert runs(store) == {(FEATURES, 2.0): 1}


@pytest.mark.parametrize("together", [True, False])
def test_a_retry_counts_nothing(store: Store, together: bool) -> None:
    request = (Prediction(), Stage(), Stage(phase="compute"))
    if together:
        store.commit(request, request)
    else:
        store.commit(request)
        store.commit(request)
        store.commit((Stage(),))

    assert sum(runs(store).values()) == 2
    assert covered(store) == {FEATURES: 1, (MINUTE, "7", "features", "compute"): 1}
    assert results(store) == {"counted": 2, "duplicate": 2 if together else 3}


def test_a_run_that_waits_is_known_again(store: Store) -> None:
    for _ in range(3):
        store.commit((Stage(),))
    store.commit((Prediction(),), (Stage(),))

    assert sum(runs(store).values()) == 1


def test_repeated_runs_of_a_step_cover_their_prediction_once(store: Store) -> None:
    store.commit((Prediction(), Stage(), Stage(span=101)))
    store.commit((Stage(span=102, duration=8_000_000),))

    assert runs(store) == {(FEATURES, 2.0): 2, (FEATURES, 8.0): 1}
    assert covered(store) == {FEATURES: 1}


def test_a_run_covers_all_predictions_of_a_batch_call(store: Store) -> None:
    rows = [Prediction(f"row-{n}", span_row=n) for n in range(5)]
    store.commit((*rows, Stage()))

    assert runs(store) == {(FEATURES, 2.0): 1}
    assert covered(store) == {FEATURES: 5}


def test_runs_of_other_traces_and_spans_wait(store: Store) -> None:
    store.commit((Prediction(), Stage(trace=2), Stage(owner=2)))

    assert runs(store) == {}


def test_ids_that_repeat_are_told_apart_by_what_else_the_runs_say(store: Store) -> None:
    """A program that seeds its random numbers draws the same ids again."""
    hour = 60 * MINUTE_NS
    for n in range(3):
        shift = {"received": START_NS + n * SECOND_NS}
        store.commit(
            (
                Prediction(f"order-{n}", event_time=START_NS + n * hour, **shift),
                Stage(start_time=START_NS + n * hour + 1, **shift),
            )
        )

    by_minute = {(MINUTE + n * 60, "7", "features", ""): 1 for n in range(3)}
    assert {step: n for (step, _), n in runs(store).items()} == by_minute


def test_a_superseded_prediction_keeps_its_runs(store: Store) -> None:
    """They ran; what becomes of the prediction's key does not undo it."""
    store.commit((Prediction(), Stage()))
    store.commit((Prediction(span=2, event_time=START_NS + SECOND_NS), Stage(span=200, owner=2)))

    assert store.predictions() == 1
    assert sum(runs(store).values()) == 2


@pytest.mark.parametrize("late", [WINDOW_NS, WINDOW_NS + 1])
@pytest.mark.parametrize("first", ["prediction", "stage"])
def test_runs_count_within_a_window_of_receipt(store: Store, first: str, late: int) -> None:
    prediction, stage = Prediction(), Stage()
    if first == "prediction":
        store.commit((prediction,))
        store.commit((replace(stage, received=START_NS + late),))
    else:
        store.commit((stage,))
        store.commit((replace(prediction, received=START_NS + late),))

    assert sum(runs(store).values()) == (late <= WINDOW_NS)


def test_what_can_count_no_more_leaves_and_counts_as_unmatched(store: Store) -> None:
    store.commit((Prediction(), Stage(), Stage(span=101, owner=9)))
    before = runs(store)
    tidied(store, START_NS + KEPT_NS)
    assert store.reader.sizes().rows["stage_runs"] == 1
    tidied_at(store, START_NS + KEPT_NS + 11 * MINUTE_NS)

    sizes = store.reader.sizes().rows
    assert (sizes["stage_runs"], sizes["waiting_stages"]) == (0, 0)
    assert results(store) == {"counted": 1, "unmatched": 1}
    late = START_NS + KEPT_NS + 1
    store.commit((replace(Prediction(), received=late), replace(Stage(), received=late)))
    assert runs(store) == before


def test_names_beyond_the_limit_fold(tmp_path: Path) -> None:
    config = CONFIG.model_copy(update={"limits": CONFIG.limits.model_copy(update={"stages": 2})})
    store = Store(tmp_path, config)
    store.commit((Prediction(), *(Stage(f"s{n}", span=n) for n in range(100, 104))))
    store.commit((Stage("s103", span=105), Stage("s100", span=106)))

    assert {step[2]: n for (step, _), n in runs(store).items()} == {"s100": 2, "s101": 1, OTHER: 3}
    assert store.telemetry.snapshot()[FOLDED] == {("stage",): 3}
    store.database.close()


def test_runs_beyond_the_limit_are_dropped_and_counted(tmp_path: Path) -> None:
    limits = CONFIG.limits.model_copy(update={"stage_runs": 3})
    store = Store(tmp_path, CONFIG.model_copy(update={"limits": limits}))
    store.commit((Prediction(), *(Stage(span=n) for n in range(100, 105))))
    store.commit((Stage(span=200),))

    assert sum(runs(store).values()) == 3
    assert results(store) == {"counted": 3, "dropped": 3}
    store.database.close()


def test_after_an_outage_runs_leave_from_the_second_look_on(tmp_path: Path) -> None:
    """They need their room, while what else is erased by age waits for up to a day."""
    limits = CONFIG.limits.model_copy(update={"stage_runs": 3})
    store = Store(tmp_path, CONFIG.model_copy(update={"limits": limits}))
    store.commit((Prediction(), Stage(), Stage(span=101)))
    tidied_at(store, START_NS)
    back = START_NS + 25 * 60 * MINUTE_NS
    tidied_at(store, back)
    store.commit((Stage(), Stage(span=101)))
    assert results(store) == {"counted": 2, "duplicate": 2}

    for n in range(1, 6):
        now = back + n * (KEPT_NS + MINUTE_NS)
        tidied_at(store, now)
        shift = {"received": now, "trace": n + 1}
        store.commit((Prediction(f"order-{n}", **shift), Stage(**shift), Stage(span=101, **shift)))
    assert results(store) == {"counted": 12, "duplicate": 2}
    assert store.reader.sizes().held_until
    store.database.close()


def test_slices_are_no_groups_of_steps(store: Store) -> None:
    with pytest.raises(QueryError, match="without slices"):
        store.reader.stage_cells(CellQuery(by=("slice.country",)))


@pytest.mark.parametrize("at", ["INSERT INTO stage_cells", "COMMIT", "after COMMIT"])
def test_a_transaction_that_fails_counts_nothing_twice(tmp_path: Path, at: str) -> None:
    store = FaultyStore(tmp_path)
    store.commit((Stage(span=99),))
    request = (Prediction(), Stage())
    store.fail(at, request)
    store.commit(request)

    assert sum(runs(store).values()) == 2
    store.commit((Stage(span=99), Stage()))
    assert sum(runs(store).values()) == 2
    store.database.close()


def test_counters_survive_compaction_a_restart_and_folding_into_hours(store: Store) -> None:
    store.commit((Prediction(), Stage()))
    store.commit((Stage(span=101), Label()))
    store.writer.compact()
    store.database.close()
    store.open()
    store.commit((Stage(span=102), Stage()))
    arrived = store.reader.stage_arrivals()
    assert (int(arrived.n.sum()), int(arrived.covered.sum())) == (3, 1)
    assert arrived.duration_ns.sum() == 6e6

    tidied(store, START_NS + 20 * 24 * 60 * MINUTE_NS)
    hour = store.reader.stage_cells(CellQuery(every=60))
    assert hour.window.tolist() == [MINUTE // 60 * 60]
    assert int(hour.n.sum()) == 3


# --- any order, any split ------------------------------------------------------------------------

Records = list[Prediction | Stage]


@st.composite
def record_sets(draw: st.DrawFn) -> Records:
    """Predictions with runs of their steps, some of nobody's, some twice."""
    records: Records = []
    for n in range(draw(st.integers(1, 4))):
        received = START_NS + draw(st.integers(0, 3)) * MINUTE_NS
        records.append(
            Prediction(
                f"order-{n}",
                trace=n % 2 + 1,
                span=n + 1,
                version=draw(st.sampled_from(["7", "8"])),
                event_time=START_NS + draw(st.integers(0, 2)) * MINUTE_NS,
                received=received,
            )
        )
    for n in range(draw(st.integers(0, 8))):
        owner = draw(st.integers(1, 5))
        records.append(
            Stage(
                stage=draw(st.sampled_from(["features", "classify", None])),
                phase=draw(st.sampled_from([None, "queue"])),
                trace=(owner - 1) % 2 + 1,
                span=100 + n,
                owner=owner,
                duration=draw(st.sampled_from([0, 1, 2_000_000, 2**62])),
                received=START_NS + draw(st.integers(0, 3)) * MINUTE_NS,
            )
        )
    return records


def expected(records: Sequence[Prediction | Stage]) -> Counter[Step]:
    """Each distinct run of a known prediction, once."""
    owners = {(r.trace, r.span): r for r in records if isinstance(r, Prediction)}
    counted: Counter[Step] = Counter()
    for run in {replace(r, received=0) for r in records if isinstance(r, Stage)}:
        owner = owners.get((run.trace, run.owner))
        if owner is not None:
            minute = owner.event_time // MINUTE_NS
            counted[minute, owner.version, run.stage or "", run.phase or ""] += 1
    return counted


SLOW = settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


@SLOW
@given(record_sets(), st.randoms(use_true_random=False))
def test_any_order_and_any_repetition_count_the_same(
    tmp_path_factory: pytest.TempPathFactory, records: Records, rng: random.Random
) -> None:
    sent = [*records, *rng.choices(records, k=len(records))]
    rng.shuffle(sent)
    store = Store(tmp_path_factory.mktemp("stages"))
    while sent:
        size = rng.randrange(1, 5)
        store.commit(tuple(sent[:size]), tuple(sent[size : 2 * size]))
        sent = sent[2 * size :]

    found = Counter[Step]()
    for (step, _), n in runs(store).items():
        found[step] += n
    assert found == expected(records)
    arrived = store.reader.stage_arrivals()
    assert int(arrived.n.sum()) == found.total()
    store.database.close()


@SLOW
@given(record_sets(), st.randoms(use_true_random=False))
def test_three_stores_add_up_to_one(
    tmp_path_factory: pytest.TempPathFactory, records: Records, rng: random.Random
) -> None:
    """A prediction and the runs of its steps go to one collector, as its trace does."""
    whole = Store(tmp_path_factory.mktemp("whole"))
    whole.commit(tuple(records))
    places = {(trace, span): rng.randrange(3) for trace in (1, 2) for span in range(1, 6)}
    parts = [Store(tmp_path_factory.mktemp("part")) for _ in range(3)]
    for record in records:
        of = record.span if isinstance(record, Prediction) else record.owner
        parts[places[record.trace, of]].commit((record,))

    added = sum((runs(part) for part in parts), Counter())
    assert added == runs(whole)
    steps = Counter[Step]()
    for part in parts:
        steps.update(covered(part))
    assert steps == Counter(covered(whole))
    for each in (whole, *parts):
        each.database.close()

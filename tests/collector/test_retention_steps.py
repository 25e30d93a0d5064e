"""However much is too old, whoever waits for the store waits for one step of erasing: so many rows.

How long such a step takes is what `benchmarks/bench_keeping.py` measures.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import duckdb
import pytest
from join_oracle import DAY_NS
from records import START_NS, Label, Prediction, decoded
from stores import HOUR_NS, FaultyStore, Store, tidied_at

from inferspan_collector.config import load
from inferspan_collector.pipeline import Pipeline
from inferspan_collector.store import retention
from inferspan_collector.store.cells import Committed
from inferspan_collector.store.database import Database
from inferspan_collector.telemetry import ERASED, Telemetry
from inferspan_collector.testing import ManualClock
from waiting import wait_until

TABLES = ("predictions", "labels", "outcomes", "named_predictions", "named_labels")


def all_rows(store: Store) -> Counter[str]:
    """Rows of every table of rows."""
    with store.database.cursor() as cursor:
        return Counter(
            {t: cursor.execute(f"SELECT count(*) FROM {t}").fetchall()[0][0] for t in TABLES}
        )


def test_no_transaction_erases_more_rows_than_a_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert retention.STEP_ROWS <= 122_880
    monkeypatch.setattr(retention, "STEP_ROWS", 40)
    store = Store(tmp_path)
    named = [Prediction(f"o{n}", span=n + 1, entity_id=f"e{n}") for n in range(100)]
    labels = [Label(f"o{n}", label_id=f"l{n}") for n in range(100)]
    by_name = [Label(None, label_id=f"n{n}", entity_id=f"e{n}") for n in range(100)]
    store.commit((*named, *labels, *by_name))
    kept = all_rows(store)
    assert min(kept.values()) >= 100

    now = START_NS + 90 * DAY_NS + HOUR_NS // 2
    for at in range(now - 25 * HOUR_NS, now, HOUR_NS):
        tidied_at(store, at)  # time passes, and does not jump
    for _ in range(100):
        before = all_rows(store)
        more = store.writer.tidy(now)
        left = before - all_rows(store)
        # A prediction takes the outcomes with it that it has.
        assert sum(n for table, n in left.items() if table != "outcomes") <= 40
        if not more:
            break
    assert +all_rows(store) == Counter()
    names = store.telemetry.get(ERASED, table="names", reason="age")
    assert names == kept["named_predictions"] + kept["named_labels"]
    store.database.close()


def test_what_comes_while_rows_leave_waits_for_one_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "STEP_ROWS", 40)
    telemetry = Telemetry()
    seen: list[int] = []

    def erased() -> int:
        return telemetry.get(ERASED, table="predictions")

    class Sending(ManualClock):
        """Sends while it is asked for the time of a step: the writer then goes on with that."""

        def now_ns(self) -> int:
            if erased() and not seen:
                seen.append(erased())
                late = pipeline.submit(decoded(Prediction("late", span=1_000)), "http")
                late.add_done_callback(lambda _: seen.append(erased()))
            return super().now_ns()

    clock = Sending(START_NS)
    config = load(None, {"store": {"retention": {"rows": "30m"}}})
    pipeline = Pipeline(Database.open(tmp_path), config, telemetry, clock.now_ns).start()
    rows = [Prediction(f"o{n}", span=n + 1) for n in range(400)]
    pipeline.submit(decoded(*rows), "http").result(30)
    clock.advance(50 * 60)

    wait_until(lambda: erased() >= 400 and len(seen) == 2, 30)
    sent, answered = seen
    assert answered - sent <= 40
    pipeline.close()


def test_a_look_that_cannot_be_noted_keeps_nothing_else_out(tmp_path: Path) -> None:
    store = FaultyStore(tmp_path)
    store.faults["INSERT INTO looks"] = [duckdb.OutOfMemoryException("none left")]
    with pytest.raises(duckdb.OutOfMemoryException):
        tidied_at(store, START_NS)

    assert store.commit((Prediction(),)) == [Committed(1, ())]
    store.database.close()

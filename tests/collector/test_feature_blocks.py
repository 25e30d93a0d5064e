"""Declared features are kept with their predictions, leave with them, and are read by row."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from asking import FilledStore, ask
from hypothesis import given, settings
from hypothesis import strategies as st
from join_oracle import DAY_NS
from records import MINUTE_NS, START_NS, Label, Prediction, decoded
from stores import CONFIG, Store, tidied
from test_forget import bytes_of

from feature_rows import row_of
from inferspan_collector.pipeline import Pipeline
from inferspan_collector.publish import drifting, foreseeing
from inferspan_collector.publish.parameters import rfc3339
from inferspan_collector.store import feature_blocks, unused
from inferspan_collector.store.database import Database
from inferspan_collector.store.forgetting import ToForget
from inferspan_collector.store.row_columns import RowQuery
from inferspan_collector.telemetry import ERASED, Telemetry

HOUR_NS = 60 * MINUTE_NS
HOUR_START_NS = START_NS - START_NS % HOUR_NS
UNTIL = rfc3339(HOUR_START_NS + 2 * HOUR_NS)
Kept = dict[str, dict[str, float | str]]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path)
    yield opened
    opened.database.close()


def kept(store: Store, model: str = "fraud") -> Kept:
    """Features by prediction id, of current predictions; what is missing is left out."""
    rows = store.reader.rows(RowQuery(model, features=True))
    ids = {
        (row.trace_id, row.span_id): row.prediction_id
        for row in store.reader.predictions(model, limit=1000)
    }
    with store.database.cursor() as cursor:
        spans = dict(
            cursor.execute(
                "SELECT row_id, (trace_high, trace_low, span) FROM predictions"
            ).fetchall()
        )
    found: Kept = {}
    for place, row_id in enumerate(rows.row_id.tolist()):
        high, low, span = spans[row_id]
        features: dict[str, float | str] = {}
        for name, numbers in rows.features.numbers.items():
            if not math.isnan(numbers[place]):
                features[name] = float(numbers[place])
        for name, texts in rows.features.texts.items():
            if texts[place] is not None:
                features[name] = texts[place]
        found[ids[f"{high:016x}{low:016x}", f"{span:016x}"]] = features
    return found


def test_names_that_no_row_has_any_more_leave_with_the_rows(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unused, "LEFT_ALONE", 2)

    def commit(number: int, received: int) -> None:
        said = {f"feature-{number % 5}": float(number)}
        id, at = f"order-{number}", {"received": received}
        store.commit(
            (
                Prediction(id, f"class-{number}", span=number + 1, features=said, **at),
                Label(id, f"class-{number}", f"label-{number}", source=f"s{number}", **at),
            )
        )

    def sets() -> list[int]:
        with store.database.cursor() as cursor:
            return [
                cursor.execute(f"SELECT count(*) FROM {table}").fetchall()[0][0]
                for table in ("feature_sets", "label_sets", "judgements")
            ]

    for number in range(5):
        commit(number, START_NS)
    later = START_NS + 91 * DAY_NS
    commit(5, later)
    assert sets() == [5, 6, 6]
    tidied(store, later)
    assert len(kept(store)) == 1
    assert sets() == [1, 1, 1]
    assert store.telemetry.get(ERASED, table="sets", reason="age") == 14
    # What has left may come again, and stands for what it says.
    commit(6, later)
    commit(1, later + 1)
    assert kept(store) == {
        "order-5": {"feature-0": 5.0},
        "order-6": {"feature-1": 6.0},
        "order-1": {"feature-1": 1.0},
    }
    assert len(store.reader.predictions("fraud", outcome="correct")) == 3


def test_features_are_read_of_the_rows_that_had_them(store: Store) -> None:
    store.commit(
        (
            Prediction("a", features={"amount": 1.5, "country": "DE"}),
            Prediction("b", span=2),
            Prediction("c", span=3, features={"amount": 2.5, "country": "FR"}),
            Prediction("d", span=4, features={"age": 30.0}),
        ),
        (Prediction("e", span=5, model="other", features={"amount": 9.0}),),
    )
    store.commit((Prediction("f", span=6, features={"amount": "much"}),))
    assert kept(store) == {
        "a": {"amount": 1.5, "country": "DE"},
        "b": {},
        "c": {"amount": 2.5, "country": "FR"},
        "d": {"age": 30.0},
        "f": {"amount": "much"},
    }
    assert kept(store, "other") == {"e": {"amount": 9.0}}


def test_retries_bring_nothing_and_the_winner_of_a_key_has_its_own(store: Store) -> None:
    first = Prediction("a", features={"amount": 1.0})
    store.commit((first,), (first,))
    store.commit(
        (first, Prediction("a", span=2, event_time=START_NS + 1, features={"amount": 2.0}))
    )
    assert kept(store) == {"a": {"amount": 2.0}}
    with store.database.cursor() as cursor:
        found = cursor.execute("SELECT features FROM feature_blocks ORDER BY first_row")
        assert found.fetchall() == [(row_of([1.0], []),), (row_of([2.0], []),)]


def test_a_transaction_writes_blocks_that_checkpoints_can_afford(store: Store) -> None:
    # Every fifth is told twice, so that rows do not follow each other.
    numbered = [
        Prediction(
            f"order-{n}",
            trace=n + 1,
            span=n + 1,
            features={"amount": n / 7, "age": float(n)} | ({"country": f"C{n}"} if n % 2 else {}),
        )
        for n in range(900)
    ]
    store.commit(tuple(one for n, one in enumerate(numbered) for _ in range(1 + (n % 5 == 0))))
    store.writer.forget(ToForget("order-451"), START_NS + DAY_NS)
    rest = [one for one in numbered if one.prediction_id != "order-451"]
    assert kept(store) == {one.prediction_id: one.features for one in rest}
    with store.database.cursor() as cursor:
        sizes = cursor.execute("SELECT octet_length(features) FROM feature_blocks").fetchall()
    # The last row of each may reach beyond: two numbers, and of half of them a text.
    assert max(sizes)[0] <= feature_blocks.BLOCK_BYTES + 32
    assert len(sizes) < 900 / 200


def test_rows_of_many_names_take_no_more_statements_than_rows_of_one(store: Store) -> None:
    alike = [Prediction(f"a{n}", span=n + 1, features={"amount": float(n)}) for n in range(40)]
    various = [
        Prediction(f"b{n}", trace=2, span=n + 1, features={f"amount-{n % 20}": float(n)})
        for n in range(40)
    ]
    with store.database.cursor() as cursor:
        cursor.execute("CALL enable_logging('QueryLog')")
        counts = []
        for some in (alike, various):
            cursor.execute("CALL truncate_duckdb_logs()")
            store.commit(tuple(some))
            inserts = "SELECT count(*) FROM duckdb_logs WHERE message LIKE 'INSERT INTO feature_%'"
            counts += cursor.execute(inserts).fetchall()
        cursor.execute("CALL disable_logging()")
        assert counts == [(2,), (2,)]
        assert cursor.execute("SELECT count(*) FROM feature_blocks").fetchall() == [(21,)]
    assert kept(store) == {one.prediction_id: one.features for one in [*alike, *various]}


def test_names_of_other_rows_are_not_read(store: Store) -> None:
    store.commit((Prediction("a", features={"amount": 1.0}),))
    with store.database.cursor() as cursor:
        cursor.execute("INSERT INTO feature_sets VALUES (99, 'fraud', 'no JSON', NULL)")
    assert kept(store) == {"a": {"amount": 1.0}}


def test_they_outlive_a_restart_and_leave_with_their_rows(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.commit((Prediction("a", features={"amount": 1.0}),))
    late = START_NS + 60 * DAY_NS
    store.commit(
        (Prediction("b", span=2, event_time=late, received=late, features={"amount": 2.0}),)
    )
    store.database.close()
    store.open()
    assert kept(store) == {"a": {"amount": 1.0}, "b": {"amount": 2.0}}
    tidied(store, START_NS + 100 * DAY_NS)
    assert kept(store) == {"b": {"amount": 2.0}}
    with store.database.cursor() as cursor:
        assert cursor.execute("SELECT count(*) FROM feature_blocks").fetchall() == [(1,)]
    store.database.close()


def test_a_forgotten_prediction_takes_its_features_along_and_no_others(store: Store) -> None:
    secret = 123456.789012345
    store.commit(
        (
            Prediction("a", features={"amount": 1.0, "country": "DE"}),
            Prediction("secret", span=2, features={"amount": secret, "country": "Atlantis"}),
            Prediction("c", span=3, features={"amount": 3.0, "country": ""}),
        ),
        (Prediction("secret", span=4, model="other", features={"amount": secret}),),
    )
    store.writer.forget(ToForget("secret"), START_NS + DAY_NS)
    assert kept(store) == {"a": {"amount": 1.0, "country": "DE"}, "c": {"amount": 3.0}}
    assert kept(store, "other") == {}
    tidied(store, START_NS + DAY_NS)
    directory = store.database.path.parent
    store.database.close()
    content = bytes_of(directory)
    assert np.array([secret]).tobytes() not in content
    assert b"Atlantis" not in content
    store.open()
    assert kept(store)["a"] == {"amount": 1.0, "country": "DE"}


values = st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from(["x", "y", "Ä"])
rows_of_features = st.dictionaries(st.sampled_from(["a", "b", "c d"]), values, max_size=3)


@settings(max_examples=20)
@given(
    groups=st.lists(st.lists(rows_of_features, max_size=5), max_size=4),
    gone=st.sets(st.integers(0, 19)),
)
def test_any_features_come_back_but_the_forgotten(
    groups: list[list[dict[str, float | str]]],
    gone: set[int],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    store = Store(tmp_path_factory.mktemp("store"))
    expected: Kept = {}
    for group in groups:
        rows = []
        for features in group:
            number = len(expected)
            expected[f"order-{number}"] = features
            rows.append(Prediction(f"order-{number}", span=number + 1, features=features))
        store.commit(tuple(rows))
    assert kept(store) == expected
    for number in sorted(gone):
        store.writer.forget(ToForget(f"order-{number}"), START_NS + DAY_NS)
        expected.pop(f"order-{number}", None)
    assert kept(store) == expected
    store.database.close()


def hours(*features: dict[str, float | str]) -> list[Prediction]:
    """A hundred predictions an hour, a row's features in turn; the first one's in all hours."""
    return [
        Prediction(
            f"order-{hour}-{i}",
            trace=hour * 100 + i + 1,
            span=hour * 100 + i + 1,
            event_time=HOUR_START_NS + hour * HOUR_NS + i,
            features={
                name: value + (i % 10) if isinstance(value, float) else value
                for name, value in each.items()
            },
        )
        for hour, each in enumerate(features)
        for i in range(100)
    ]


def test_a_feature_that_shifts_breaks_or_changes_its_type_is_seen(tmp_path: Path) -> None:
    store = FilledStore(tmp_path)
    usual: dict[str, float | str] = {"amount": 10.0, "country": "DE"}
    store.add(
        *hours(
            usual,
            usual,
            {"amount": 500.0, "country": "DE"},
            {"amount": "10", "country": "DE"},
            {"amount": 10.0, "country": "Atlantis"},
            {"country": "DE"},
        )
    )
    url = f"/api/v1/models/fraud/drift?every=1h&reference_to={UNTIL}"
    columns = ask(drifting.routes(store, store.config), url).json()["columns"]
    amount, country = (columns[f"feature.{name}"] for name in ("amount", "country"))
    assert (amount["kind"], country["kind"]) == ("number", "category")
    assert amount["values"] == [100, 100, 100, 0, 100, 0]
    figures = {name: course["values"] for name, course in amount["figures"].items()}
    assert figures["out_of_range"] == [0, 0, 1, 0, 0, 0]
    assert figures["changed_type"] == [0, 0, 0, 1, 0, 0]
    assert figures["missing"] == [0, 0, 0, 0, 0, 1]
    assert figures["wasserstein"][2] == pytest.approx(490, abs=1)
    assert figures["jensen_shannon"][:3] == [0, 0, 1]
    assert amount["figures"]["wasserstein"]["alerts"] == [False, False, True, False, False, False]
    assert country["figures"]["unseen_categories"]["values"] == [0, 0, 0, 0, 1, 0]
    store.database.close()


def test_errors_are_foreseen_by_the_features_that_make_them(tmp_path: Path) -> None:
    store = FilledStore(tmp_path)
    rng = np.random.default_rng(1)
    rows: list[Prediction | Label] = []
    for i in range(3_000):
        # The last third is rough where the first two seldom are; no label has come of it.
        rough = bool(rng.random() < (0.2 if i < 2_000 else 0.9))
        predicted = float(rng.uniform(50, 100))
        error = float(rng.normal() * (20 if rough else 1))
        rows.append(
            Prediction(
                f"order-{i}",
                predicted=None,
                value=predicted,
                task="regression",
                positive_class=None,
                trace=i + 1,
                span=i + 1,
                event_time=HOUR_START_NS + i // 1_000 * HOUR_NS + i,
                features={"road": "rough" if rough else "smooth", "noise": float(rng.random())},
            )
        )
        if i < 2_000:
            rows.append(Label(f"order-{i}", actual=None, value=predicted + error, label_id=f"l{i}"))
    store.add(*rows)
    url = f"/api/v1/models/fraud/estimates?every=1h&reference_to={UNTIL}"
    windows = ask(foreseeing.routes(store, store.config), url).json()["windows"]
    errors = [window["metrics"]["mean_absolute_error"]["estimated"]["value"] for window in windows]
    mean = math.sqrt(2 / math.pi)
    assert errors[0] == pytest.approx(mean * (0.2 * 20 + 0.8), rel=0.15)
    assert errors[2] == pytest.approx(mean * (0.9 * 20 + 0.1), rel=0.15)
    store.database.close()


def test_features_go_through_the_journal(tmp_path: Path) -> None:
    pipeline = Pipeline(Database.open(tmp_path), CONFIG, Telemetry(), lambda: START_NS).start()
    prediction = Prediction("a", features={"amount": 1.5, "country": "DE"})
    pipeline.submit(decoded(prediction), "http").result(30)
    rows = pipeline.reader.rows(RowQuery("fraud", features=True))
    pipeline.close()
    assert rows.features.numbers["amount"].tolist() == [1.5]
    assert rows.features.texts["country"].tolist() == ["DE"]

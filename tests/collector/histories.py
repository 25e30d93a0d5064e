"""Random histories of a store: what comes, what fails, what time takes; and what must be there."""

from __future__ import annotations

import errno
import random
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import duckdb
from join_oracle import DAY_NS, Cell, by_other_name, current_predictions, key_of, outcome_cells
from records import MINUTE_NS, START_NS, Label, Prediction, decoded, label_batch
from stores import RANKS, WINDOWS, FaultyStore, tidied

from inferspan_collector.config import Config, load
from inferspan_collector.store.forgetting import ToForget

Record = Prediction | Label
Request = tuple[Record, ...]

SPANS_APART_NS = 80 * DAY_NS
"""Spans of one key that come further apart than rows live are two predictions."""
RETRIED_NS = 85 * DAY_NS
"""What comes again after its row was erased is another record."""
MODELS = {
    "fraud": {
        "targets": {
            "default": {"sources": ["clicks", "bank"], "horizon": "2m"},
            "chargeback": {"window": "30d"},
        }
    }
}
COMMIT_FAULTS = ("COMMIT", "after COMMIT", "INSERT INTO predictions", "INSERT INTO labels")
TIDY_FAULTS = ("after COMMIT", "COMMIT", "DELETE FROM predictions", "DELETE FROM labels")


@dataclass(eq=False)
class Subject:
    """An id, and all that was acknowledged of it."""

    prediction_id: str
    entity: str
    born: int | None = None
    """When its first prediction was received."""
    spans: list[tuple[int, int]] = field(default_factory=list)
    """Spans and rows that its predictions have, or will have."""
    planned: list[tuple[int, int]] = field(default_factory=list)
    """Those that are still to come."""
    predictions: list[Prediction] = field(default_factory=list)
    labels: list[Label] = field(default_factory=list)
    forgotten: bool = False
    figures: tuple[Counter[Cell], Counter[Cell], int] | None = None
    """Of both targets, and how many predictions count; None where something has come since."""


class Disk:
    """That of a directory: full, or with room for temporary files."""

    def __init__(self, directory: Path) -> None:
        self.full = False
        self._directory = directory
        self._made = tempfile.TemporaryFile

    def file(self, *, dir: Path) -> Any:
        """What `tempfile.TemporaryFile` gives."""
        if self.full and dir == self._directory:
            raise OSError(errno.ENOSPC, "No space left on device")
        return self._made(dir=dir)


class History:
    """One store, driven at random: opened with one of `configs` each time, asked with requests of
    `sizes` records; `disk` is that of its segments.
    """

    def __init__(
        self,
        store: FaultyStore,
        disk: Disk,
        configs: Sequence[Config],
        seed: int,
        sizes: Sequence[int] = (1, 1, 2, 5, 20, 60),
    ) -> None:
        self._sizes = sizes
        self._store = store
        self._disk = disk
        self._configs = configs
        self._random = random.Random(seed)
        self._now = START_NS
        self._span = 0
        self._subjects: list[Subject] = []
        self._entities: dict[str, list[Label]] = {}
        self._known: set[object] = set()
        self._sent: list[tuple[Subject | None, Record]] = []
        self._doing = (
            (self._commit, 60), (self._commit_failing, 8), (self._commit_much, 3),
            (self._pass_time, 6), (self._reopen, 4), (self._forget, 2), (self._rehearse, 1),
            (self._fill_disk, 3), (self._compact, 1),
        )  # fmt: skip

    def step(self) -> str:
        """Do one thing; what it was."""
        doing, weights = zip(*self._doing, strict=True)
        (chosen,) = self._random.choices(doing, weights)
        chosen()
        return str(chosen.__name__)

    def check(self) -> None:
        """Raise unless the store says what was acknowledged, and holds nothing twice."""
        with self._store.database.cursor() as cursor:
            for table, row in (
                (
                    "predictions LEFT JOIN prediction_details USING (row_id)"
                    " LEFT JOIN series USING (series_id)",
                    "key_high, key_low, series.identity, position, span, span_row",
                ),
                ("labels", "label_high, label_low, revision, content_hash"),
            ):
                twice = cursor.execute(
                    f"SELECT {row}, count(*), list(row_id) FROM {table} GROUP BY ALL"
                    " HAVING count(*) > 1"
                ).fetchall()
                assert twice == []
        default, chargeback = Counter[Cell](), Counter[Cell]()
        current = 0
        for subject in self._subjects:
            figures = self._figures(subject)
            default += figures[0]
            chargeback += figures[1]
            current += figures[2]
        assert current == self._store.predictions()
        assert default == by_hour(self._store.cells(target="default"))
        assert chargeback == by_hour(self._store.cells(target="chargeback"))

    def _figures(self, subject: Subject) -> tuple[Counter[Cell], Counter[Cell], int]:
        if subject.figures is None:
            labels = [*subject.labels, *self._entities[subject.entity]]
            cells = []
            for target in ("default", "chargeback"):
                found = Counter[Cell]()
                for model in ("fraud", "other"):
                    of_model = [p for p in subject.predictions if p.model == model]
                    ranks = RANKS if model == "fraud" and target == "default" else {}
                    windows = WINDOWS if model == "fraud" else {}
                    found += outcome_cells([*of_model, *labels], target, ranks, None, windows)
                cells.append(by_hour(found))
            subject.figures = (*cells, len(current_predictions(subject.predictions)))  # type: ignore[assignment]
        assert subject.figures is not None
        return subject.figures

    # --- what happens -----------------------------------------------------------------------------

    def _commit(self) -> None:
        self._take(self._requests())

    def _commit_much(self) -> None:
        """More than memory holds, perhaps."""
        much = self._random.randint(1, 8 * self._sizes[-1])
        self._take([*self._requests(), tuple(self._records(much))])

    def _commit_failing(self) -> None:
        requests = self._requests()
        at = self._random.choice(COMMIT_FAULTS)
        self._store.faults[at] = [duckdb.IOException("disk full")]
        try:
            self._take(requests, in_doubt=at == "after COMMIT")
        except duckdb.IOException:
            if self._random.random() < 0.8:
                self._take(requests)
        finally:
            self._store.faults.clear()

    def _pass_time(self) -> None:
        self._now += self._random.choice([MINUTE_NS, DAY_NS // 24, DAY_NS, 4 * DAY_NS, 15 * DAY_NS])
        if self._random.random() < 0.3:
            lets_pass = [None] * self._random.randint(0, 60)
            fault: list[Exception | None] = [duckdb.IOException("disk full"), *lets_pass]
            self._store.faults[self._random.choice(TIDY_FAULTS)] = fault
        try:
            tidied(self._store, self._now)
        except duckdb.IOException:
            self._now += DAY_NS // 24
        finally:
            self._store.faults.clear()

    def _reopen(self) -> None:
        self._store.database.close()
        self._store.config = self._random.choice(self._configs)
        self._store.open()
        self.check()

    def _forget(self) -> None:
        subject = self._random.choice(self._subjects) if self._subjects else None
        if subject is None or subject.forgotten or not subject.predictions:
            return
        self._figures(subject)
        self._store.writer.forget(ToForget(subject.prediction_id), self._now)
        # Its figures stay as they are from now on.
        subject.forgotten = True

    def _rehearse(self) -> None:
        labels = [record for record in self._records(20) if isinstance(record, Label)]
        self._store.writer.rehearse(label_batch(labels), self._now)

    def _fill_disk(self) -> None:
        self._disk.full = not self._disk.full

    def _compact(self) -> None:
        self._store.writer.compact()

    # --- what comes -------------------------------------------------------------------------------

    def _take(self, requests: list[Request], *, in_doubt: bool = False) -> None:
        """Commit requests, received now; what became of them must be what they are."""
        self._now += 1_000_000_000
        now = self._now
        requests = [tuple(replace(r, received=now) for r in request) for request in requests]
        try:
            committed = self._store.writer.commit([decoded(*rows) for rows in requests], now)
        except duckdb.IOException:
            if in_doubt:
                for request in requests:
                    self._acknowledge(request)
            raise
        for request, became in zip(requests, committed, strict=True):
            predictions, labels = self._acknowledge(request)
            assert (predictions, labels) == (
                became.predictions,
                tuple(r if r in ("duplicate", "forgotten") else "new" for r in became.labels),
            )

    def _acknowledge(self, request: Request) -> tuple[int, tuple[str, ...]]:
        """Note what is new of a request; how many predictions are, and what its labels are."""
        new, labels = 0, []
        for record in sorted(request, key=lambda r: isinstance(r, Label)):
            said = replace(record, received=0)
            what = (said, key_of(said)) if isinstance(said, Prediction) else said
            subject = self._owner(record)
            if subject is not None and subject.forgotten:
                result = "forgotten"
            elif what in self._known:
                result = "duplicate"
            else:
                self._known.add(what)
                result = "new"
                self._note(subject, record)
            if isinstance(record, Label):
                labels.append(result)
            else:
                new += result == "new"
        return new, tuple(labels)

    def _note(self, subject: Subject | None, record: Record) -> None:
        self._sent.append((subject, record))
        if subject is None:
            assert isinstance(record, Label)
            assert record.entity_id is not None
            self._entities[record.entity_id].append(record)
            for each in self._subjects:
                if each.entity == record.entity_id and not each.forgotten:
                    each.figures = None
            return
        subject.figures = None
        if isinstance(record, Label):
            subject.labels.append(record)
        else:
            subject.born = subject.born or record.received
            subject.predictions.append(record)

    def _owner(self, record: Record) -> Subject | None:
        """Whose it is; None of a label of an entity."""
        if isinstance(record, Label) and by_other_name(record):
            return None
        if record.prediction_id is not None:
            return self._subjects[int(record.prediction_id.removeprefix("order-"))]
        assert isinstance(record, Label)
        return self._subjects[int(record.label_id.split("-")[1])]

    def _requests(self) -> list[Request]:
        return [
            tuple(self._records(self._random.choice(self._sizes)))
            for _ in range(self._random.choice([1, 1, 1, 2, 4]))
        ]

    def _records(self, count: int) -> Iterator[Record]:
        for _ in range(count):
            chance = self._random.random()
            if chance < 0.2 and self._sent:
                yield self._again()
            elif chance < 0.65:
                yield self._prediction(self._subject(0.7))
            else:
                yield self._label(self._subject(0.1))

    def _again(self) -> Record:
        """A retry, while its row lives."""
        newest = self._random.random() < 0.5
        subject, record = self._random.choice(self._sent[-50:] if newest else self._sent)
        gone = subject is not None and subject.forgotten and record.prediction_id is None
        if gone or self._now - record.received > RETRIED_NS:
            return self._prediction(self._subject(1))
        return record

    def _subject(self, new: float) -> Subject:
        """A new one, one of the newest, or any."""
        chance = self._random.random()
        if chance < new or not self._subjects:
            number = len(self._subjects)
            entity = f"customer-{number // 3}"
            self._entities.setdefault(entity, [])
            self._subjects.append(Subject(f"order-{number}", entity))
            return self._subjects[-1]
        among = self._subjects if chance > 0.5 else self._subjects[-30:]
        found = self._random.choice(among)
        return self._subject(1) if found.forgotten else found

    def _prediction(self, subject: Subject) -> Prediction:
        if subject.born is not None and self._now - subject.born > SPANS_APART_NS:
            subject = self._subject(1)
        span, row = subject.planned.pop() if subject.planned else self._new_span(subject)
        some = self._random.choice
        return Prediction(
            subject.prediction_id,
            some(["fraud", "legit", "legit"]),
            index=some([0, 0, 0, 1]),
            model=some(["fraud"] * 9 + ["other"]),
            version=some(["7", "7", "8"]),
            environment=some([None, None, None, "prod"]),
            kind=some([1, 1, 2, 3]),
            span=span,
            span_row=row,
            event_time=self._now - self._random.randint(0, 3) * MINUTE_NS,
            error_type=some([None] * 9 + ["ValueError"]),
            entity_id=subject.entity,
        )

    def _new_span(self, subject: Subject) -> tuple[int, int]:
        self._span += 1
        subject.spans.append((self._span, self._random.choice([0, 0, 1])))
        return subject.spans[-1]

    def _label(self, subject: Subject) -> Label:
        some = self._random.choice
        said = Label(
            subject.prediction_id,
            some(["fraud", "legit"]),
            f"{subject.prediction_id}-{some('abc')}",
            revision=some([0, 0, 1, 2]),
            index=some([0, 0, 0, 1]),
            version=some([None, None, "7"]),
            target=some(["default", "default", "chargeback"]),
            time=self._now - self._random.randint(1, 3) * MINUTE_NS,
            source=some([None, "clicks", "bank"]),
            deleted=some([False, False, False, True]),
        )
        chance = self._random.random()
        if chance < 0.7:
            return said
        if chance < 0.9 or not subject.predictions:
            span, row = self._span_of(subject)
            return replace(said, prediction_id=None, link_trace=1, link_span=span, index=row)
        near = some(subject.predictions).event_time + some([-1, 0, 1, 3]) * MINUTE_NS
        self._span += 1
        return replace(
            said,
            prediction_id=None,
            label_id=f"e{self._span:09}",
            entity_id=subject.entity,
            target="default",
            index=0,
            time=near,
        )

    def _span_of(self, subject: Subject) -> tuple[int, int]:
        """A span of one of its predictions, or of one that is still to come."""
        if not subject.spans or self._random.random() < 0.2:
            subject.planned.append(self._new_span(subject))
            return subject.planned[-1]
        return self._random.choice(subject.spans)


def holding(hot_keys: int, cold_keys: int) -> Config:
    """The configuration with an index of so many keys."""
    return load(None, {"models": MODELS, "store": {"hot_keys": hot_keys, "cold_keys": cold_keys}})


def by_hour(cells: Counter[Cell]) -> Counter[Cell]:
    """Cells of whole hours, as those of older minutes are."""
    hours = Counter[Cell]()
    for (minute, *rest), n in cells.items():
        hours[(minute // 60 * 60, *rest)] += n  # type: ignore[index]
    return hours

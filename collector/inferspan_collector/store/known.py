"""What the writer remembers between transactions, so that it need not ask the file."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import duckdb
import numpy as np

from inferspan_collector.batches import (
    Bool,
    Int32,
    Int64,
    LabelBatch,
    PredictionBatch,
    Strings,
    UInt64,
)
from inferspan_collector.config import Config
from inferspan_collector.several_classes import rankings
from inferspan_collector.store import grouping, keys, nearby
from inferspan_collector.store.cells import MINUTE_NS
from inferspan_collector.store.compiled.rows import EXCEPTIONAL, KEYLESS, MAYBE_COLD
from inferspan_collector.store.dictionary import Dictionary
from inferspan_collector.store.facts import UNKNOWN, Codes, SeriesFacts, SliceFacts
from inferspan_collector.store.interning import Interner
from inferspan_collector.store.keys import Secret
from inferspan_collector.store.nearby import Linked, Older, Since
from inferspan_collector.store.recent_keys import (
    Arriving,
    ArrivingLabels,
    KeyHashes,
    RecentKeys,
)
from inferspan_collector.store.sealed_rows import SEGMENT_ROWS, SealedRows
from inferspan_collector.store.staging import Labels, Predictions
from inferspan_collector.telemetry import OTHER

_logger = logging.getLogger(__name__)


class Known:
    """Texts by number, recent keys, and the spans that links name.

    Nothing of a transaction stays here unless it is on disk: `RecentKeys` has its own way back, and
    `reload` reads the rest again.
    """

    def __init__(
        self, cursor: duckdb.DuckDBPyConnection, config: Config, directory: Path | None = None
    ) -> None:
        self._config = config
        self.interner = Interner(cursor, config)
        self.label_sets = Dictionary(cursor, "label_sets")
        self.judgements = Dictionary(cursor, "judgements")
        self.feature_sets = Dictionary(cursor, "feature_sets")
        self.secret = Secret.of(cursor)
        self.classes = Codes()
        self.series = SeriesFacts(config)
        self.slices = SliceFacts()
        self.recent = RecentKeys(config.store.hot_keys, config.store.cold_keys)
        self.sealed = SealedRows(
            directory,
            min(SEGMENT_ROWS, max(1, config.store.hot_keys // 4)),
            self.recent.row_hashes,
        )
        self._has_room = True
        self.linked: UInt64 = np.empty(0, np.uint64)
        """Hashes of the spans that labels name by a link alone, in ascending order."""
        self._learn()

    @property
    def dictionaries(self) -> tuple[Dictionary, ...]:
        """Combinations by number, of each kind."""
        return self.label_sets, self.judgements, self.feature_sets

    def reload(self) -> None:
        """Forget what was interned and not committed.

        Raises:
            duckdb.Error: the store cannot be read; nothing may be written until it can.
        """
        self.interner.reload()
        for dictionary in self.dictionaries:
            dictionary.reload()
        self.series = SeriesFacts(self._config)
        self.slices = SliceFacts()
        self._learn()

    def _learn(self) -> None:
        self.series.learn(self.interner)
        self.slices.learn(self.interner.slice_sets)

    def predictions(self, batch: PredictionBatch, first_row: int) -> Predictions:
        """Key and intern a batch; row ids count up from `first_row`."""
        series, identities = self.interner.series(batch)
        slices = self.interner.slices(batch)
        self._learn()
        return Predictions(
            batch=batch,
            rows=np.arange(first_row, first_row + len(batch), dtype=np.int64),
            keys=self.secret.keys(batch.prediction_id),
            series=series,
            identities=identities,
            folded=self.series.identity[series] != identities,
            slices=slices,
        )

    def seal_due(self, newest: Since) -> bool:
        """Whether rows are to be sealed: keys have left, or soon will, and enough rows wait, or
        some of a key that has left.
        """
        soon = len(self.recent) > self.recent.capacity // 2 or not self.recent.cold.empty
        loose = self.recent.is_loose(self.sealed.until)
        return soon and self.recent.capacity > 0 and (loose or self.sealed.due(newest))

    def seal(self, cursor: duckdb.DuckDBPyConnection, newest: Since) -> None:
        """Seal some of what waits; where there is no room, it waits on."""
        loose = self.recent.is_loose(self.sealed.until)
        self._sealing(newest, lambda: self.sealed.seal_some(cursor, newest, all_rows=loose))

    def seal_before(self, cursor: duckdb.DuckDBPyConnection, until: Since) -> None:
        """Seal all rows before these, as `seal` does some."""
        self._sealing(until, lambda: self.sealed.seal(cursor, until))

    def _sealing(self, newest: Since, seal: Callable[[], None]) -> None:
        try:
            seal()
            self._has_room = True
        except (OSError, MemoryError, duckdb.OperationalError) as error:
            # Each commit tries again, and the log need not say each time that there is no room.
            if self._has_room:
                _logger.warning("older ids are sought in the file, which is slow: %s", error)
            self._has_room = False
        finally:
            # A key may have had no other sealed row, also where another table had no room.
            if self.sealed.take_lost():
                self.recent.loosen(newest)

    def note_erased(self, last: Since, newest: Since) -> None:
        """Rows up to `last` are about to leave, or have; those before `newest` are in the file.

        What has left must not be joined from memory. And of a key that has left memory it may have
        been the only row that is sealed, or was to be.
        """
        self.recent.note_erased(last)
        self.recent.loosen(newest)

    def older(self, hashes: KeyHashes, high: UInt64, low: UInt64) -> tuple[Bool, Older]:
        """Which keys are older than the index, and the sealed rows of their ids."""
        cold = self.recent.maybe_cold(hashes)
        if not cold.any():
            return cold, Older()
        has, rows = self.sealed.find(high[cold], low[cold])
        if not self.recent.is_loose(self.sealed.until):
            cold[np.flatnonzero(cold)[~has]] = False
        return cold, rows

    def arriving(self, known: Predictions) -> Arriving:
        """The columns of predictions that the index looks at."""
        batch = known.batch
        hashes = self.recent.hashes(
            known.keys.high, known.keys.low, keys.string_hashes(batch.model), batch.index
        )
        spans = self.span_hashes(batch.trace[:, 0], batch.trace[:, 1], batch.span, batch.span_row)
        # Rankings are compared with nothing, and hardly two are alike: they would take all codes.
        ranked = rankings(batch.task, batch.operation)
        answers = batch.predicted
        if ranked.any():
            texts = answers.objects()
            texts[ranked] = None
            answers = Strings.of(texts)
        predicted = self.classes.column(answers)
        beyond = np.zeros(len(known), np.int8)
        beyond[predicted == UNKNOWN] = EXCEPTIONAL
        beyond[self.is_linked(spans) | known.folded | _is_other(batch.model)] = EXCEPTIONAL
        cold, older = self.older(hashes, known.keys.high, known.keys.low)
        beyond[cold] = MAYBE_COLD
        return Arriving(
            keys=hashes,
            rows=known.rows,
            beyond=beyond,
            span=spans,
            series=known.series,
            slices=known.slices,
            predicted=predicted,
            minute=(batch.event_time // MINUTE_NS).astype(np.int32),
            value=batch.value,
            failed=batch.error_type.codes >= 0,
            received=batch.received // MINUTE_NS,
            older=older,
        )

    def arriving_labels(self, known: Labels) -> ArrivingLabels:
        """The columns of labels that the index looks at."""
        batch = known.batch
        hashes = self.recent.hashes(
            known.keys.high, known.keys.low, keys.string_hashes(batch.model), batch.index
        )
        beyond = np.zeros(len(known), np.int8)
        of_items = batch.item_id.lengths() > 0
        unknown = self.classes.column(batch.actual) == UNKNOWN
        beyond[batch.deleted | of_items | unknown] = EXCEPTIONAL
        cold, older = self.older(hashes, known.keys.high, known.keys.low)
        beyond[cold] = MAYBE_COLD
        unnamed = batch.names_no_key()
        beyond[unnamed | _is_other(batch.model)] = KEYLESS
        return ArrivingLabels(
            keys=hashes,
            rows=known.rows,
            beyond=beyond,
            label=self.recent.row_hashes(
                known.own.high, known.own.low, batch.revision.view(np.uint64), known.content
            ),
            environment=self.series.named(batch.environment),
            version=self.series.named(batch.version),
            received=batch.received // MINUTE_NS,
            window=self._windows(batch),
            older=older,
        )

    def _windows(self, batch: LabelBatch) -> Int64:
        """The window of each label, in minutes."""
        special = self._config.label_windows_ns
        if not special:
            return np.full(len(batch), self._config.label_window_ns // MINUTE_NS, np.int64)
        group, first = grouping.groups((batch.model.codes, batch.target.codes))
        minutes = [
            self.window_minutes(batch.model.text(row), batch.target.text(row))
            for row in first.tolist()
        ]
        return np.array(minutes, np.int64)[group]

    def window_minutes(self, model: str | None, target: str | None) -> int:
        """The window of labels of a model and target, in minutes."""
        config = self._config
        special = config.label_windows_ns.get((str(model), str(target)))
        return (config.label_window_ns if special is None else special) // MINUTE_NS

    def span_hashes(self, high: UInt64, low: UInt64, span: UInt64, row: Int32) -> UInt64:
        """64 bits of each (trace, its two halves; span; row of the span), with a secret of this
        process.
        """
        return self.recent.row_hashes(high, low, span, row.astype(np.uint64))

    def is_linked(self, spans: UInt64) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        """Which spans a label names by a link alone."""
        if len(self.linked) == 0:
            return np.zeros(len(spans), np.bool_)
        places = np.searchsorted(self.linked, spans)
        places[places == len(self.linked)] = 0
        return self.linked[places] == spans  # type: ignore[no-any-return]

    def link(
        self, cursor: duckdb.DuckDBPyConnection, labels: Labels, newest: Since
    ) -> Linked | None:
        """Leave to SQL whatever has a key that these labels name by a link alone.

        Returns:
            The stored predictions that are named so; None where no label does it.
        """
        batch, rows = labels.batch, labels.by_link
        if not rows.any():
            return None
        return self.link_spans(
            cursor, batch.link_trace[rows], batch.link_span[rows], batch.index[rows], newest
        )

    def link_spans(
        self,
        cursor: duckdb.DuckDBPyConnection,
        trace: UInt64,
        span: UInt64,
        row: Int32,
        newest: Since,
    ) -> Linked:
        """As `link`, of these spans and rows in them."""
        named = self.span_hashes(trace[:, 0], trace[:, 1], span, row)
        self.linked = _with(self.linked, named)
        found = nearby.linked(cursor, trace, span)
        self.recent.leave_to_sql(
            self.recent.hashes(
                found.high, found.low, self.series_models[found.series], found.position
            ),
            newest,
        )
        return found

    @property
    def series_models(self) -> UInt64:
        """The hash of each series' model, by the series' number."""
        return keys.string_hashes(Strings.of(self.series.models))


def _with(held: UInt64, some: UInt64) -> UInt64:
    """Sorted numbers with some more among them, each once: copied, for to sort anew costs as much
    as a hundred such copies, and silence alone links to every prediction.
    """
    more = np.unique(some)
    places = np.searchsorted(held, more)
    if len(held):
        new = held[np.minimum(places, len(held) - 1)] != more
        more, places = more[new], places[new]
    return np.insert(held, places, more)


def _is_other(models: Strings) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Which models are the one that others fold into."""
    if OTHER not in models.values:
        return np.zeros(len(models), np.bool_)
    return models.codes == models.values.index(OTHER)  # type: ignore[no-any-return]

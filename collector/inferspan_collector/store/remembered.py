"""What was forgotten, as keyed hashes: enough to know a retry by, and nothing else.

Each row that comes is asked by one compiled hash of its id, some 20 ns; only what that finds is
looked at again, with its model. The key is the file's own: who has the file can test whether a
given id was forgotten, and learn nothing else.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

import duckdb
import numpy as np

from inferspan_collector.batches import (
    Bool,
    Decoded,
    LabelBatch,
    NamedBatch,
    PredictionBatch,
    Texts,
    UInt64,
)
from inferspan_collector.store.compiled import sip

Span = tuple[int, int, int, int]
"""The halves of a trace id, a span id, and a row of that span."""
_OF_FORMAT_3: Final = 0
"""The hash that stands among others where some are of that format: of ids they have the exact hash
alone, and spans were hashed as ids are."""


class Remembered:
    """The hashes of one store. One thread owns it."""

    def __init__(self, cursor: duckdb.DuckDBPyConnection) -> None:
        self._cursor = cursor
        self.reload()

    def reload(self) -> None:
        """Read what is committed: at start, and after a rollback."""
        keys = self._cursor.execute("SELECT key FROM forgetting_key").fetchall()
        self._key: bytes | None = keys[0][0] if keys else None
        columns = self._cursor.execute("SELECT hash FROM forgotten").fetchnumpy()
        hashes = np.asarray(columns["hash"], np.uint64)
        self._hashes = np.unique(hashes[hashes != _OF_FORMAT_3])
        self._from_format_3 = bool((hashes == _OF_FORMAT_3).any())

    def drop_expired(self, now_ns: int) -> None:
        """Drop what no retry can bring back any more, in a transaction of its own."""
        self._cursor.execute("DELETE FROM forgotten WHERE until < ?", [now_ns])
        self.reload()

    def add_id(self, model: str | None, prediction_id: str, until_ns: int) -> None:
        """Remember a prediction's id, of one model or of every one."""
        exact = self._hash(_id_text(model, prediction_id))
        self._add([exact, *self._of_texts(Texts.of([prediction_id])).tolist()], until_ns)

    def add_spans(self, spans: Sequence[Span], until_ns: int) -> None:
        """Remember rows of spans, to which labels may link."""
        if spans:
            self._add(self._of_spans(np.array(spans, np.uint64)).tolist(), until_ns)

    def add_labels(self, label_ids: Sequence[str], until_ns: int) -> None:
        """Remember labels by their own ids."""
        exact = [self._hash(_label_text(label_id)) for label_id in label_ids]
        self._add([*exact, *self._of_texts(Texts.of(label_ids)).tolist()], until_ns)

    def without(self, group: Sequence[Decoded]) -> tuple[list[Decoded], list[Bool] | None]:
        """A group of requests without the rows that name what was forgotten.

        Returns:
            The requests, and of each which of its labels are forgotten; None where nothing is.
        """
        if not len(self._hashes):
            return list(group), None
        kept, masks = [], []
        for part in group:
            predictions, labels = self._in(part.predictions), self._in_labels(part.labels)
            names = part.named
            masks.append(labels)
            if predictions.any() or labels.any():
                part = replace(
                    part,
                    predictions=part.predictions.take(~predictions),
                    labels=part.labels.take(~labels),
                    named=None if names is None else names.take(~self._in(names)),
                )
            kept.append(part)
        return kept, masks

    def _in(self, batch: PredictionBatch | NamedBatch) -> Bool:
        found = self._known(self._of_texts(batch.prediction_id)) | self._from_format_3
        rows = np.flatnonzero(found)
        if len(rows):
            models, ids = batch.model.take(rows).objects(), batch.prediction_id.take(rows).objects()
            found[rows] = self._exactly(
                (_id_text(model, id_), _id_text(None, id_))
                for model, id_ in zip(models, ids, strict=True)
            )
        return found

    def _in_labels(self, batch: LabelBatch) -> Bool:
        linked = np.column_stack([batch.link_trace, batch.link_span]).astype(np.uint64)
        rows_linked = np.column_stack([linked, batch.index]).astype(np.uint64)
        # Whole spans were remembered before rows of them were.
        by_link: Bool = self._known(self._of_spans(linked))
        by_link |= self._known(self._of_spans(rows_linked))
        by_link &= batch.link_span != 0
        if self._from_format_3 and len(linked):
            by_link |= self._exactly([_span_text(*span)] for span in linked.tolist())
        # Of a label that names an id the link says nothing: it may be about another row of a batch.
        by_link &= batch.names_no_key()
        found = self._known(self._of_texts(batch.prediction_id))
        found |= self._known(self._of_texts(batch.label_id)) | self._from_format_3
        rows = np.flatnonzero(found)
        if len(rows):
            few = batch.take(rows)
            found[rows] = self._exactly(
                (_id_text(model, id_), _id_text(None, id_), _label_text(label_id))
                for model, id_, label_id in zip(
                    few.model.objects(),
                    few.prediction_id.objects(),
                    few.label_id.objects(),
                    strict=True,
                )
            )
        marked: Bool = np.logical_or(found, by_link)
        return marked

    def _exactly(self, rows: Iterable[Sequence[str]]) -> Bool:
        hashes = [[self._hash(text) for text in texts] for texts in rows]
        known = self._known(np.array(hashes, np.uint64))
        return np.asarray(np.any(known, axis=1), np.bool_)

    def _known(self, hashes: UInt64) -> Bool:
        if not len(self._hashes):
            return np.zeros(hashes.shape, np.bool_)
        places = np.searchsorted(self._hashes, hashes)
        found: Bool = self._hashes[np.minimum(places, len(self._hashes) - 1)] == hashes
        return found

    def _of_texts(self, texts: Texts) -> UInt64:
        return sip.of_texts(texts.data, texts.offsets, *self._halves())

    def _of_spans(self, words: UInt64) -> UInt64:
        return sip.of_rows(np.ascontiguousarray(words.T), *self._halves())

    def _hash(self, text: str) -> int:
        digest = hashlib.blake2b(
            text.encode("utf-8", "surrogatepass"), digest_size=8, key=self._made_key()
        )
        return int.from_bytes(digest.digest(), "little")

    def _halves(self) -> tuple[np.uint64, np.uint64]:
        high, low = np.frombuffer(self._made_key()[:16], np.uint64)
        return high, low

    def _made_key(self) -> bytes:
        if self._key is None:
            self._key = secrets.token_bytes(32)
            self._cursor.execute("INSERT INTO forgetting_key VALUES (?)", [self._key])
        return self._key

    def _add(self, hashes: Sequence[int], until_ns: int) -> None:
        self._cursor.execute("DELETE FROM forgotten WHERE list_contains(?, hash)", [[*hashes]])
        self._cursor.executemany(
            "INSERT INTO forgotten VALUES (?, ?)", [(hash_, until_ns) for hash_ in {*hashes}]
        )
        self._hashes = np.union1d(self._hashes, np.array(hashes, np.uint64))


def _id_text(model: str | None, prediction_id: str | None) -> str:
    return f"id\0{model or ''}\0{prediction_id or ''}"


def _span_text(trace_high: int, trace_low: int, span: int) -> str:
    return f"span\0{trace_high}\0{trace_low}\0{span}"


def _label_text(label_id: str) -> str:
    return f"label\0{label_id}"

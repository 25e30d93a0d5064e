"""The journal of an older collector is read: what its columns held, and what it did not write."""

from __future__ import annotations

import dataclasses
import struct
from typing import Any, cast

import numpy as np
from records import Label, Prediction, decoded
from test_journal import content

from inferspan_collector.batches import PredictionBatch, Strings, Texts
from inferspan_collector.journal import packing


def test_a_column_that_an_older_collector_did_not_write_is_absent() -> None:
    older = packing.Layout(
        [column for column in packing.CURRENT.predictions if column[0] not in ("variant", "value")],
        [column for column in packing.CURRENT.labels if column[0] != "response_id"],
    )
    request = decoded(Prediction("a", value=2.0, variant="b"), Label("a"))
    packed = packing.packed(request.predictions, request.labels, request.stages, older)
    predictions, labels, _ = packing.unpacked(packed, older)
    assert content(predictions) == content(
        dataclasses.replace(
            request.predictions, variant=Strings.constant(None, 1), value=np.array([np.nan])
        )
    )
    assert content(labels) == content(
        dataclasses.replace(request.labels, response_id=Texts.constant(None, 1))
    )


@dataclasses.dataclass(frozen=True)
class BeforeRows:
    """Predictions as they were packed before features were rows."""

    batch: PredictionBatch
    feature_values: Texts
    category_values: Texts

    def __getattr__(self, name: str) -> Any:
        return getattr(self.batch, name)

    def __len__(self) -> int:
        return len(self.batch)


def test_features_that_an_older_collector_wrote_are_read() -> None:
    names = {"features": "feature_values"}
    columns = [(names.get(name, name), kind) for name, kind in packing.CURRENT.predictions]
    older = packing.Layout(
        [*columns, ("category_values", "Texts")], packing.CURRENT.labels, packing.CURRENT.stages
    )
    request = decoded(
        Prediction("a", features={"amount": 0.1, "country": "DE"}),
        Prediction("b", features={"amount": -0.0, "country": "é"}),
        Prediction("c"),
    )
    before = BeforeRows(
        request.predictions,
        Texts.of_bytes([struct.pack("<d", 0.1), struct.pack("<d", -0.0), b""]),
        Texts.of_bytes([b"\n\4\n\2DE", "\n\4\n\2é".encode(), b""]),
    )
    packed = packing.packed(cast(PredictionBatch, before), request.labels, request.stages, older)
    predictions, _, _ = packing.unpacked(packed, packing.Layout.of(older.text()))
    assert content(predictions) == content(request.predictions)

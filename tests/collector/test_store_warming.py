"""What the store calls is compiled before the first request, all of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from records import Label, Prediction
from stores import FaultyStore, holding

from inferspan_collector.store import warming
from inferspan_collector.store.compiled import bloom, entries, groups, ids, rows, sealed, sip


def compiled() -> Iterator[tuple[str, Any]]:
    """Functions that Python calls, and for which types they are compiled."""
    for module in (bloom, entries, groups, ids, rows, sealed, sip):
        for name, function in vars(module).items():
            if getattr(function, "__module__", None) == module.__name__ and (
                signatures := getattr(function, "signatures", None)
            ):
                yield f"{module.__name__}.{name}", list(signatures)


def test_after_warming_nothing_is_compiled(tmp_path: Path) -> None:
    warming.warm()
    before = dict(compiled())
    assert {name.rpartition(".")[2] for name in before} >= {"see_predictions", "see_labels"}

    store = FaultyStore(tmp_path, holding(3, 100))
    store.fail("COMMIT", (Prediction(), Label()))
    for n in range(6):
        store.commit((Prediction(f"order-{n}", span=n + 1),), (Label(f"order-{n}"),))
    store.commit((Label("order-5", label_id="other"), Label("order-0", label_id="cold")))
    store.commit((Label(prediction_id=None, model=None, link_trace=1, link_span=6),))
    store.database.close()
    store.open()
    store.database.close()

    assert dict(compiled()) == before

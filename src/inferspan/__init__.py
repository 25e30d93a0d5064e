"""inferspan: distributed tracing for model serving that ends in accuracy."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from inferspan.current import current_prediction
from inferspan.decorators import predict, snapshot, stage
from inferspan.providers import configure, flush

if TYPE_CHECKING:
    from inferspan.batching import batch
    from inferspan.instrumenting import instrument, uninstrument
    from inferspan.label_tables import label_table
    from inferspan.labels import label
    from inferspan.references import PredictionRef as PredictionRef
    from inferspan.wrapping import wrap

__all__ = [
    "batch",
    "configure",
    "current_prediction",
    "flush",
    "instrument",
    "label",
    "label_table",
    "predict",
    "snapshot",
    "stage",
    "uninstrument",
    "wrap",
]

# Loaded by whoever uses them: most processes need none, and would wait for them at their start.
_LATER = {
    "PredictionRef": ".references",
    "batch": ".batching",
    "instrument": ".instrumenting",
    "label": ".labels",
    "label_table": ".label_tables",
    "uninstrument": ".instrumenting",
    "wrap": ".wrapping",
}


def __getattr__(name: str) -> object:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value = getattr(import_module(_LATER[name], __name__), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER})

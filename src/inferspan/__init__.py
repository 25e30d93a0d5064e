"""inferspan: distributed tracing for model serving that ends in accuracy."""

from inferspan.batching import batch
from inferspan.current import current_prediction
from inferspan.decorators import predict, snapshot, stage
from inferspan.label_tables import label_table
from inferspan.labels import PredictionRef as PredictionRef
from inferspan.labels import label
from inferspan.providers import configure, flush
from inferspan.wrapping import wrap

__all__ = [
    "batch",
    "configure",
    "current_prediction",
    "flush",
    "label",
    "label_table",
    "predict",
    "snapshot",
    "stage",
    "wrap",
]

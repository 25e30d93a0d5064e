"""inferspan: distributed tracing for model serving that ends in accuracy."""

from inferspan.decorators import predict, snapshot, stage
from inferspan.label_tables import label_table
from inferspan.labels import PredictionRef, label
from inferspan.predictions import current_prediction
from inferspan.providers import configure, flush
from inferspan.wrapping import wrap

__all__ = [
    "PredictionRef",
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

"""A model of tumours for ONNX Runtime, learnt on the spot from data that scikit-learn ships."""

from __future__ import annotations

import numpy as np
import onnxruntime
import skl2onnx
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

CLASSES = ["malignant", "benign"]


def split() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Rows to learn from and rows to ask about, and the classes of both: 1 is benign."""
    x, y = load_breast_cancer(return_X_y=True)
    return tuple(train_test_split(x.astype(np.float32), y, random_state=0))


def session() -> onnxruntime.InferenceSession:
    """A session that answers `label` and `probabilities` for rows of 30 numbers."""
    x, _, y, _ = split()
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(x, y)
    options = {id(model): {"zipmap": False}}
    made = skl2onnx.to_onnx(
        model, x[:1], name="tumour", options=options, target_opset={"": 18, "ai.onnx.ml": 3}
    )
    return onnxruntime.InferenceSession(made.SerializeToString())

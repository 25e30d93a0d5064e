"""Rows of tumours that scikit-learn ships: some to learn from, some to ask about."""

from __future__ import annotations

import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split

CLASSES = ["malignant", "benign"]


def split() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Rows to learn from and rows to ask about, and the classes of both: 1 is benign."""
    x, y = load_breast_cancer(return_X_y=True)
    return tuple(train_test_split(x.astype(np.float32), y, random_state=0))

"""What a user runs: it answers with ONNX models for rows of arrays, and knows nothing of us.

The models take the row's key beside its numbers, as models do whose answers go through a queue.
Standard output is what it answered, for the test to judge.
"""

from __future__ import annotations

import json

import numpy as np
import onnxruntime
import skl2onnx
from onnx import TensorProto, helper
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

answers = {}
for name, load, model in (
    ("tumour", load_breast_cancer, make_pipeline(StandardScaler(), LogisticRegression())),
    ("iris", load_iris, LogisticRegression(max_iter=500)),
    ("diabetes", load_diabetes, LinearRegression()),
):
    x, y = load(return_X_y=True)
    x_train, x_test, y_train, y_test = train_test_split(x.astype(np.float32), y, random_state=0)
    model.fit(x_train, y_train)
    made = skl2onnx.to_onnx(model, x_train[:1], name=name)
    made.graph.input.append(helper.make_tensor_value_info("id", TensorProto.STRING, [None]))
    session = onnxruntime.InferenceSession(made.SerializeToString())
    said = []
    ids = np.array([f"{name}-{n}" for n in range(len(x_test))])
    for at in np.split(np.arange(len(x_test)), [-3, -2, -1]):  # a batch, and singly
        answer = session.run(None, {"X": x_test[at], "id": ids[at]})[-1]
        said += [[*row.values()] if isinstance(row, dict) else row.item() for row in answer]
    answers[name] = {
        "ids": ids.tolist(),
        "truth": y_test.tolist(),
        "said": said,
    }
print(json.dumps(answers))

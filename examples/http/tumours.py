"""A model of tumours for ONNX Runtime, learnt on the spot from data that scikit-learn ships."""

from __future__ import annotations

import onnxruntime
import skl2onnx
from onnx import TensorProto, helper
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tumour_rows import split


def session(named: bool = False) -> onnxruntime.InferenceSession:
    """A session that answers `label` and `probabilities` for rows of 30 numbers.

    Args:
        named: whether it takes the rows' keys, too, as `id`.
    """
    x, _, y, _ = split()
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(x, y)
    options = {id(model): {"zipmap": False}}
    made = skl2onnx.to_onnx(
        model, x[:1], name="tumour", options=options, target_opset={"": 18, "ai.onnx.ml": 3}
    )
    if named:
        made.graph.input.append(helper.make_tensor_value_info("id", TensorProto.STRING, [None]))
    return onnxruntime.InferenceSession(made.SerializeToString())

"""Small models of each library that answer for one row: what `bench_libraries.py` measures."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import apart_models
from one_row import Maker, Small, rows


def sklearn_at_once() -> Small:
    import numpy as np
    from sklearn.base import BaseEstimator, ClassifierMixin

    class Constant(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
        """Answers at once: what is measured beside it is the tracing alone."""

        classes_ = np.array([0, 1])
        answer = np.array([1])

        def predict(self, x: Any) -> Any:
            return self.answer

    return Small(Constant(), "predict", rows()[0][:1])


def sklearn_classifier(method: str) -> Small:
    from sklearn.linear_model import LogisticRegression

    x, y = rows()
    return Small(LogisticRegression().fit(x, y), method, x[:1])


def sklearn_regression() -> Small:
    from sklearn.linear_model import LinearRegression

    x, y = rows("numbers")
    return Small(LinearRegression().fit(x, y), "predict", x[:1])


def sklearn_pipeline() -> Small:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    x, y = rows()
    return Small(make_pipeline(StandardScaler(), LogisticRegression()).fit(x, y), "predict", x[:1])


def sklearn_wrapped() -> Small:
    import inferspan

    small = sklearn_classifier("predict")
    return replace(small, wrapped=lambda: inferspan.wrap(small.model, model="model", version="7"))


def xgboost_classifier(method: str) -> Small:
    import xgboost

    x, y = rows()
    return Small(xgboost.XGBClassifier(n_estimators=5, n_jobs=1).fit(x, y), method, x[:1])


def xgboost_booster(method: str) -> Small:
    import xgboost

    x, y = rows()
    told = {"objective": "binary:logistic", "nthread": 1}
    booster = xgboost.train(told, xgboost.DMatrix(x, y, nthread=1), 5)
    given = () if method == "inplace_predict" else (xgboost.DMatrix(x[:1], nthread=1),)
    return Small(booster, method, x[:1], given)


def lightgbm_classifier(method: str) -> Small:
    import lightgbm

    x, y = rows(count=200)
    fitted = lightgbm.LGBMClassifier(n_estimators=5, n_jobs=1, verbose=-1).fit(x, y)
    return Small(fitted, method, x[:1])


def lightgbm_booster() -> Small:
    classifier = lightgbm_classifier("predict")
    return Small(classifier.model.booster_, "predict", classifier.given)


def catboost_classifier(method: str) -> Small:
    import catboost

    x, y = rows()
    told = {"iterations": 5, "thread_count": 1, "verbose": False, "allow_writing_files": False}
    return Small(catboost.CatBoostClassifier(**told).fit(x, y), method, x[:1])


def onnxruntime_session() -> Small:
    import numpy as np
    import onnxruntime
    from onnx import TensorProto, helper

    weights = np.random.default_rng(0).normal(size=20).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"]), helper.make_node("Softmax", ["y"], ["p"])],
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 10])],
        [helper.make_tensor_value_info("p", TensorProto.FLOAT, [None, 2])],
        [helper.make_tensor("w", TensorProto.FLOAT, [10, 2], weights)],
    )
    network = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    helper.set_model_props(
        network,
        {
            "inferspan.task.type": "binary_classification",
            "inferspan.output.classes": "[0, 1]",
            "inferspan.output.positive_class": "1",
        },
    )
    told = onnxruntime.SessionOptions()
    told.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(network.SerializeToString(), told)
    x = rows()[0][:1].astype(np.float32)
    return Small(session, "run", x, (None, {"x": x}), answer=lambda said: said[0][0].tolist())


LIBRARIES: Final[dict[str, dict[str, Maker]]] = {
    "sklearn": {
        "one that answers at once": sklearn_at_once,
        "predict": lambda: sklearn_classifier("predict"),
        "predict_proba": lambda: sklearn_classifier("predict_proba"),
        "a regression": sklearn_regression,
        "predict, by wrap()": sklearn_wrapped,
        "a pipeline, two stages": sklearn_pipeline,
    },
    "xgboost": {
        "predict": lambda: xgboost_classifier("predict"),
        "predict_proba": lambda: xgboost_classifier("predict_proba"),
        "Booster.inplace_predict": lambda: xgboost_booster("inplace_predict"),
        "Booster.predict": lambda: xgboost_booster("predict"),
    },
    "lightgbm": {
        "predict": lambda: lightgbm_classifier("predict"),
        "predict_proba": lambda: lightgbm_classifier("predict_proba"),
        "Booster.predict": lightgbm_booster,
    },
    "catboost": {
        "predict": lambda: catboost_classifier("predict"),
        "predict_proba": lambda: catboost_classifier("predict_proba"),
    },
    "onnxruntime": {"run": onnxruntime_session},
    **apart_models.LIBRARIES,
}
"""A library → its models by name; each needs what it is called after."""

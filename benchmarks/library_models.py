"""Small models of each library that answer for one row: what `bench_libraries.py` measures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final


@dataclass(frozen=True)
class Small:
    """A fitted model and one call of it.

    Args:
        model: the object.
        method: what is called.
        given: one row, or what holds it: its shape is what a span by hand says.
        arguments: the method's; absent = the row.
        layers: how many of them are watched; `torch_layers.snapshots` has its hooks in them.
    """

    model: Any
    method: str
    given: Any
    arguments: tuple[Any, ...] = ()
    layers: int = 0

    def call(self) -> Any:
        return getattr(self.model, self.method)(*(self.arguments or (self.given,)))


Maker = Callable[[], Small]


def rows(task: str = "classes", count: int = 60) -> tuple[Any, Any]:
    """A few rows of ten features, scaled: they are learnt in a moment, also under valgrind."""
    import numpy as np

    x = np.random.default_rng(0).normal(size=(count, 10))
    sums = x[:, :3].sum(1)
    return x, sums if task == "numbers" else (sums > 0).astype(int)


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
    return Small(session, "run", x, (None, {"x": x}))


def torch_layers(count: int, *, watched: bool = False) -> Small:
    import torch

    from inferspan.torch_layers import snapshots

    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    torch.manual_seed(0)
    layers = [torch.nn.Linear(10, 10) for _ in range(count - 1)] + [torch.nn.Linear(10, 1)]
    model = torch.nn.Sequential(*layers).eval()
    if watched:
        snapshots(model, ["*"])
    return Small(model, "__call__", torch.zeros(1, 10), layers=count if watched else 0)


LIBRARIES: Final[dict[str, dict[str, Maker]]] = {
    "sklearn": {
        "one that answers at once": sklearn_at_once,
        "predict": lambda: sklearn_classifier("predict"),
        "predict_proba": lambda: sklearn_classifier("predict_proba"),
        "a regression": sklearn_regression,
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
    "torch": {
        "two layers": lambda: torch_layers(2),
        "thirty layers": lambda: torch_layers(30),
        "thirty layers, all watched": lambda: torch_layers(30, watched=True),
    },
}
"""A library → its models by name; each needs what it is called after."""

"""ONNX Runtime's own ways: what a file says of its answers, and answers that come another way."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Mapping
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper
from sklearn.ensemble import GradientBoostingClassifier, RandomForestRegressor
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier

import inferspan
from inferspan import onnx_files, semconv
from inferspan.onnx_files import origin_of
from inferspan.testing import CapturedSpans, capture_spans
from sdk.both_ways import record_of, span_of

from .onnxruntime_subjects import CANCER, CPU, DIABETES, IRIS, exported, pipeline, session_of

WORDS = np.array(["setosa", "versicolor", "virginica"])
NAMED = (IRIS[0], WORDS[IRIS[1]])
X = IRIS[0][:4].astype(np.float32)


FED: Mapping[str, Callable[[Any, Any], object]] = {
    "by position": lambda session, fed: session.run(None, fed),
    "by name": lambda session, fed: session.run(output_names=None, input_feed=fed),
    "as values of the runtime": lambda session, fed: session.run_with_ort_values(
        None, {name: ort.OrtValue.ortvalue_from_numpy(given) for name, given in fed.items()}
    ),
}
"""What a session is given, in the ways there are."""


def attributes_of(spans: CapturedSpans, model: str | None = None) -> dict[str, Any]:
    return dict(spans.prediction(model).attributes or {})


def identity(outputs: int = 1, shape: tuple[Any, ...] = (None, 2), **names: Any) -> onnx.ModelProto:
    """A model that answers with what it is given."""
    nodes = [helper.make_node("Identity", ["X"], [f"y{n}"]) for n in range(outputs)]
    found = [
        helper.make_tensor_value_info(f"y{n}", TensorProto.FLOAT, list(shape))
        for n in range(outputs)
    ]
    given = [helper.make_tensor_value_info("X", TensorProto.FLOAT, list(shape))]
    graph = helper.make_graph(nodes, names.pop("graph", "main_graph"), given, found)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], **names)
    made.ir_version = 9
    return made


@pytest.mark.parametrize("zipmap", [True, False])
@pytest.mark.parametrize("data", [IRIS, NAMED], ids=["integers", "texts"])
@pytest.mark.parametrize(
    "model",
    [
        pipeline(),
        GradientBoostingClassifier(n_estimators=3),
        GaussianNB(),
        KNeighborsClassifier(),
        LogisticRegression(max_iter=500),
    ],
    ids=lambda model: type(model).__name__,
)
def test_classes_and_probabilities_are_those_of_the_model(
    model: Any, data: Any, zipmap: bool, spans: CapturedSpans
) -> None:
    session = session_of(exported(model, data, zipmap=zipmap))
    inferspan.instrument("onnxruntime")
    label, _ = session.run(None, {"X": X})
    found = attributes_of(spans)
    assert found[semconv.TASK_TYPE] == semconv.MULTICLASS
    assert json.loads(str(found[semconv.OUTPUT_CLASSES])) == [
        str(known) for known in model.classes_
    ]
    assert list(found[semconv.OUTPUT_CLASSES_PREDICTED]) == [str(said) for said in label]
    assert np.reshape(found[semconv.OUTPUT_PROBABILITIES], (4, 3)) == pytest.approx(
        model.predict_proba(X), abs=1e-5
    )


def test_of_two_classes_the_score_is_that_of_the_positive_one(spans: CapturedSpans) -> None:
    model = pipeline()
    session = session_of(exported(model, CANCER))
    inferspan.instrument("onnxruntime")
    rows = CANCER[0][:3].astype(np.float32)
    session.run(None, {"X": rows})
    found = attributes_of(spans)
    assert found[semconv.TASK_TYPE] == semconv.BINARY
    assert found[semconv.OUTPUT_POSITIVE_CLASS] == "1"
    assert found[semconv.OUTPUT_SCORES] == pytest.approx(model.predict_proba(rows)[:, 1], abs=1e-4)


def test_a_regression_is_known_by_its_operator(spans: CapturedSpans) -> None:
    session = session_of(exported(RandomForestRegressor(3), DIABETES))
    inferspan.instrument("onnxruntime")
    rows = DIABETES[0][:3].astype(np.float32)
    (answer,) = session.run(None, {"X": rows})
    found = attributes_of(spans)
    assert found[semconv.TASK_TYPE] == semconv.REGRESSION
    assert found[semconv.OUTPUT_VALUES] == pytest.approx(answer.ravel())


@pytest.mark.parametrize("asked", [["label"], ["probabilities"], ["probabilities", "label"]])
def test_what_was_asked_for_is_read(asked: list[str], spans: CapturedSpans) -> None:
    session = session_of(exported(pipeline(), IRIS, zipmap=False))
    inferspan.instrument("onnxruntime")
    session.run(asked, {"X": X})
    assert attributes_of(spans)[semconv.OUTPUT_CLASSES_PREDICTED] == ("0",) * 4
    assert (semconv.OUTPUT_PROBABILITIES in attributes_of(spans)) == ("probabilities" in asked)


def test_the_models_metadata_say_what_it_is(spans: CapturedSpans) -> None:
    made = identity(model_version=3)
    told = {
        semconv.MODEL_NAME: "fraud",
        semconv.TASK_TYPE: semconv.BINARY,
        semconv.OUTPUT_CLASSES: json.dumps(["legit", "fraud"]),
        semconv.OUTPUT_POSITIVE_CLASS: "fraud",
    }
    helper.set_model_props(made, told)
    session = session_of(made)
    inferspan.instrument("onnxruntime")
    session.run(None, {"X": np.array([[0.25, 0.75]], np.float32)})
    found = attributes_of(spans, "fraud")
    assert found[semconv.MODEL_VERSION] == "3"
    assert found[semconv.OUTPUT_CLASS] == "fraud"
    assert found[semconv.OUTPUT_SCORE] == 0.75


@pytest.mark.parametrize(
    ("graph", "file", "name"),
    [
        ("churn", "model.onnx", "churn"),
        ("main_graph", "churn.onnx", "churn"),
        ("0f" * 16, "churn.onnx", "churn"),
    ],
)
def test_a_name_is_the_graphs_unless_an_exporter_made_it_up(
    graph: str, file: str, name: str, tmp_path: Path, spans: CapturedSpans
) -> None:
    path = tmp_path / file
    path.write_bytes(identity(graph=graph).SerializeToString())
    session = ort.InferenceSession(path, providers=CPU)
    inferspan.instrument("onnxruntime")
    session.run(None, {"X": X[:, :2]})
    found = attributes_of(spans, name)
    expected = hashlib.sha256(path.read_bytes()).hexdigest()
    assert found[semconv.MODEL_ARTIFACT_HASH] == f"sha256:{expected}"


def test_the_hash_of_bytes_is_that_of_the_bytes(spans: CapturedSpans) -> None:
    held = exported(pipeline(), IRIS).SerializeToString()
    session = ort.InferenceSession(held, providers=CPU)
    inferspan.instrument("onnxruntime")
    session.run(None, {"X": X})
    expected = hashlib.sha256(held).hexdigest()
    assert attributes_of(spans)[semconv.MODEL_ARTIFACT_HASH] == f"sha256:{expected}"


def test_a_large_model_is_not_hashed_and_a_file_that_is_gone_harms_nothing(
    tmp_path: Path, spans: CapturedSpans, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "churn.onnx"
    path.write_bytes(exported(pipeline(), IRIS).SerializeToString())
    monkeypatch.setattr(onnx_files, "HASHED_BYTES_MAX", 10)
    large, gone = (ort.InferenceSession(path, providers=CPU) for _ in range(2))
    inferspan.instrument("onnxruntime")
    large.run(None, {"X": X})
    path.unlink()
    gone.run(None, {"X": X})
    first, second = (dict(span.attributes or {}) for span in spans.predictions)
    assert first[semconv.TASK_TYPE] == semconv.MULTICLASS
    assert semconv.MODEL_ARTIFACT_HASH not in first
    assert semconv.MODEL_ARTIFACT_HASH not in second
    assert semconv.OUTPUT_CLASSES_PREDICTED in second  # a label is a label


def test_a_prediction_that_calls_back_ends_then(spans: CapturedSpans) -> None:
    session = session_of(exported(pipeline(), IRIS, zipmap=False))
    inferspan.instrument("onnxruntime", capture="values")
    done, got = threading.Event(), []

    def callback(results: Any, user_data: Any, error: str) -> None:
        got.append((results, user_data, error))
        done.set()

    mine = object()
    session.run_async(None, {"X": X}, callback, mine)
    assert done.wait(30)
    ((results, user_data, error),) = got
    assert (user_data, error) == (mine, "")
    assert results[0].tolist() == [0] * 4
    found = attributes_of(spans)
    assert found[semconv.OUTPUT_CLASSES_PREDICTED] == ("0",) * 4
    assert found[semconv.INPUT_SHAPE] == "4x4"


def test_a_prediction_that_calls_back_with_an_error_has_failed(spans: CapturedSpans) -> None:
    made = identity()
    node = helper.make_node("Reshape", ["X", "shape"], ["y0"])
    made.graph.node[0].CopyFrom(node)
    made.graph.initializer.append(helper.make_tensor("shape", TensorProto.INT64, [2], [7, 7]))
    session = session_of(made)
    inferspan.instrument("onnxruntime")
    done, errors = threading.Event(), []

    def callback(results: Any, user_data: Any, error: str) -> None:
        errors.append(error)
        done.set()

    session.run_async(None, {"X": X[:, :2]}, callback, None)
    assert done.wait(30)
    assert "Reshape" in errors[0]
    assert attributes_of(spans)[semconv.ERROR_TYPE] == "RuntimeError"


def test_a_call_back_that_is_refused_ends_its_prediction_once(spans: CapturedSpans) -> None:
    session = session_of(identity())
    inferspan.instrument("onnxruntime")
    with pytest.raises(ValueError, match="Required inputs"):
        session.run_async(None, {}, lambda *_: None, None)
    assert attributes_of(spans)[semconv.ERROR_TYPE] == "ValueError"


def test_bound_results_are_read(spans: CapturedSpans) -> None:
    session = session_of(exported(pipeline(), IRIS, zipmap=False))
    inferspan.instrument("onnxruntime")
    binding = session.io_binding()
    binding.bind_cpu_input("X", X)
    binding.bind_output("label")
    binding.bind_output("probabilities")
    session.run_with_iobinding(binding)
    assert attributes_of(spans)[semconv.OUTPUT_CLASSES_PREDICTED] == ("0",) * 4
    binding.clear_binding_outputs()
    binding.bind_output("label")
    session.run_with_iobinding(binding)
    _, second = spans.predictions
    (dropped,) = (second.attributes or {})[semconv.CAPTURE_DROPPED]  # type: ignore[misc]
    assert "bind all of them" in str(dropped)


def test_values_of_the_runtime_are_read_and_shown(spans: CapturedSpans) -> None:
    session = session_of(exported(pipeline(), IRIS, zipmap=False))
    inferspan.instrument("onnxruntime", capture="values")
    session.run_with_ort_values(None, {"X": ort.OrtValue.ortvalue_from_numpy(X)})
    found = attributes_of(spans)
    assert found[semconv.OUTPUT_CLASSES_PREDICTED] == ("0",) * 4
    assert found[semconv.INPUT_SHAPE] == "4x4"
    assert list(json.loads(found[semconv.INPUT_VALUE])) == ["X"]


def test_several_results_of_which_none_is_known_are_none(spans: CapturedSpans) -> None:
    session = session_of(identity(outputs=2))
    inferspan.instrument("onnxruntime")
    session.run(None, {"X": X[:, :2]})
    (dropped,) = attributes_of(spans)[semconv.CAPTURE_DROPPED]
    assert "2 outputs, of which none is known to be the answer" in dropped
    session.run(["y1"], {"X": X[:, :2]})
    assert len(spans.predictions) == 2


def test_names_of_inputs_can_be_declared(spans: CapturedSpans) -> None:
    session = session_of(exported(pipeline(), IRIS))
    inferspan.instrument(
        "onnxruntime", version=7, prediction_id=lambda names, fed: f"of-{len(fed['X'])}-rows"
    )
    session.run(None, {"X": X})
    found = attributes_of(spans)
    assert (found[semconv.PREDICTION_ID], found[semconv.MODEL_VERSION]) == ("of-4-rows", "7")


def of_all_kinds() -> list[Any]:
    """Sessions that answer in each way: probabilities, with a class or alone; numbers; anything."""
    said = identity()
    told = {semconv.TASK_TYPE: semconv.BINARY, semconv.OUTPUT_CLASSES: '["legit", "fraud"]'}
    helper.set_model_props(said, told)
    sums = identity()
    sums.graph.node[0].CopyFrom(helper.make_node("Add", ["X", "Z"], ["y0"]))
    sums.graph.input.append(helper.make_tensor_value_info("Z", TensorProto.FLOAT, [None, 2]))
    of_classes = [exported(pipeline(), IRIS, zipmap=zipmap) for zipmap in (True, False)]
    regression = exported(RandomForestRegressor(3), DIABETES)
    return [session_of(made) for made in (said, sums, identity(outputs=2), *of_classes, regression)]


def fed_to(session: Any, rows: int) -> dict[str, Any]:
    """As many rows of probabilities as a session takes, of as many columns."""
    return {
        given.name: np.full((rows, given.shape[1]), 0.5, np.float32)
        for given in session.get_inputs()
    }


@pytest.mark.parametrize("policy", semconv.CAPTURE_POLICIES)
@pytest.mark.parametrize("way", FED)
def test_both_ways_write_the_same_span(policy: str, way: str) -> None:
    inferspan.instrument("onnxruntime", capture=policy)
    for session, rows in product(of_all_kinds(), (1, 3)):
        call = partial(FED[way], session, fed_to(session, rows))
        found = span_of(True, call)
        assert found == span_of(False, call)
        assert (semconv.INPUT_SHAPE in dict(found[0])) == (policy != "none")


def test_both_ways_leave_the_same_record() -> None:
    for session, rows in product(of_all_kinds(), (1, 3)):

        def instrumented(ratio: float | None, session: Any = session) -> Callable[..., object]:
            inferspan.instrument("onnxruntime", sample_ratio=ratio)
            return partial(FED["by position"], session)

        given = fed_to(session, rows)
        assert record_of(True, instrumented, given) == record_of(False, instrumented, given)


def test_unsampled_and_sampled_calls_read_the_same() -> None:
    from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

    session = session_of(exported(pipeline(), IRIS))
    inferspan.instrument("onnxruntime")
    with capture_spans(sampler=ALWAYS_OFF) as unsampled:
        session.run(None, {"X": X})
        (record,) = unsampled.records
    found = dict(record.attributes or {})
    assert list(found[semconv.RECORD_CLASSES]) == ["0"]  # type: ignore[arg-type]


@given(st.binary(max_size=200), st.integers(0, 400))
def test_what_is_no_model_says_nothing(noise: bytes, cut: int) -> None:
    for told in (noise, WHOLE[:cut] + noise):
        found = origin_of(memoryview(told), "label")
        assert found is None or found.labels in {(), (0, 1, 2)}


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        (np.array([7, 8], np.int64), (7, 8)),
        (np.array([7, 8], np.int32), (7, 8)),
        (np.array(["legit", "fraud"], object), ("legit", "fraud")),
        (np.array([1.5, 2.5], np.float32), None),
        (np.array([1.5, 2.5], np.float64), None),
        (np.array([1.5, 2.5], np.float16), None),
        (np.array([1, 2, 3, 4], np.uint8), None),
        (np.array([True, False, True, True]), None),
    ],
    ids=lambda given: str(getattr(given, "dtype", "")),
)
@pytest.mark.parametrize("raw", [True, False])
def test_what_is_chosen_from_whole_numbers_or_texts_is_a_class(
    values: np.ndarray, labels: tuple[object, ...] | None, raw: bool
) -> None:
    constant = onnx.numpy_helper.from_array(values, "classes")
    if not raw and values.dtype != object:
        kind = helper.np_dtype_to_tensor_dtype(values.dtype)
        constant = helper.make_tensor("classes", kind, values.shape, values.tolist())
    node = helper.make_node("ArrayFeatureExtractor", ["classes", "i"], ["y"], domain="ai.onnx.ml")
    given = [helper.make_tensor_value_info("i", TensorProto.INT64, [None])]
    told = [helper.make_tensor_value_info("y", TensorProto.INT64, [None])]
    graph = helper.make_graph([node], "chosen", given, told, [constant])
    found = origin_of(memoryview(helper.make_model(graph).SerializeToString()), "y")
    assert (None if found is None else found.labels) == labels


WHOLE = exported(pipeline(), IRIS, zipmap=False).SerializeToString()

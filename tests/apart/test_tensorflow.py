"""TensorFlow: its tensors are read by their types, and its graphs are traced as without us."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import inferspan
from inferspan import semconv
from inferspan.testing import CapturedSpans

pytestmark = pytest.mark.usefixtures("contained_errors")
ROWS = [[0.25, 0.75], [0.5, 0.5], [1.0, 0.0]]
CLASSES = ["cat", "dog"]
PROBABLE: dict[str, Any] = {
    "model": "net",
    "task": "multiclass_classification",
    "operation": "predict_proba",
    "classes": CLASSES,
}


def attributes_of(spans: CapturedSpans) -> dict[str, Any]:
    return dict(spans.prediction("net").attributes or {})


@pytest.mark.parametrize("kind", ["float32", "float64", "float16", "bfloat16"])
@pytest.mark.parametrize("made", [tf.constant, tf.Variable], ids=["tensor", "variable"])
def test_probabilities_of_a_tensor_are_read(spans: CapturedSpans, kind: str, made: Any) -> None:
    tensor = made(ROWS, dtype=kind)
    assert inferspan.predict(**PROBABLE)(lambda x: tensor)(tensor) is tensor
    found = attributes_of(spans)
    assert (found[semconv.INPUT_SHAPE], found[semconv.INPUT_DTYPE]) == ("3x2", kind)
    assert found[semconv.OUTPUT_CLASSES_PREDICTED] == ("dog", "cat", "cat")
    assert found[semconv.OUTPUT_PROBABILITIES] == tuple(np.ravel(ROWS))


def test_a_number_in_a_tensor_is_a_number(spans: CapturedSpans) -> None:
    inferspan.predict(model="net", task="regression")(lambda: tf.constant(2.5))()
    assert attributes_of(spans)[semconv.OUTPUT_VALUE] == 2.5


@pytest.mark.parametrize("capture", ["shapes", "values"])
@pytest.mark.parametrize(
    "tensor",
    [
        tf.ragged.constant([[0.25, 0.75], [1.0]]),
        tf.sparse.from_dense(ROWS),
    ],
    ids=["ragged", "sparse"],
)
def test_what_is_no_array_is_handed_on_and_the_reason_said(
    spans: CapturedSpans, tensor: Any, capture: str
) -> None:
    traced = inferspan.predict(**PROBABLE, capture=capture)(lambda x: x)
    assert traced(tensor) is tensor
    (said,) = attributes_of(spans)[semconv.CAPTURE_DROPPED]
    assert said.startswith("output:")


@pytest.mark.parametrize("capture", ["shapes", "values"])
def test_a_graph_is_traced_as_without_us(spans: CapturedSpans, capture: str) -> None:
    def score(x: Any) -> Any:
        return tf.nn.softmax(x * 2.0)

    signature = tf.TensorSpec([None, 2], tf.float32)
    bare = tf.function(score).get_concrete_function(signature)
    traced = inferspan.predict(**PROBABLE, capture=capture)(score)
    mine = tf.function(traced).get_concrete_function(signature)
    assert [node.op for node in mine.graph.as_graph_def().node] == [
        node.op for node in bare.graph.as_graph_def().node
    ]
    np.testing.assert_array_equal(mine(tf.constant(ROWS)), bare(tf.constant(ROWS)))
    # The function ran once, to be traced; of what it was given and gave nothing can be read.
    found = attributes_of(spans)
    assert semconv.OUTPUT_PROBABILITIES not in found
    (said,) = found[semconv.CAPTURE_DROPPED]
    assert said.startswith("output:")


def test_a_gradient_flows_as_before(spans: CapturedSpans) -> None:
    weights = tf.Variable(ROWS)
    traced = inferspan.predict(**PROBABLE)(lambda: tf.nn.softmax(weights))
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(traced()[:, 0])
    assert tape.gradient(loss, weights) is not None


def test_a_wrapped_model_of_keras_is_a_model(spans: CapturedSpans) -> None:
    tf.keras.utils.set_random_seed(0)
    net = tf.keras.Sequential([tf.keras.Input((2,)), tf.keras.layers.Dense(2, "softmax")])
    wrapped = inferspan.wrap(net, model="net", task="multiclass_classification", classes=CLASSES)
    answers = wrapped(tf.constant(ROWS))
    np.testing.assert_array_equal(answers, net(tf.constant(ROWS)))
    found = attributes_of(spans)
    best = np.asarray(answers).argmax(axis=1)
    assert found[semconv.OUTPUT_CLASSES_PREDICTED] == tuple(CLASSES[row] for row in best)


def test_tensorflow_is_not_imported_for_it() -> None:
    """Installed, and none of ours asks for it."""
    program = """
import sys, inferspan
inferspan.configure(endpoint="http://127.0.0.1:1")
inferspan.predict(model="m", task="regression", capture="values")(lambda x: 1.0)([1.0])
assert "tensorflow" not in sys.modules
import os
os._exit(0)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")

"""Arrays of JAX, and functions that it traces, differentiates and vectorises."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import inferspan
from inferspan import semconv
from inferspan.testing import CapturedSpans

ROWS = np.array([[0.25, 0.75], [0.5, 0.5], [1.0, 0.0]], np.float32)
CLASSES = ["cat", "dog"]
PROBABLE: dict[str, Any] = {
    "model": "net",
    "task": "multiclass_classification",
    "operation": "predict_proba",
    "classes": CLASSES,
}


def attributes_of(spans: CapturedSpans) -> dict[str, Any]:
    return dict(spans.prediction("net").attributes or {})


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.float16], ids=str)
def test_probabilities_of_an_array_are_read(spans: CapturedSpans, dtype: Any) -> None:
    array = jnp.asarray(ROWS, dtype)
    assert inferspan.predict(**PROBABLE)(lambda x: array)(array) is array
    found = attributes_of(spans)
    assert (found[semconv.INPUT_SHAPE], found[semconv.INPUT_DTYPE]) == ("3x2", array.dtype.name)
    assert found[semconv.OUTPUT_CLASSES_PREDICTED] == ("dog", "cat", "cat")
    assert found[semconv.OUTPUT_PROBABILITIES] == tuple(np.ravel(ROWS))


@pytest.mark.parametrize("array", [jnp.asarray(2.5), jnp.asarray([2.5])], ids=["scalar", "row"])
def test_a_number_in_an_array_is_a_number(spans: CapturedSpans, array: Any) -> None:
    assert inferspan.predict(model="net", task="regression")(lambda: array)() is array
    found = attributes_of(spans)
    assert found[semconv.OUTPUT_VALUE] == 2.5


@pytest.mark.parametrize("capture", ["shapes", "values"])
@pytest.mark.parametrize(
    "turned",
    [jax.jit, jax.vmap, lambda f: jax.grad(lambda x: f(x).sum()), jax.make_jaxpr],
    ids=["jit", "vmap", "grad", "jaxpr"],
)
def test_a_traced_function_is_what_it_is_without_us(
    spans: CapturedSpans, contained_errors: list[BaseException], turned: Any, capture: str
) -> None:
    """What JAX hands in and out are stand-ins for arrays, of which nothing can be read."""

    def make() -> Any:
        # JAX runs what it has traced once no more, and a traced function equals its bare self.
        return lambda x: jax.nn.softmax(x * 2.0)

    bare = turned(make())(ROWS)
    mine = turned(inferspan.predict(**PROBABLE, capture=capture)(make()))(ROWS)
    assert str(mine) == str(bare)
    assert contained_errors == []
    found = attributes_of(spans)
    assert semconv.OUTPUT_PROBABILITIES not in found
    (said,) = found[semconv.CAPTURE_DROPPED]
    assert said.startswith("output:")

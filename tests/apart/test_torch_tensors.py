"""Tensors of PyTorch are read by their types: of every element type, layout and device there is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import inferspan
from inferspan import semconv
from inferspan.testing import CapturedSpans

pytestmark = pytest.mark.usefixtures("contained_errors")
ROWS = [[0.25, 0.75], [0.5, 0.5], [1.0, 0.0]]
PROBABLE: dict[str, Any] = {
    "model": "net",
    "task": "multiclass_classification",
    "operation": "predict_proba",
    "classes": ["cat", "dog"],
}


def attributes_of(spans: CapturedSpans) -> dict[str, Any]:
    return dict(spans.prediction("net").attributes or {})


READ = {
    "float32": torch.tensor(ROWS),
    "float64": torch.tensor(ROWS, dtype=torch.float64),
    "float16": torch.tensor(ROWS, dtype=torch.float16),
    "bfloat16": torch.tensor(ROWS, dtype=torch.bfloat16),
    "grad": torch.tensor(ROWS, requires_grad=True),
    "result": torch.tensor(ROWS, requires_grad=True) * 1.0,
    "parameter": torch.nn.Parameter(torch.tensor(ROWS)),
    "transposed": torch.tensor(ROWS).t().contiguous().t(),
    "inference": None,
}


@pytest.mark.parametrize("name", READ)
def test_probabilities_are_read(spans: CapturedSpans, name: str) -> None:
    tensor = READ[name]
    if tensor is None:
        with torch.inference_mode():
            tensor = torch.tensor(ROWS)
    assert inferspan.predict(**PROBABLE)(lambda x: tensor)(tensor) is tensor
    found = attributes_of(spans)
    assert found[semconv.INPUT_SHAPE] == "3x2"
    assert found[semconv.INPUT_DTYPE] == str(tensor.dtype).removeprefix("torch.")
    assert found[semconv.OUTPUT_CLASSES_PREDICTED] == ("dog", "cat", "cat")
    assert found[semconv.OUTPUT_PROBABILITIES] == tuple(np.ravel(ROWS))


@pytest.mark.filterwarnings("ignore:.*prototype stage:UserWarning")
@pytest.mark.parametrize("capture", ["shapes", "values"])
@pytest.mark.parametrize(
    "make",
    [
        lambda: torch.tensor(ROWS, device="meta"),
        lambda: torch.tensor(ROWS).to_sparse(),
        lambda: torch.nested.nested_tensor([torch.tensor([0.25]), torch.tensor([0.5, 0.5])]),
    ],
    ids=["meta", "sparse", "nested"],
)
def test_what_is_no_array_is_handed_on_and_the_reason_said(
    spans: CapturedSpans, make: Any, capture: str
) -> None:
    tensor = make()
    assert inferspan.predict(**PROBABLE, capture=capture)(lambda x: x)(tensor) is tensor
    found = attributes_of(spans)
    assert semconv.OUTPUT_CLASSES_PREDICTED not in found
    (said,) = found[semconv.CAPTURE_DROPPED]
    assert said.startswith("output:")


@pytest.mark.parametrize("tensor", [torch.tensor(2.5), torch.tensor([2.5])], ids=["0-d", "1-d"])
def test_a_number_in_a_tensor_is_a_number(spans: CapturedSpans, tensor: Any) -> None:
    inferspan.predict(model="net", task="regression")(lambda: tensor)()
    found = attributes_of(spans)
    assert found.get(semconv.OUTPUT_VALUE, found.get(semconv.OUTPUT_VALUES)) in (2.5, (2.5,))


def test_functions_that_torch_transforms_are_what_they_are_without_us(
    spans: CapturedSpans,
) -> None:
    def score(x: Any) -> Any:
        return torch.softmax(x * 2.0, -1)

    traced = inferspan.predict(**PROBABLE)(score)
    rows = torch.tensor(ROWS)
    for transform in (torch.func.vmap, lambda f: torch.func.grad(lambda x: f(x)[0, 0])):
        assert torch.equal(transform(traced)(rows), transform(score)(rows))
    assert len(spans.predictions) == 2

"""Tensors of torch and TensorFlow, which are known by their types and never imported.

Neither is installed here: these stand-ins have the module, the attributes and the refusals of
`torch.Tensor` 2.x and of TensorFlow's `EagerTensor`, and hold a numpy array.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any, Self

import numpy as np
import pytest

import inferspan
from inferspan import semconv
from inferspan.testing import CapturedSpans


class Size(tuple[int, ...]):
    """As `torch.Size`."""


class TorchType:
    def __init__(self, name: str) -> None:
        self._name = name

    def __str__(self) -> str:
        return f"torch.{self._name}"

    __repr__ = __str__


class TorchDevice:
    def __init__(self, kind: str) -> None:
        self.type = kind

    def __str__(self) -> str:
        return self.type if self.type == "cpu" else f"{self.type}:0"


class TorchTensor:
    """A tensor; `copied` counts what waits for its device."""

    def __init__(
        self, array: Any, dtype: str = "float32", device: str = "cpu", requires_grad: bool = False
    ) -> None:
        self._array = np.asarray(array)
        self._dtype = dtype
        self._device = device
        self.requires_grad = requires_grad
        self.copied = 0

    def _like(self, **changes: Any) -> TorchTensor:
        told = {"dtype": self._dtype, "device": self._device, "requires_grad": self.requires_grad}
        return type(self)(self._array, **{**told, **changes})

    @property
    def shape(self) -> Size:
        return Size(self._array.shape)

    @property
    def dtype(self) -> TorchType:
        return TorchType(self._dtype)

    @property
    def device(self) -> TorchDevice:
        return TorchDevice(self._device)

    @property
    def ndim(self) -> int:
        return self._array.ndim

    def __len__(self) -> int:
        return len(self._array)

    def __bool__(self) -> bool:
        raise RuntimeError("Boolean value of Tensor with more than one value is ambiguous")

    def detach(self) -> TorchTensor:
        return self._like(requires_grad=False)

    def cpu(self) -> TorchTensor:
        if self._device != "cpu":
            self.copied += 1
        return self._like(device="cpu")

    def float(self) -> TorchTensor:
        return self._like(dtype="float32")

    def numpy(self) -> Any:
        if self.requires_grad:
            raise RuntimeError("Can't call numpy() on Tensor that requires grad.")
        if self._device != "cpu":
            raise TypeError(f"can't convert {self._device}:0 device type tensor to numpy.")
        if self._dtype == "bfloat16":
            raise TypeError("Got unsupported ScalarType BFloat16")
        return self._array.astype(self._dtype)

    def tolist(self) -> Any:
        if self._device != "cpu":
            self.copied += 1
        return self._array.tolist()

    def item(self) -> Any:
        return self._array.item()


class TensorShape:
    def __init__(self, lengths: tuple[int, ...]) -> None:
        self._lengths = lengths

    def as_list(self) -> list[int]:
        return list(self._lengths)

    def __iter__(self) -> Iterator[int]:
        return iter(self._lengths)

    def __len__(self) -> int:
        return len(self._lengths)


class DType:
    """As `tf.DType`, whose text is not its name."""

    name = "float32"

    def __repr__(self) -> str:
        return "tf.float32"

    def __str__(self) -> str:
        return "<dtype: 'float32'>"


class EagerTensor:
    def __init__(self, array: Any) -> None:
        self._array = np.asarray(array, np.float32)

    @property
    def shape(self) -> TensorShape:
        return TensorShape(self._array.shape)

    @property
    def dtype(self) -> DType:
        return DType()

    @property
    def device(self) -> str:
        return "/job:localhost/replica:0/task:0/device:CPU:0"

    def __bool__(self) -> bool:
        raise ValueError("The truth value of an array with more than one element is ambiguous.")

    def numpy(self) -> Any:
        return self._array

    def __iter__(self) -> Self:
        raise AssertionError("its elements are not walked over")


class UnknownShape(TensorShape):
    """Of a tensor in a graph, whose rank is known to nobody."""

    def as_list(self) -> list[int]:
        raise ValueError("as_list() is not defined on an unknown TensorShape.")

    def __len__(self) -> int:
        raise ValueError("Cannot take the length of shape with unknown rank.")

    __iter__ = __len__  # type: ignore[assignment]


class SymbolicTensor:
    """As a tensor while `tf.function` traces: no device yet, and no `numpy`."""

    shape = UnknownShape(())
    dtype = DType()
    device = ""

    def __bool__(self) -> bool:
        raise TypeError("Using a symbolic `tf.Tensor` as a Python `bool` is not allowed.")


class RaggedTensor(SymbolicTensor):
    """Rows of different lengths: its shape has a None, its elements are no array."""

    shape = TensorShape((2, None))  # type: ignore[arg-type]


class SparseTensor(TorchTensor):
    """As `torch.sparse_coo_tensor`."""

    def numpy(self) -> Any:
        raise TypeError("can't convert Sparse layout tensor to numpy. Use Tensor.to_dense() first")


class Parameter(TorchTensor):
    """As `torch.nn.Parameter`."""


SparseTensor.__module__ = "torch"
Parameter.__module__ = "torch.nn.parameter"
SymbolicTensor.__module__ = RaggedTensor.__module__ = "tensorflow.python.framework.ops"
DType.__module__ = "tensorflow.python.framework.dtypes"
TorchTensor.__module__ = TorchType.__module__ = "torch"
EagerTensor.__module__ = "tensorflow.python.framework.ops"

ROWS = [[0.25, 0.75], [0.5, 0.5], [1.0, 0.0]]
READ: list[Any] = [
    TorchTensor(ROWS),
    TorchTensor(ROWS, requires_grad=True),
    TorchTensor(ROWS, "bfloat16"),
    EagerTensor(ROWS),
]


def probable(tensor: Any) -> Any:
    options = {"task": "multiclass_classification", "classes": ["cat", "dog"]}
    return inferspan.predict(model="net", operation="predict_proba", **options)(lambda x: tensor)


@pytest.mark.parametrize("tensor", READ, ids=["torch", "grad", "bfloat16", "tensorflow"])
def test_probabilities_of_a_tensor_are_read(spans: CapturedSpans, tensor: Any) -> None:
    assert probable(tensor)(tensor) is tensor
    attributes = spans[0].attributes or {}
    assert attributes[semconv.INPUT_SHAPE] == "3x2"
    assert attributes[semconv.OUTPUT_CLASSES_PREDICTED] == ("dog", "cat", "cat")
    assert attributes[semconv.OUTPUT_PROBABILITIES] == tuple(np.ravel(ROWS))
    assert not {"torch", "tensorflow"} & sys.modules.keys()


@pytest.mark.parametrize("amounts", [[0.25, 0.75], [[0.25], [0.75]]], ids=["(n,)", "(n, 1)"])
@pytest.mark.parametrize("kind", [TorchTensor, EagerTensor])
def test_a_tensor_is_a_column_of_a_feature(
    spans: CapturedSpans, kind: Callable[[Any], Any], amounts: Any
) -> None:
    options: dict[str, Any] = {"model": "net", "task": "regression", "features": ["amount"]}
    inferspan.predict(**options)(lambda amount: [1.0, 2.0])(kind(amounts))
    found: Any = (spans[0].attributes or {})[semconv.FEATURE_DATA]
    assert np.frombuffer(found, "<f8").tolist() == [0.25, 0.75]


def test_an_answer_on_an_accelerator_is_not_waited_for_and_the_remedy_works(
    spans: CapturedSpans,
) -> None:
    tensor = TorchTensor(ROWS, device="cuda", requires_grad=True)
    assert probable(tensor)(1) is tensor
    assert tensor.copied == 0
    (said,) = (spans[0].attributes or {})[semconv.CAPTURE_DROPPED]  # type: ignore[misc]
    assert "a tensor on cuda:0 is not copied from there" in str(said)
    again = inferspan.predict(
        model="net",
        task="multiclass_classification",
        operation="predict_proba",
        classes=["cat", "dog"],
        output=lambda returned: returned.cpu(),
    )(lambda: tensor)
    assert again() is tensor
    assert (spans[1].attributes or {})[semconv.OUTPUT_SCORES] == (0.75, 0.5, 1.0)


def test_the_type_of_the_elements_is_said(spans: CapturedSpans) -> None:
    look = inferspan.predict(model="net", task="regression")(lambda x: 1.0)
    for tensor in [*READ, TorchTensor(ROWS, "float64", "cuda")]:
        look(tensor)
    said = [(span.attributes or {})[semconv.INPUT_DTYPE] for span in spans]
    assert said == ["float32", "float32", "bfloat16", "float32", "float64"]


@pytest.mark.parametrize(
    "tensor",
    [SymbolicTensor(), RaggedTensor(), SparseTensor(ROWS), TorchTensor(ROWS, device="meta")],
    ids=["symbolic", "ragged", "sparse", "meta"],
)
@pytest.mark.parametrize("policy", ["shapes", "values"])
def test_a_tensor_that_has_no_array_is_handed_on_and_the_reason_said(
    spans: CapturedSpans, tensor: Any, policy: str
) -> None:
    traced = inferspan.predict(
        model="net", task="multiclass_classification", classes=["cat", "dog"], capture=policy
    )(lambda x: x)
    assert traced(tensor) is tensor
    attributes = spans[0].attributes or {}
    (said,) = attributes[semconv.CAPTURE_DROPPED]  # type: ignore[misc]
    assert str(said).startswith("output:")
    assert semconv.OUTPUT_CLASSES_PREDICTED not in attributes


def test_a_subclass_of_a_tensor_is_one(spans: CapturedSpans) -> None:
    weights = Parameter(ROWS, requires_grad=True)
    assert probable(weights)(1) is weights
    assert (spans[0].attributes or {})[semconv.OUTPUT_SCORES] == (0.75, 0.5, 1.0)


@pytest.mark.parametrize("policy", ["shapes", "values", "none"])
def test_an_input_on_an_accelerator_is_not_waited_for(spans: CapturedSpans, policy: str) -> None:
    tensor = TorchTensor(np.zeros((64, 128)), device="cuda")
    look = inferspan.predict(model="net", task="regression", capture=policy)(lambda x: 1.0)
    look(tensor)
    assert tensor.copied == 0
    shape = (spans[0].attributes or {}).get(semconv.INPUT_SHAPE)
    assert shape == (None if policy == "none" else "64x128")


def test_a_number_in_a_tensor_is_a_number(spans: CapturedSpans) -> None:
    predict = inferspan.predict(model="net", task="regression")(lambda x: x)
    for tensor in (TorchTensor(2.5), TorchTensor([2.5]), EagerTensor(2.5)):
        predict(tensor)
    assert [(span.attributes or {})[semconv.OUTPUT_VALUE] for span in spans] == [2.5] * 3

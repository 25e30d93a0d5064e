"""What is declared is found in every call, and what is declared wrong is said at once."""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
import pyarrow as pa
import pytest

import inferspan
from inferspan import semconv
from inferspan.decorators import PREDICT_OPTIONS
from inferspan.testing import CapturedSpans

BINARY = "binary_classification"


class Model:
    bias = 1

    @inferspan.predict(model="m", task="regression", prediction_id="key")
    def method(self, key: str, x: float) -> float:
        return x + self.bias

    @inferspan.predict(model="m", task="regression", prediction_id="key")
    @classmethod
    def outside_class(cls, key: str, x: float) -> float:
        return x + cls.bias

    @classmethod
    @inferspan.predict(model="m", task="regression", prediction_id="key")
    def inside_class(cls, key: str, x: float) -> float:
        return x + cls.bias

    @inferspan.predict(model="m", task="regression", prediction_id="key")
    @staticmethod
    def outside_static(key: str, x: float) -> float:
        return x + 1

    @staticmethod
    @inferspan.predict(model="m", task="regression", prediction_id="key")
    def inside_static(key: str, x: float) -> float:
        return x + 1


class CallableModel:
    def __call__(self, key: str, x: float) -> float:
        return x + 1


def plain(key: str, x: float) -> float:
    return x + 1


declared = inferspan.predict(model="m", task="regression", prediction_id="key")


@pytest.mark.parametrize(
    "call",
    [
        Model().method,
        functools.partial(Model.method, Model()),
        Model.outside_class,
        Model().outside_class,
        Model.inside_class,
        Model().inside_class,
        Model.outside_static,
        Model().outside_static,
        Model.inside_static,
        Model().inside_static,
        declared(plain),
        declared(CallableModel()),
        declared(Model().method.__wrapped__),  # type: ignore[attr-defined]
        declared(functools.partial(plain)),
    ],
)
def test_every_kind_of_callable_finds_its_arguments(spans: CapturedSpans, call) -> None:
    assert call("k-1", 2.0) == 3.0
    assert call(key="k-2", x=3.0) == 4.0
    assert call("k-3", x=4.0) == 5.0
    attributes = [span.attributes or {} for span in spans]
    assert [a[semconv.PREDICTION_ID] for a in attributes] == ["k-1", "k-2", "k-3"]
    assert [a[semconv.OUTPUT_VALUE] for a in attributes] == [3.0, 4.0, 5.0]


@dataclass
class Order:
    id: str
    country: str


def test_attributes_keys_and_callables_as_sources(spans: CapturedSpans) -> None:
    @inferspan.predict(
        model="m",
        task=BINARY,
        prediction_id="order.id",
        slices={"land": "order.country", "size": lambda order, row: "big"},
        features=lambda order, row: {"amount": row["amount"]},
    )
    def score(order: Order, row: dict[str, float]) -> bool:
        return True

    score(Order("o-1", "DE"), {"amount": 2.0})
    attributes = spans[0].attributes or {}
    assert attributes[semconv.PREDICTION_ID] == "o-1"
    assert attributes[semconv.SLICE_PREFIX + "land"] == "DE"
    assert attributes[semconv.SLICE_PREFIX + "size"] == "big"
    assert attributes[semconv.INPUT_VALUE] == '{"amount":2.0}'
    assert attributes[semconv.OUTPUT_CLASS] == "true"


def test_user_callables_that_raise_are_said_and_harmless(spans: CapturedSpans) -> None:
    def raising(*args: object) -> object:
        raise KeyError("secret")

    @inferspan.predict(
        model="m",
        task=BINARY,
        prediction_id=raising,
        slices=raising,
        features=raising,
        output=raising,
    )
    def score(x: int) -> str:
        return "a"

    assert score(1) == "a"
    dropped = (spans[0].attributes or {})[semconv.CAPTURE_DROPPED]
    assert isinstance(dropped, tuple)
    assert [str(entry).partition(":")[0] for entry in dropped] == [
        "prediction_id",
        "slices",
        "features",
        "output",
    ]
    assert all("raised KeyError" in str(entry) for entry in dropped)
    assert "secret" not in str(dropped)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"task": "clasification"}, "'clasification': must be one of binary_classification"),
        ({"operation": "guess"}, "'guess': must be one of predict, predict_proba"),
        ({"capture": "all"}, "'all': must be one of shapes, values, none"),
        ({"prediction_id": "ordre_id"}, r"no such argument; did you mean 'order_id'\?"),
        ({"prediction_id": "nothing"}, r"no such argument\. Give a callable"),
        ({"prediction_id": 3}, "must be the name of an argument or column, or a callable"),
        ({"slices": ["land"]}, r"slices='land'.*has no such argument"),
        ({"slices": "amount"}, r"must be a list of names; write slices=\['amount'\]"),
        ({"slices": [f"order_id.s{i}" for i in range(9)]}, "9 keys, at most 8"),
        ({"slices": {"a.b": "amount"}}, "'a.b' must be a name without a dot"),
        ({"features": ["amuont"]}, "did you mean 'amount'"),
        ({"model": ""}, "must be a text of 1 to 128 characters"),
        ({"model": "k" * 129}, "has 129 characters; give at most 128"),
        ({"version": "2\n"}, "holds a control character, such as a line break; strip it"),
        ({"model": 3}, "model=3: must be a text such as 'fraud'"),
        ({"positive": object()}, "must be a string, boolean or number"),
        ({"output": "label"}, "must be a callable"),
        ({"threshold": "high"}, "must be a number"),
        ({"threshold": float("nan")}, "threshold=nan: must be finite"),
        ({"threshold": 7, "task": BINARY}, "threshold=7: must be finite, and from 0 to 1"),
        ({"threshold": True}, "must be a number"),
        ({"positive": "c", "classes": ["a", "b"]}, r"positive='c': must be one of classes=\['a'"),
        ({"classes": ["a", "b", "a"]}, "must name each class once"),
        ({"classes": [1, "1"]}, "must name each class once"),
        ({"classes": "ab"}, "classes='ab': must be a list such as"),
        ({"classes": 5}, "classes=5: must be a list such as"),
        ({"classes": ["a" * 1025]}, "at most 1,024 characters"),
        ({"classes": ["a", "b", "c"], "task": BINARY}, "has 2 classes, not 3"),
        ({"slices": ["amount", "amount"]}, "'amount' and 'amount' are both called 'amount'"),
        (
            {"slices": ["order_id.country", "amount.country"]},
            r"both called 'country'; .*slices=\{'one': 'order_id.country', 'other': 'amount.cou",
        ),
        ({"features": ["order_id.x", "amount.x"]}, "both called 'x'"),
        ({"features": [5]}, "features holds 5: must hold names of arguments"),
        ({"features": 5}, "features=5: must be a list of names, a mapping or a callable"),
        ({"slices": {5: "amount"}}, "slices={5: 'amount'}: must have texts as keys"),
        ({"redact": "*card*"}, r"write \['\*card\*'\]"),
    ],
)
def test_what_is_declared_wrong_is_said_at_once(options: dict[str, object], said: str) -> None:
    def score(order_id: str, amount: float) -> str:
        return "a"

    with pytest.raises(ValueError, match=said) as caught:
        inferspan.predict(**options)(score)  # type: ignore[call-overload]
    assert "A column of an argument" not in str(caught.value)


def test_a_column_is_proposed_where_an_argument_may_have_one() -> None:
    def tables(left: pd.DataFrame, right: pd.DataFrame) -> str:
        return "a"

    def one_object(order: Order, amount: float) -> str:
        return "a"

    for function, written in ((tables, "left.key"), (one_object, "order.key")):
        with pytest.raises(ValueError, match=rf"written '{written}'\. Or give a callable"):
            inferspan.predict(prediction_id="key")(function)


@pytest.mark.parametrize(
    "annotation",
    [list[Order], tuple[Order, ...], Sequence[Order], list[Order] | None, "list[Order]"],
    ids=str,
)
def test_a_field_of_listed_objects_is_proposed(annotation: object) -> None:
    def score(orders: object) -> str:
        return "a"

    score.__annotations__["orders"] = annotation
    with pytest.raises(ValueError, match=r"written 'orders\.amount'\. Or give a callable"):
        inferspan.predict(features=["amount"])(score)


@pytest.mark.parametrize(
    "annotation",
    [
        pa.Table,
        "pa.Table | None",
        pa.RecordBatch,
        pd.DataFrame,
        dict[str, float],
        "Mapping[str, X]",
    ],
    ids=str,
)
def test_a_plain_name_is_a_column_where_an_argument_is_annotated_as_a_table(
    annotation: object,
) -> None:
    def score(orders: object, limit: float) -> str:
        return "a"

    score.__annotations__["orders"] = annotation
    inferspan.predict(features=["amount"])(score)


@pytest.mark.parametrize("annotation", ["Prediction", "Predictor | None", "TableOfContents"])
def test_a_name_that_only_holds_the_name_of_a_table_annotates_none(annotation: str) -> None:
    def score(orders: object, limit: float) -> str:
        return "a"

    score.__annotations__["orders"] = annotation
    with pytest.raises(ValueError, match="has no such argument"):
        inferspan.predict(features=["amount"])(score)


def test_a_list_whose_elements_are_not_annotated_may_hold_objects() -> None:
    def score(orders: typing.List) -> str:  # type: ignore[type-arg]  # noqa: UP006
        return "a"

    inferspan.predict(features=["orders.amount"])(score)


@pytest.mark.parametrize(
    "annotation",
    [str | None, "str | None", list[float], list, tuple[int, str], int | list[str], None, "None"],
    ids=str,
)
def test_no_field_of_plain_values_is_proposed(annotation: object) -> None:
    def score(x: object) -> str:
        return "a"

    score.__annotations__["x"] = annotation
    with pytest.raises(ValueError, match=r"no such argument\. Give a callable"):
        inferspan.predict(features=["amount"])(score)


def test_a_keyword_of_kwargs_is_found_and_a_misspelt_parameter_is_not_taken_for_one(
    spans: CapturedSpans,
) -> None:
    def score(order_id: str, **more: str) -> str:
        return "a"

    traced = inferspan.predict(task=BINARY, prediction_id="order_id", slices=["country"])(score)
    traced("a", country="NL")
    traced("b")
    given, absent = [dict(span.attributes or {}) for span in spans]
    assert given[semconv.SLICE_PREFIX + "country"] == "NL"
    assert absent[semconv.CAPTURE_DROPPED] == ("slice country:the call has no argument 'country'",)
    for misspelt in ("ordre_id", "oder_id", "oder_id.key"):
        with pytest.raises(ValueError, match="did you mean 'order_id'"):
            inferspan.predict(prediction_id=misspelt)(score)


def test_a_keyword_wins_over_a_column_of_its_name(spans: CapturedSpans) -> None:
    @inferspan.predict(task="regression", prediction_id="key", slices=["land"])
    def score(X: pd.DataFrame, **more: object) -> float:
        return 1.0

    frame = pd.DataFrame({"key": ["column"], "land": ["DE"]})
    score(frame)
    score(frame, key="keyword", land="NL")
    score(frame.drop(columns="key"))
    score(frame.to_numpy())
    column, keyword, without, array = [dict(span.attributes or {}) for span in spans]
    slice_ = semconv.SLICE_PREFIX + "land"
    assert (column[semconv.PREDICTION_ID], column[slice_]) == ("column", "DE")
    assert (keyword[semconv.PREDICTION_ID], keyword[slice_]) == ("keyword", "NL")
    assert "'X' has no column 'key':" in str(without[semconv.CAPTURE_DROPPED])
    assert "'X' is a numpy.ndarray without 'land'" in str(array[semconv.CAPTURE_DROPPED])


def test_an_id_that_is_none_is_named(
    spans: CapturedSpans, caplog: pytest.LogCaptureFixture
) -> None:
    inferspan.predict(model="named none", task=BINARY, prediction_id="order_id")(
        lambda order_id: "a"
    )(None)
    assert "the argument 'order_id' holds a NoneType: no usable id" in caplog.text


def test_an_unknown_option_and_a_class_are_refused() -> None:
    with pytest.raises(TypeError, match="prediction_key"):
        inferspan.predict(prediction_key="x")  # type: ignore[call-overload]
    with pytest.raises(TypeError, match=r"inferspan\.wrap"):
        inferspan.predict(model="m")(Order)
    with pytest.raises(TypeError, match="must be a function"):
        inferspan.predict("fraud")  # type: ignore[call-overload]


def test_a_misspelt_option_is_named_with_those_there_are() -> None:
    said = r"has no option 'modle'; did you mean 'model'\? Its options are model, version, task,"
    with pytest.raises(TypeError, match=rf"^predict\(\) {said}"):
        inferspan.predict(modle="m")  # type: ignore[call-overload]
    with pytest.raises(TypeError, match=rf"^wrap\(\) {said}"):
        inferspan.wrap(CallableModel(), modle="m")  # type: ignore[call-arg]


def test_the_options_of_predict_are_those_of_its_signature() -> None:
    _, with_options = typing.get_overloads(inferspan.predict)
    assert tuple(inspect.signature(with_options).parameters) == PREDICT_OPTIONS


def test_a_version_may_be_a_whole_number(spans: CapturedSpans) -> None:
    inferspan.predict(model="m", task=BINARY, version=7)(lambda x: "a")(1)
    assert (spans[0].attributes or {})[semconv.MODEL_VERSION] == "7"


def test_a_bad_environment_is_said_at_decoration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INFERSPAN_CAPTURE", "everything")
    with pytest.raises(ValueError, match="INFERSPAN_CAPTURE is 'everything'"):
        inferspan.predict(model="m")

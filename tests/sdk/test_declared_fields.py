"""Fields of objects as sources: known from annotations, and of lists of objects those of each."""

from __future__ import annotations

import typing
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple

import numpy as np
import pytest
from pydantic import BaseModel, ConfigDict, Field, computed_field

import inferspan
from inferspan import semconv
from inferspan.testing import CapturedSpans

OPTIONS: dict[str, Any] = {"model": "m", "task": "regression"}


class Order(BaseModel):
    order_id: str
    amount: float = Field(alias="betrag", default=0.0)
    country: str | None = None

    @computed_field  # type: ignore[prop-decorator]
    @property
    def doubled(self) -> float:
        return 2 * self.amount


class OpenOrder(BaseModel):
    model_config = ConfigDict(extra="allow")
    amount: float


@dataclass
class Parcel:
    order_id: str
    amount: float
    country: str | None = None
    rate: typing.ClassVar[float] = 0.5

    @property
    def doubled(self) -> float:
        return 2 * self.amount


@dataclass
class Derived:
    amount: float

    def __post_init__(self) -> None:
        self.doubled = 2 * self.amount


class Line(NamedTuple):
    order_id: str
    amount: float
    country: str | None = None


class Plain:
    def __init__(self, amount: float) -> None:
        self.amount = amount


def given(order: Order) -> float: ...
def given_or_none(order: Order | None) -> float: ...
def annotated(order: Annotated[Order, "body"]) -> float: ...
def of_a_class(order: Parcel) -> float: ...
def of_a_tuple(order: Line) -> float: ...
def of_several(order: Order | Parcel) -> float: ...
def listed(order: list[Order]) -> float: ...
def in_a_tuple(order: tuple[Parcel, ...]) -> float: ...
def in_a_sequence(order: Sequence[Order]) -> float: ...
async def awaited(order: Order) -> float: ...


CLOSED = (
    given, given_or_none, annotated, of_a_class, of_a_tuple, of_several, listed, in_a_tuple,
    in_a_sequence, awaited,
)  # fmt: skip


@pytest.mark.parametrize("function", CLOSED, ids=lambda function: function.__name__)
def test_a_field_that_no_object_has_is_said_at_decoration(function: Callable[..., Any]) -> None:
    for option in ({"features": ["order.amuont"]}, {"slices": {"a": "order.amuont"}}):
        with pytest.raises(
            ValueError,
            match=r"='order\.amuont': .* has no field 'amuont'; did you mean 'order\.amount'\? Its "
            r"fields are order_id, amount, country\. Or give a callable, \w+=lambda \*args",
        ):
            inferspan.predict(**OPTIONS, **option)(function)
    with pytest.raises(ValueError, match=r"has no field 'xyz'\. Its fields are"):
        inferspan.predict(**OPTIONS, prediction_id="order.xyz")(function)
    inferspan.predict(**OPTIONS, features=["order.amount"])(function)


def test_the_field_itself_is_meant_and_not_its_alias() -> None:
    with pytest.raises(ValueError, match="Order has no field 'betrag'"):
        inferspan.predict(**OPTIONS, features=["order.betrag"])(given)


def open_model(order: OpenOrder) -> float: ...
def derived(order: Derived) -> float: ...
def plain(order: Plain) -> float: ...
def mapping(order: dict[str, float]) -> float: ...
def anything(order: Any) -> float: ...
def partly_known(order: Order | Plain) -> float: ...
def of_no_class(order: Iterable[Order]) -> float: ...
def unresolved(order: OnlyATypeChecker) -> float: ...  # type: ignore[name-defined] # noqa: F821


OPEN = (open_model, derived, plain, mapping, anything, partly_known, of_no_class, unresolved)


@pytest.mark.parametrize("function", OPEN, ids=lambda function: function.__name__)
def test_what_an_annotation_does_not_tell_is_left_to_the_call(function: Callable[..., Any]) -> None:
    inferspan.predict(**OPTIONS, features=["order.doubled"])(function)


def test_properties_and_constants_are_fields() -> None:
    inferspan.predict(**OPTIONS, features=["order.doubled"])(given)
    inferspan.predict(**OPTIONS, features=["order.doubled", "order.rate"])(of_a_class)


def test_methods_are_checked_as_functions_are() -> None:
    with pytest.raises(ValueError, match="Order has no field 'amuont'"):

        class Service:
            @classmethod
            @inferspan.predict(**OPTIONS, features=["order.amuont"])
            def score(cls, order: Order) -> float:
                return 1.0


def test_a_field_that_the_call_lacks_is_said_with_those_there_are(
    spans: CapturedSpans, caplog: pytest.LogCaptureFixture
) -> None:
    inferspan.predict(model="untyped", task="regression", features=["order.amuont"])(
        lambda order: 1.0
    )(Order(order_id="a"))
    assert "'order' is a " in caplog.text
    assert "Order without 'amuont'" in caplog.text
    assert "Order has order_id, amount, country)" in caplog.text
    # Names of fields are for the local log: the span says which one is missing, and no other.
    assert "order_id" not in str((spans[0].attributes or {})[semconv.CAPTURE_DROPPED])


ROWS: dict[str, list[Any]] = {
    "models": [Order(order_id="a", betrag=1.0, country="NL"), Order(order_id="b", betrag=2.0)],
    "objects": [Parcel("a", 1.0, "NL"), Parcel("b", 2.0)],
    "named tuples": [Line("a", 1.0, "NL"), Line("b", 2.0)],
    "mappings": [
        {"order_id": "a", "amount": 1.0, "country": "NL"},
        {"order_id": "b", "amount": 2.0},
    ],
}


@pytest.mark.parametrize("held", [list, tuple])
@pytest.mark.parametrize("rows", ROWS.values(), ids=ROWS)
def test_of_a_list_of_objects_the_field_of_each_is_read(
    spans: CapturedSpans, rows: list[Any], held: Callable[[list[Any]], Any]
) -> None:
    @inferspan.predict(
        **OPTIONS,
        prediction_id="orders.order_id",
        slices=["orders.country"],
        features=["orders.amount"],
    )
    def score(orders: Sequence[Any]) -> list[float]:
        return [0.5 for _ in orders]

    for count in (2, 1, 0):
        score(held(rows[:count]))
    two, one, none = [dict(span.attributes or {}) for span in spans]
    assert not any(semconv.CAPTURE_DROPPED in found for found in (two, one, none))
    assert two[semconv.PREDICTION_IDS] == ("a", "b")
    assert two[semconv.SLICE_PREFIX + "country"] == ("NL", "")
    assert np.frombuffer(two[semconv.FEATURE_DATA], "<f8").tolist() == [1.0, 2.0]
    assert one[semconv.PREDICTION_ID] == "a"
    assert one[semconv.SLICE_PREFIX + "country"] == "NL"
    assert np.frombuffer(one[semconv.FEATURE_DATA], "<f8").tolist() == [1.0]
    assert none[semconv.PREDICTION_COUNT] == 0


def test_a_list_of_lists_has_no_fields(spans: CapturedSpans) -> None:
    for rows in ([[1.0, 2.0]], [(1.0, 2.0)], ["a"], [np.zeros(2)], [1.0]):
        inferspan.predict(**OPTIONS, prediction_id="rows.index")(lambda rows: 1.0)(rows)
        said = str((spans[-1].attributes or {})[semconv.CAPTURE_DROPPED])
        assert "'rows' is a list of " in said
        assert "without 'index'" in said


def test_a_pattern_that_names_an_alias_redacts_the_field_of_each(spans: CapturedSpans) -> None:
    orders = [Parcel("a", 1.0), Order(order_id="b", betrag=2.0)]
    inferspan.predict(**OPTIONS, features=["orders.amount"], redact=["betrag"])(
        lambda orders: [1.0, 2.0]
    )(orders)
    attributes = dict(spans[0].attributes or {})
    assert semconv.FEATURE_DATA not in attributes
    assert "2.0" not in str(attributes[semconv.INPUT_VALUE])


@pytest.mark.parametrize("missing", [None, float("nan"), [None], np.array([np.nan])])
def test_a_missing_slice_is_none_and_nothing_to_warn_of(
    spans: CapturedSpans, caplog: pytest.LogCaptureFixture, missing: object
) -> None:
    inferspan.predict(model="optional", task="regression", slices=["country"])(lambda country: 1.0)(
        missing
    )
    attributes = dict(spans[0].attributes or {})
    assert semconv.SLICE_PREFIX + "country" not in attributes
    assert semconv.CAPTURE_DROPPED not in attributes
    assert caplog.messages == []


@pytest.mark.parametrize("unusable", [object(), float("inf"), [1, 2], {"a": 1}])
def test_a_slice_of_no_text_or_number_is_said(spans: CapturedSpans, unusable: object) -> None:
    inferspan.predict(model="m", task="regression", slices=["country"])(lambda country: 1.0)(
        unusable
    )
    assert (spans[0].attributes or {})[semconv.CAPTURE_DROPPED] == (
        "slice country:no text or number per prediction; give one",
    )

"""What must not leave the process by name does not leave it, wherever it stands."""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import polars as pl
import pydantic
import pytest

import inferspan
from inferspan import semconv
from inferspan.json_values import DEPTH_MAX
from inferspan.redaction import PLACEHOLDER, Redactor
from inferspan.testing import CapturedSpans

SECRET = "4000123412341234"


@dataclass
class Payment:
    card: str
    amount: float


class Holder(NamedTuple):
    card: str
    name: str


class Person(pydantic.BaseModel):
    card: str


class Aliased(pydantic.BaseModel):
    """Its body is `{"card": …}`; its field is called otherwise."""

    number: str = pydantic.Field(alias="card")


class Chosen(pydantic.BaseModel):
    number: str = pydantic.Field(
        validation_alias=pydantic.AliasChoices("pan", pydantic.AliasPath("card", 0))
    )


class Written(pydantic.BaseModel):
    number: str = pydantic.Field(serialization_alias="cardNumber")


class Generated(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(alias_generator=lambda name: f"card_{name}")
    number: str


def nested(depth: int) -> dict[str, Any]:
    """The secret below so many mappings."""
    value: dict[str, Any] = {"card": SECRET}
    for _ in range(depth):
        value = {"d": value}
    return value


@pytest.mark.parametrize(
    "value",
    [
        *[nested(depth) for depth in range(DEPTH_MAX + 2)],
        Payment(SECRET, 1.0),
        Holder(SECRET, "J"),
        Person(card=SECRET),
        Aliased(card=SECRET),
        Chosen(pan=SECRET),
        Written(number=SECRET),
        Generated(card_number=SECRET),
        [Aliased(card=SECRET)],
        pd.DataFrame({"card": [SECRET]}),
        pd.DataFrame({("x", "card"): [SECRET]}),
        pd.DataFrame({"card": np.full(100, float(SECRET))}),
        pd.Series([{"card": SECRET}]),
        np.array([Payment(SECRET, 1.0)], object),
        [[(Payment(SECRET, 1.0),)]],
        frozenset([Holder(SECRET, "J")]),
        {b"x": {"CARD": SECRET}},
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_name_is_redacted_wherever_it_is_shown(spans: CapturedSpans, value: object) -> None:
    @inferspan.predict(task="regression", capture="values", redact=["*card*"])
    def score(order: object) -> dict[str, object]:
        inferspan.snapshot("order", order)
        return {"value": 1.0, "why": value}

    score(value)
    said = repr(spans[0].attributes) + repr([dict(e.attributes or {}) for e in spans[0].events])
    assert SECRET not in said
    assert np.float64(SECRET).tobytes().hex() not in said.encode().hex()


def test_the_first_pattern_that_matches_decides(spans: CapturedSpans) -> None:
    def last_four(name: str, value: object) -> object:
        return str(value)[-4:]

    rules = {"amount": "keep", "card_*": last_four, "person": "hash", "*": "drop"}

    @inferspan.predict(task="regression", capture="values", redact=rules)
    def score(amount: float, card_number: str, person: str, note: str) -> float:
        return 1.0

    score(2.5, SECRET, "Jo", "private")
    shown = json.loads(str((spans[0].attributes or {})[semconv.INPUT_VALUE]))
    assert shown == {
        "amount": 2.5,
        "card_number": "1234",
        "person": hashlib.sha256(b"Jo").hexdigest(),
        "note": PLACEHOLDER,
    }


def test_a_hash_is_keyed_and_the_same_as_of_an_id(
    spans: CapturedSpans, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = "k" * 32
    monkeypatch.setenv("INFERSPAN_ID_KEY", key)

    @inferspan.predict(
        task="regression",
        prediction_id="customer",
        features=["customer", "amount"],
        slices=["country"],
        redact={"customer": "hash", "country": "hash"},
    )
    def score(customer: str, country: str, amount: float) -> float:
        return 1.0

    score("c-17", "DE", 2.5)
    attributes = spans[0].attributes or {}
    expected = hmac.new(key.encode(), b"c-17", hashlib.sha256).hexdigest()
    assert attributes[semconv.FEATURE_CATEGORY_VALUES] == (expected,)
    assert attributes[semconv.PREDICTION_ID] == expected
    country = hmac.new(key.encode(), b"DE", hashlib.sha256).hexdigest()
    assert attributes[semconv.SLICE_PREFIX + "country"] == country
    assert "c-17" not in repr(attributes)


def test_a_column_is_hashed_by_entry() -> None:
    redactor = Redactor.of({"*": "hash"})
    assert redactor is not None
    one, missing, again = redactor.apply("c", pd.Series(["a", None, "a"]))  # type: ignore[misc]
    assert (one, missing) == (again, None)
    assert redactor.apply("c", {"a": 1}) == PLACEHOLDER
    assert redactor.apply("c", np.zeros((2, 2))) == PLACEHOLDER
    assert redactor.apply("c", ["a"] * 70_000) == PLACEHOLDER
    assert redactor.apply("c", 17) == redactor.apply("c", "17")


def test_a_hook_sees_the_native_object_and_one_that_raises_redacts() -> None:
    seen: list[object] = []

    def hook(name: str, value: object) -> object:
        seen.append(value)
        return {}["absent"]

    frame = pd.DataFrame({"a": [1]})
    for option in (hook, {"frame": hook}):
        redactor = Redactor.of(option)  # type: ignore[arg-type]
        assert redactor is not None
        assert redactor.apply("frame", frame) == PLACEHOLDER
        assert seen.pop() is frame


def test_no_message_of_an_exception_is_recorded_where_something_is_redacted(
    spans: CapturedSpans,
) -> None:
    @inferspan.predict(task="regression", capture="values", redact=["card"])
    def score(card: str) -> float:
        raise ValueError(f"bad card {card}")

    with pytest.raises(ValueError, match="bad card"):
        score(SECRET)
    assert SECRET not in spans[0].to_json()


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("*card*", r"write \['\*card\*'\]"),
        (5, "must be patterns, a mapping or a callable"),
        ([""], "must hold patterns such as"),
        ([5], "redact holds 5"),
        ({"a": "mask"}, "'mask': must be one of drop, hash, keep, or a callable"),
        ({5: "drop"}, "redact holds 5"),
    ],
)
def test_a_wrong_option_is_refused(option: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Redactor.of(option)


@pytest.mark.parametrize("option", ["features", "slices"])
def test_a_declared_field_is_judged_by_its_alias(spans: CapturedSpans, option: str) -> None:
    @inferspan.predict(task="regression", redact=["*card*"], **{option: ["order.number"]})  # type: ignore[arg-type]
    def score(order: Aliased) -> float:
        return 1.0

    score(Aliased(card=SECRET))
    said = repr(spans[0].attributes)
    assert SECRET not in said
    assert PLACEHOLDER in said


class Field(Enum):
    CARD = 1


@pytest.mark.parametrize(
    "value",
    [
        {b"card": SECRET},
        {Field.CARD: SECRET},
        {("card", "x"): SECRET},
        {("x", ("y", "card")): SECRET},
        pd.DataFrame({("card", "x"): [SECRET]}),
        pd.Series([SECRET], name="card"),
        pd.Series(np.full(100, float(SECRET)), name="card"),
        pd.Series([SECRET], name=("x", "card")),
        pd.Index([SECRET], name="card"),
        pl.Series("card", [SECRET]),
        [pd.Series([SECRET], name="card")],
        [[pl.Series("card", [SECRET])]],
    ],
    ids=lambda value: type(value).__name__,
)
def test_every_name_of_a_value_is_judged(spans: CapturedSpans, value: object) -> None:
    @inferspan.predict(
        task="regression", capture="values", redact=["card"], features=["order"], slices=["order"]
    )
    def score(order: object) -> dict[str, object]:
        inferspan.snapshot("order", order)
        return {"value": 1.0, "why": value}

    score(value)
    said = repr(spans[0].attributes) + repr([dict(e.attributes or {}) for e in spans[0].events])
    assert SECRET not in said
    assert SECRET[:8] not in said.replace(".", "")
    assert repr(np.float64(SECRET).tobytes())[2:-1] not in said


@pytest.mark.parametrize(
    ("redact", "recorded"),
    [
        (["card"], PLACEHOLDER),
        (["alias"], PLACEHOLDER),
        ({"alias": "keep", "*": "drop"}, PLACEHOLDER),
        ({"card": "keep", "*": "drop"}, PLACEHOLDER),
        ({"card": "keep", "alias": "keep", "*": "drop"}, SECRET),
        ({"card": lambda name, value: value[-4:]}, SECRET[-4:]),
        ({"*": "hash"}, hashlib.sha256(SECRET.encode()).hexdigest()),
        (["payment", "x"], SECRET),
    ],
)
def test_a_source_is_judged_by_its_own_name_and_by_what_it_is_called(
    spans: CapturedSpans, redact: Any, recorded: str
) -> None:
    def score(payment: dict[str, str], card: str) -> float:
        return 1.0

    for source in ("card", "payment.card"):
        inferspan.predict(
            task="regression", redact=redact, features={"alias": source}, slices={"alias": source}
        )(score)({"card": SECRET}, SECRET)
    for span in spans:
        attributes = span.attributes or {}
        assert attributes[semconv.FEATURE_CATEGORY_VALUES] == (recorded,)
        assert attributes[semconv.SLICE_PREFIX + "alias"] == recorded


def test_columns_that_are_not_asked_for_stay_in_the_local_log(
    spans: CapturedSpans, caplog: pytest.LogCaptureFixture
) -> None:
    @inferspan.predict(
        model="columns", task="regression", prediction_id="X.id", slices=["X.a"], features=["X.b"]
    )
    def score(X: pd.DataFrame) -> float:
        return 1.0

    score(pd.DataFrame({SECRET: [1]}))
    assert SECRET not in spans[0].to_json()
    assert len(spans[0].attributes[semconv.CAPTURE_DROPPED]) == 3  # type: ignore[index,arg-type]
    assert caplog.text.count(f"('X' has {SECRET})") == 3


def test_a_hook_is_asked_and_answers_within_limits(spans: CapturedSpans) -> None:
    asked: list[str] = []

    def hook(name: str, value: object) -> object:
        asked.append(name)
        return "x" * 1_000_000

    @inferspan.predict(
        task="regression", capture="values", redact=hook, slices=["a"], features=["a"]
    )
    def score(a: float, *more: object, **named: object) -> float:
        inferspan.snapshot("wide", pd.DataFrame(columns=range(100_000)))
        return 1.0

    score(1.0, **{f"n{i}": i for i in range(100_000)})
    score(1.0, *range(100_000))
    score(1.0, {f"n{i}": i for i in range(100_000)})
    assert len(asked) < 1_000
    assert all(len(span.to_json()) < 10_000 for span in spans)
    dropped = str((spans[0].attributes or {})[semconv.CAPTURE_DROPPED])
    assert "of 100001 members beyond" in dropped

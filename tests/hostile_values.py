"""Values that a guest meets sooner or later: whose every method raises, lies or never ends."""

from __future__ import annotations

import enum
from collections import OrderedDict, defaultdict, deque, namedtuple
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import PurePosixPath
from typing import Any
from uuid import UUID

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pydantic
import scipy.sparse
from hypothesis import strategies as st
from PIL import Image


class Told(Exception):
    """What the values below raise."""


class Raising:
    """Every question is answered by an exception."""

    def __getattribute__(self, name: str) -> Any:
        raise Told(name)

    def __repr__(self) -> str:
        raise Told("repr")

    __str__ = __hash__ = __len__ = __iter__ = __bool__ = __array__ = __index__ = __repr__  # type: ignore[assignment]


class RaisingShape:
    columns = dtype = device = nbytes = None

    @property
    def shape(self) -> tuple[int, ...]:
        raise Told("shape")

    def __getitem__(self, key: object) -> object:
        raise Told("getitem")


class Liar:
    """Says that it is a text, and that it is longer than any memory."""

    shape = (2**40, 2**40)
    dtype = object()

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        return str

    def __len__(self) -> int:
        return 2**62


class Meta(type):
    def __getattribute__(cls, name: str) -> Any:
        if name in ("__module__", "__qualname__", "__name__", "__mro__"):
            raise Told(name)
        return super().__getattribute__(name)


class Nameless(metaclass=Meta):
    pass


class HostileList(list):  # type: ignore[type-arg]
    def __len__(self) -> int:
        raise Told("len")

    def __iter__(self) -> Any:
        raise Told("iter")

    def __getitem__(self, key: object) -> Any:
        raise Told("getitem")


class HostileDict(dict):  # type: ignore[type-arg]
    def items(self) -> Any:
        raise Told("items")

    __len__ = __iter__ = HostileList.__iter__


class HostileText(str):
    def __str__(self) -> str:
        raise Told("str")

    __len__ = isascii = encode = __str__  # type: ignore[assignment]


class HostileFloat(float):
    def __repr__(self) -> str:
        raise Told("repr")

    __float__ = is_integer = __repr__  # type: ignore[assignment]


class Kind(enum.Enum):
    FRAUD = "fraud"
    PAIR = (1, "x")


Point = namedtuple("Point", "x y")


@dataclass
class Order:
    amount: float
    note: str = "n"
    card: str = field(default="4000", repr=False)


class Model(pydantic.BaseModel):
    amount: float
    secret: pydantic.SecretStr = pydantic.SecretStr("s3cret")
    hidden: str = pydantic.Field("s3cret", repr=False)


def recursive() -> list[object]:
    """A list and a dict that hold each other."""
    outer: list[object] = []
    outer.append({"self": outer, "twice": [outer, outer]})
    return outer


leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([63, 64, 1000, 100_000]).map(lambda bits: -1 << bits),
    st.sampled_from([63, 64, 1000, 100_000]).map(lambda bits: 1 << bits),
    st.floats(),
    st.complex_numbers(),
    st.text(st.characters(), max_size=80),
    st.sampled_from(["\ud800", "\x00", "x" * 10_000, "é" * 1000, '"\\' * 600]),
    st.binary(max_size=5),
    st.floats(width=32).map(np.float32),
    st.sampled_from(
        [
            np.int8(3),
            np.str_("text"),
            np.bool_(True),
            np.datetime64("2026-01-01"),
            np.datetime64("NaT"),
            np.void(b"abc"),
            np.zeros((1000, 1000)),
            np.array(["a", None, {"b": 1}], object),
            np.array(["x" * 100_000] * 60),
            np.zeros((), "M8[ns]"),
            np.zeros(3, [("a", "i4")]),
            np.float64(0).reshape(()),
            np.ma.masked_array([1, 2], [0, 1]),
        ]
    ),
    st.lists(st.floats(), max_size=100).map(np.array),
    st.sampled_from(
        [
            pd.DataFrame({"a": [1, 2], "b": ["x", None]}),
            pd.DataFrame(np.zeros((1000, 3))),
            pd.Series([1.5, None]),
            pd.Series(pd.Categorical(["a", "b"])),
            pd.NaT,
            pd.NA,
            pd.Timestamp("2026-01-01", tz="UTC"),
            pl.DataFrame({"a": [1, 2], "b": [[1], None]}),
            pl.DataFrame({"a": [1]}).lazy(),
            pl.Series([1, 2]),
            pa.table({"a": [1, 2], "b": [{"c": 1}, None]}),
            pa.array(["x", None]),
            pa.chunked_array([[1], [2]]),
            pa.scalar(1),
            scipy.sparse.csr_matrix((3, 4)),
            scipy.sparse.random(5, 5, 0.5, format="coo", random_state=0),
            Image.new("RGB", (4, 3)),
        ]
    ),
    st.sampled_from(
        [
            Kind.FRAUD,
            Kind.PAIR,
            datetime(2026, 1, 1, tzinfo=UTC),
            date(2026, 1, 1),
            time(1, 2),
            timedelta(seconds=1),
            Decimal("1.50"),
            Decimal("1" * 5000),
            Decimal("NaN"),
            UUID(int=7),
            PurePosixPath("/a/b"),
            range(10**12),
            deque([1, 2]),
            Point(1, "y"),
            Order(2.0),
            Order("not a number", note={"deep": [1]}),  # type: ignore[arg-type]
            Model(amount=1),
            OrderedDict(a=1),
            defaultdict(list, b=2),
            frozenset({1, "a", (2, 3)}),
            bytearray(b"x"),
            iter([1]),
            len,
            Order,
            ValueError("message"),
        ]
    ),
    st.builds(object),
    st.builds(Raising),
    st.builds(RaisingShape),
    st.builds(Liar),
    st.integers().map(lambda _: Nameless()),
    st.builds(HostileList, st.lists(st.integers(), max_size=3)),
    st.builds(HostileDict, st.dictionaries(st.text(max_size=2), st.integers(), max_size=3)),
    st.builds(HostileText, st.text(max_size=5)),
    st.builds(HostileFloat, st.floats()),
    st.builds(recursive),
)
keys = st.one_of(
    st.text(max_size=5), st.integers(), st.floats(), st.sampled_from([Kind.FRAUD, ("a", "b"), None])
)
anything = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=100),
        st.tuples(inner, inner),
        st.dictionaries(keys, inner, max_size=10),
        st.builds(Order, inner, inner),
        st.builds(Point, inner, inner),
    ),
    max_leaves=20,
)
"""Any nested value."""

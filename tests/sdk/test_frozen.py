"""Frozen classes: fields, defaults and refusals as those of a frozen data class with slots."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from dataclasses import FrozenInstanceError, dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferspan.frozen import altered, frozen


class Fields:
    """What both are made of."""

    first: str
    second: int = 2
    third: list[int] = field(default_factory=list)
    total: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "total", self.second + sum(self.third))

    def doubled(self) -> int:
        """A method."""
        return 2 * self.total


def made_by(decorate: Callable[[type], type], name: str) -> Any:
    own = {n: v for n, v in vars(Fields).items() if n not in ("__dict__", "__weakref__")}
    return decorate(type(name, (), {**own, "__qualname__": name, "__module__": __name__}))


Ours = made_by(frozen, "Ours")
Theirs = made_by(dataclass(frozen=True, slots=True, eq=False, repr=False), "Theirs")
NAMES = ("first", "second", "third", "total")


def held(one: Any) -> dict[str, object]:
    return {name: getattr(one, name) for name in NAMES}


@given(
    st.lists(st.just("a") | st.integers(0, 9) | st.lists(st.integers(0, 9)), max_size=5),
    st.dictionaries(st.sampled_from([*NAMES, "other"]), st.lists(st.integers(0, 9))),
)
def test_what_a_data_class_takes_is_taken_and_what_it_refuses_is_refused(
    by_position: list[Any], by_name: dict[str, Any]
) -> None:
    found = []
    for kind in (Ours, Theirs):
        try:
            found.append(held(kind(*by_position, **by_name)))
        except TypeError:
            found.append({})
    assert found[0] == found[1]


def test_nothing_is_set_or_deleted_and_there_is_nothing_else() -> None:
    one = Ours("a")
    for name in (*NAMES, "other"):
        with pytest.raises(FrozenInstanceError, match=f"{name} of a Ours is as it was made"):
            setattr(one, name, 1)
        with pytest.raises(FrozenInstanceError):
            delattr(one, name)
    assert not hasattr(one, "__dict__")
    assert held(one) == {"first": "a", "second": 2, "third": [], "total": 2}


def test_each_has_its_own_default_and_is_equal_to_itself_only() -> None:
    one, other = Ours("a"), Ours("a")
    assert one.third is not other.third
    assert one == one
    assert one != other
    assert len({one, other}) == 2


@pytest.mark.parametrize(
    "again",
    [
        copy.copy,
        copy.deepcopy,
        *(
            lambda one, protocol=protocol: pickle.loads(pickle.dumps(one, protocol))
            for protocol in range(pickle.HIGHEST_PROTOCOL + 1)
        ),
    ],
)
def test_it_copies_and_pickles(again: Callable[[Any], Any]) -> None:
    one = Ours("a", 3, [4])
    assert type(again(one)) is Ours
    assert again(one) is not one
    assert held(again(one)) == held(one)
    assert again(one).doubled() == 14


def test_some_fields_may_be_others_and_what_follows_is_computed_anew() -> None:
    one = Ours("a", 3, [4])
    assert held(altered(one, second=5)) == {"first": "a", "second": 5, "third": [4], "total": 9}
    assert one.total == 7
    for wrong in ({"total": 1}, {"other": 1}):
        with pytest.raises(TypeError, match="takes each of"):
            altered(one, **wrong)


def test_it_says_what_it_is() -> None:
    assert (Ours.__name__, Ours.__qualname__, Ours.__module__) == ("Ours", "Ours", __name__)
    assert Ours.__doc__ == "What both are made of."

"""A model that answers for one row, and how it is called: with a span by hand and without."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from by_hand import awaited


def first(said: Any) -> Any:
    """The answer for one row as a span takes it: a class, a number, a list of probabilities."""
    return said[0].tolist()


def extent(said: Any) -> str:
    """What a span by hand says of a vector, or of what was generated."""
    return str(tuple(said.shape))


@dataclass(frozen=True)
class Small:
    """A fitted model and one call of it.

    Args:
        model: the object.
        method: what is called.
        given: one row, or what holds it: its shape is what a span by hand says.
        arguments: the method's; absent = the row.
        named: the method's arguments by name.
        answer: what of an answer a span by hand says, in a type that an attribute has.
        awaits: whether the method is a coroutine function, here of one that waits for nothing.
        wrapped: makes what is called in the model's place where it is traced by itself; absent =
            its library is instrumented.
        layers: how many of them are watched; `torch_layers.snapshots` has its hooks in them.
    """

    model: Any
    method: str
    given: Any
    arguments: tuple[Any, ...] = ()
    named: dict[str, Any] = field(default_factory=dict)
    answer: Callable[[Any], object] = first
    awaits: bool = False
    wrapped: Callable[[], Any] | None = None
    layers: int = 0

    def call_of(self, model: Any) -> Callable[[], Any]:
        """The call, of the model or of what is called in its place."""
        given, named, name = self.arguments or (self.given,), self.named, self.method
        if self.awaits:
            return lambda: awaited(getattr(model, name))(*given)
        if named:
            return lambda: getattr(model, name)(*given, **named)
        return lambda: getattr(model, name)(*given)


Maker = Callable[[], Small]


def rows(task: str = "classes", count: int = 60) -> tuple[Any, Any]:
    """A few rows of ten features, scaled: they are learnt in a moment, also under valgrind."""
    import numpy as np

    x = np.random.default_rng(0).normal(size=(count, 10))
    sums = x[:, :3].sum(1)
    return x, sums if task == "numbers" else (sums > 0).astype(int)

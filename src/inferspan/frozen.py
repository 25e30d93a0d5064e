"""Classes of declared fields that never change, made without having source compiled.

As `dataclass(frozen=True, slots=True, eq=False, repr=False)` makes them; but that writes the source
of three methods for each class and compiles it, which took a quarter of importing inferspan.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, Field, FrozenInstanceError, field
from typing import Any, Final, TypeVar, dataclass_transform

T = TypeVar("T")

_OF_ITS_OWN: Final = ("__dict__", "__weakref__")
"""What each class has beside its namespace."""


@dataclass_transform(frozen_default=True, eq_default=False, field_specifiers=(field,))
def frozen(kind: type[T]) -> type[T]:
    """Make a class of its annotated attributes, which are fields as those of a data class: without
    a default, with one, `field(default_factory=…)`, or `field(init=False)`.

    Objects are equal to themselves only, pickle, copy, and have no further attributes; what sets
    a field raises `FrozenInstanceError`, but for `object.__setattr__` in `__post_init__`.
    Classes that are derived from others or call `super()` are not for this.
    """
    names = tuple(kind.__annotations__)
    own = {n: v for n, v in vars(kind).items() if n not in names and n not in _OF_ITS_OWN}
    own.update(
        __slots__=names,
        __init__=_initialiser(kind, names),
        __setattr__=_refuse,
        __delattr__=_refuse,
        # Python's own says the same, but pickle's first two protocols ask for one of the class.
        __getstate__=_state,
        __setstate__=_restore,
    )
    made = type(kind.__name__, kind.__bases__, own)
    made.__qualname__ = kind.__qualname__
    return made


def altered(value: T, **changes: object) -> T:
    """Make an object as `value`, but for some fields.

    Args:
        value: of a class that `frozen` made.
        changes: fields by name; those that are computed cannot be among them.
    """
    kind: Any = type(value)
    return kind(**{n: getattr(value, n) for n in kind.__init__.given} | changes)  # type: ignore[no-any-return]


def _initialiser(kind: type, names: tuple[str, ...]) -> Callable[..., None]:
    declared = {name: vars(kind).get(name, MISSING) for name in names}
    fields = {name: it for name, it in declared.items() if isinstance(it, Field)}
    given = tuple(name for name in names if name not in fields or fields[name].init)
    plain = ((n, it) for n, it in declared.items() if n not in fields and it is not MISSING)
    defaults: dict[str, object] = dict(plain)
    known = frozenset(given)
    makers = {n: it.default_factory for n, it in fields.items() if it.init}
    concluding, put = hasattr(kind, "__post_init__"), object.__setattr__

    def __init__(self: Any, *by_position: object, **by_name: object) -> None:
        told = {**dict(zip(given, by_position, strict=False)), **by_name}
        values = {**defaults, **told}
        for name, make in makers.items():
            if name not in told:
                values[name] = make()  # type: ignore[operator]
        if values.keys() != known or len(told) != len(by_position) + len(by_name):
            raise TypeError(
                f"{kind.__name__} takes each of {given} once and nothing else; it was given "
                f"{len(by_position)} by position, and {list(by_name)}"
            )
        for name, value in values.items():
            put(self, name, value)
        if concluding:
            self.__post_init__()

    __init__.given = given  # type: ignore[attr-defined]
    return __init__


def _refuse(self: object, name: str, *value: object) -> None:
    raise FrozenInstanceError(f"{name} of a {type(self).__name__} is as it was made")


def _state(self: Any) -> tuple[None, dict[str, object]]:
    return None, {name: getattr(self, name) for name in type(self).__slots__}


def _restore(self: object, state: tuple[None, dict[str, object]]) -> None:
    for name, value in state[1].items():
        object.__setattr__(self, name, value)

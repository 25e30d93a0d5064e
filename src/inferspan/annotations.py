"""What a parameter's annotation says of its members: whether it has any, and which they are."""

from __future__ import annotations

import dataclasses
import inspect
import re
import types
import typing
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, Union

COLLECTING: Final = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
"""Kinds of `*args` and `**kwargs`."""
_WITHOUT_MEMBERS: Final = frozenset(
    ("str", "int", "float", "bool", "bytes", "list", "tuple", "set", "None", "NoneType")
)
_TABLES: Final = frozenset(("dict", "defaultdict", "Table", "RecordBatch"))
_TABLE_ENDINGS: Final = ("DataFrame", "Mapping", "Dict")
"""How names of classes end that are tables: `GeoDataFrame`, `TypedDict`."""
_TABLE_PARAMETERS: Final = ("df", "X", "x_df", "frame", "table", "rows", "row", "batch", "data")
"""What an argument without annotation is called where people pass data frames."""
_LISTS: Final = (list, Sequence)
LISTED_MAX: Final = 20
"""Names that a message lists."""


def may_have_members(
    function: Callable[..., object], name: str, parameter: inspect.Parameter
) -> bool:
    """Whether a parameter is a table, or may be an object of some class, or a list of them."""
    if parameter.annotation is parameter.empty or parameter.kind in COLLECTING:
        return may_be_table(name, parameter)
    if classes := _classes_of(_annotation(function, name)):
        return any(kind.__name__ not in _WITHOUT_MEMBERS for kind in classes)
    plain = _written(parameter.annotation).partition("[")[0].partition(" ")[0]
    return plain not in _WITHOUT_MEMBERS


def may_be_table(name: str, parameter: inspect.Parameter) -> bool:
    """Whether a parameter is a data frame or mapping, by its annotation or else by its name."""
    if parameter.kind in COLLECTING:
        return False
    if parameter.annotation is parameter.empty:
        return name in _TABLE_PARAMETERS
    written = _written(parameter.annotation)
    return any(
        word in _TABLES or word.endswith(_TABLE_ENDINGS) for word in re.findall(r"\w+", written)
    )


def missing_field(function: Callable[..., object], parameter: str, field: str) -> str | None:
    """Say that an argument has no such field, as far as its annotation tells all that it has.

    Pydantic models, data classes and named tuples do, unless they take others, too; alone, beside
    None, or as the elements of a list.

    Returns:
        The sentence, with the fields that there are; None where the field is there, or may be.
    """
    classes = _classes_of(_annotation(function, parameter))
    if not classes or not all(_is_closed(kind) for kind in classes):
        return None
    if field.startswith("_") or any(_has(kind, field) for kind in classes):
        return None
    import difflib  # only for what is misspelt

    known = list(dict.fromkeys(name for kind in classes for name in fields_of(kind) or ()))
    close = difflib.get_close_matches(field, known, 1)
    meant = f"; did you mean {f'{parameter}.{close[0]}'!r}?" if close else "."
    named = " | ".join(kind.__name__ for kind in classes)
    return f"{named} has no field {field!r}{meant} Its fields are {listed(known)}."


def fields_of(kind: type) -> tuple[str, ...] | None:
    """The fields of a pydantic model, a data class or a named tuple; None of other classes."""
    if isinstance(fields := getattr(kind, "__pydantic_fields__", None), dict):
        return tuple(fields)
    if dataclasses.is_dataclass(kind):
        return tuple(field.name for field in dataclasses.fields(kind))
    if issubclass(kind, tuple):
        return getattr(kind, "_fields", None)
    return None


def listed(names: Iterable[str]) -> str:
    """The first names, as a message lists them."""
    known = list(names)
    more = ", …" if len(known) > LISTED_MAX else ""
    return ", ".join(known[:LISTED_MAX]) + more


def _written(annotation: object) -> str:
    return annotation if isinstance(annotation, str) else getattr(annotation, "__name__", "")


def _annotation(function: Callable[..., object], parameter: str) -> object:
    try:
        return typing.get_type_hints(function).get(parameter)
    except Exception:  # names that only a type checker knows, or that come later
        return None


def _classes_of(annotation: object) -> tuple[type, ...]:
    """The classes of what an annotation allows beside None; none where one of them is no class."""
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (Union, types.UnionType):
        parts = [_classes_of(each) for each in inner if each is not type(None)]
        return tuple(kind for part in parts for kind in part) if all(parts) else ()
    if inner and (origin in _LISTS or (origin is tuple and inner[1:] == (...,))):
        return _classes_of(inner[0])
    return (annotation,) if isinstance(annotation, type) else ()


def _is_closed(kind: Any) -> bool:
    """Whether objects of a class have only what it declares."""
    if fields_of(kind) is None or any("__getattr__" in base.__dict__ for base in _own_bases(kind)):
        return False
    if (options := getattr(kind, "model_config", None)) is not None:
        return bool(options.get("extra") != "allow")
    return not any("__post_init__" in base.__dict__ for base in _own_bases(kind))


def _own_bases(kind: type) -> list[type]:
    """The classes that a user wrote: pydantic's own has a `__getattr__` for private names."""
    return [
        b for b in kind.__mro__ if b.__module__.partition(".")[0] not in ("pydantic", "builtins")
    ]


def _has(kind: type, name: str) -> bool:
    """Whether objects of a class have a field, property, method or constant of this name."""
    return name in (fields_of(kind) or ()) or hasattr(kind, name)

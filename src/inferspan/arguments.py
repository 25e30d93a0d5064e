"""Where in a call a declared value stands: resolved once at decoration, read by position."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol

import numpy as np

from inferspan import foreign
from inferspan.annotations import (
    COLLECTING,
    LISTED_MAX,
    fields_of,
    listed,
    may_be_table,
    may_have_members,
    missing_field,
)
from inferspan.attributes import TEXT_LENGTH_MAX, is_table, text, type_name

Arguments = tuple[Any, ...]
Keywords = Mapping[str, Any]
SourceName = str | Callable[..., object]
"""The name of an argument or column, or a callable that gets the call's arguments."""

ABSENT: Final = object()
"""Read where the call does not hold the value."""

_NEARLY: Final = 0.8
"""Ratio of likeness (difflib) from which a name is taken for a misspelt parameter."""
_INDEX: Final = "index"
"""What names the index of a data frame that has no column of this name."""
_FIELDLESS: Final = (str, bytes, int, float, list, set, np.ndarray, np.generic, type(None))
"""Elements of lists of which no field is meant, whatever attributes they have."""


def first_given(arguments: Arguments, keywords: Keywords) -> Any:
    """The first argument of a call, by whatever name; None where it has none."""
    return arguments[0] if arguments else next(iter(keywords.values()), None)


class Source(Protocol):
    """Reads one declared value from a call."""

    @property
    def names(self) -> tuple[str, ...]:
        """What the value is called where it stands: by such names it may be redacted."""

    def read(self, arguments: Arguments, keywords: Keywords, bound: int) -> object:
        """Read the value, or `ABSENT`.

        Args:
            arguments: positional arguments, without `self` or `cls`.
            keywords: keyword arguments.
            bound: 1 if the first parameter of the signature was taken by binding, else 0.
        """

    def absence(self, arguments: Arguments, keywords: Keywords, bound: int) -> str:
        """Say why `read` gave nothing usable: the name, and the type of what is in its place."""

    def beside(self, arguments: Arguments, keywords: Keywords, bound: int) -> str:
        """List the names among which it was not found; they are data, so for the local log only."""


class Argument:
    """A parameter of the function."""

    __slots__ = ("default", "name", "position")

    def __init__(self, name: str, position: int | None, default: object = ABSENT) -> None:
        self.name, self.position, self.default = name, position, default

    @property
    def names(self) -> tuple[str, ...]:
        """The parameter's."""
        return (self.name,)

    def read(self, arguments: Arguments, keywords: Keywords, bound: int) -> object:
        """Read the argument, its default where the call does not give it."""
        if self.position is not None and 0 <= self.position - bound < len(arguments):
            return arguments[self.position - bound]
        return keywords.get(self.name, self.default)

    def absence(self, arguments: Arguments, keywords: Keywords, bound: int) -> str:
        """Say that the call lacks the argument, or what it holds."""
        held = self.read(arguments, keywords, bound)
        if held is ABSENT:
            return f"the call has no argument {self.name!r}"
        return f"the argument {self.name!r} holds a {type_name(type(held))}"

    def beside(self, arguments: Arguments, keywords: Keywords, bound: int) -> str:
        """Nothing: `absence` says all."""
        return ""


class Column:
    """A column of a data frame (or its `index`) or Arrow table, a key of a mapping or an attribute;
    of a list of such mappings or objects those of each.
    """

    __slots__ = ("argument", "name")

    def __init__(self, argument: Argument, name: str) -> None:
        self.argument = argument
        self.name = name

    @property
    def names(self) -> tuple[str, ...]:
        """The column's own."""
        return (self.name,)

    def read(self, arguments: Arguments, keywords: Keywords, bound: int) -> object:
        """Read the column of a data frame, as its library gives it, or of a mapping; the fields of
        the objects of a list, or the one of an object.
        """
        owner = self.argument.read(arguments, keywords, bound)
        if is_table(owner):
            if (column := foreign.column_of(owner, self.name)) is not None:
                return column
            return getattr(owner, _INDEX, ABSENT) if self.name == _INDEX else ABSENT
        if isinstance(owner, Mapping):
            return owner.get(self.name, ABSENT)
        if type(owner) is list or type(owner) is tuple:
            return _of_each(owner, self.name)
        return getattr(owner, self.name, ABSENT)

    def absence(self, arguments: Arguments, keywords: Keywords, bound: int) -> str:
        """Say that the owner lacks it, or what it holds."""
        owner, own = self.argument.read(arguments, keywords, bound), self.argument.name
        if owner is ABSENT:
            return f"{self.name!r} is a column of {own!r}, which the call does not have"
        held = self.read(arguments, keywords, bound)
        if held is not ABSENT:
            return f"{self.name!r} of {own!r} holds a {type_name(type(held))}"
        if is_table(owner):
            return f"{own!r} has no column {self.name!r}"
        one, held_as = _first_of(owner), type_name(type(owner))
        if one is not owner:
            held_as += f" of {type_name(type(one))}"
        return f"{own!r} is a {held_as} without {self.name!r}"

    def beside(self, arguments: Arguments, keywords: Keywords, bound: int) -> str:
        """List the columns of a table, or the fields of an object, that lacks it."""
        owner = self.argument.read(arguments, keywords, bound)
        if is_table(owner):
            return f"{self.argument.name!r} has {_columns_of(owner)}"
        kind = type(_first_of(owner))
        known = fields_of(kind)
        return "" if known is None else f"{type_name(kind)} has {listed(known)}"


def _first_of(owner: object) -> object:
    return owner[0] if type(owner) in (list, tuple) and owner else owner  # type: ignore[index]


def _of_each(owners: Sequence[object], name: str) -> object:
    """The field of each element, None where one lacks it; `ABSENT` where all do."""
    if owners and (isinstance(owners[0], _FIELDLESS) or type(owners[0]) is tuple):
        return ABSENT
    found = [
        one.get(name, ABSENT) if isinstance(one, Mapping) else getattr(one, name, ABSENT)
        for one in owners
    ]
    if owners and all(value is ABSENT for value in found):
        return ABSENT
    return [None if value is ABSENT else value for value in found]


class PlacedColumn(Column):
    """A column of a data frame, or of an array by its place."""

    __slots__ = ("place",)

    def __init__(self, argument: Argument, name: str, place: int) -> None:
        super().__init__(argument, name)
        self.place = place

    def read(self, arguments: Arguments, keywords: Keywords, bound: int) -> object:
        """Read the column, of an array as an array."""
        owner = self.argument.read(arguments, keywords, bound)
        if type(owner) is np.ndarray and owner.ndim == 2 and self.place < owner.shape[1]:
            return owner[:, self.place]
        return super().read(arguments, keywords, bound)


class KeywordOrColumn:
    """A keyword that `**kwargs` takes, and where the call gives none, a column."""

    __slots__ = ("column", "keyword")

    def __init__(self, keyword: Argument, column: Column) -> None:
        self.keyword = keyword
        self.column = column

    @property
    def names(self) -> tuple[str, ...]:
        """Both are called the same."""
        return self.column.names

    def read(self, arguments: Arguments, keywords: Keywords, bound: int) -> object:
        """Read the keyword, else the column."""
        given = self.keyword.read(arguments, keywords, bound)
        return self.column.read(arguments, keywords, bound) if given is ABSENT else given

    def absence(self, arguments: Arguments, keywords: Keywords, bound: int) -> str:
        """Say it of the one that counts."""
        given = self.keyword.read(arguments, keywords, bound) is not ABSENT
        return (self.keyword if given else self.column).absence(arguments, keywords, bound)

    def beside(self, arguments: Arguments, keywords: Keywords, bound: int) -> str:
        """List the columns."""
        return self.column.beside(arguments, keywords, bound)


class Computed:
    """What a callable makes of the call's arguments."""

    __slots__ = ("function",)

    def __init__(self, function: Callable[..., object]) -> None:
        self.function = function

    @property
    def names(self) -> tuple[str, ...]:
        """None is known."""
        return ()

    def read(self, arguments: Arguments, keywords: Keywords, bound: int) -> object:
        """Call it; what it raises passes through."""
        return self.function(*arguments, **keywords)

    def absence(self, arguments: Arguments, keywords: Keywords, bound: int) -> str:
        """Say that the callable's answer is of no use."""
        return "the callable returned nothing usable"

    def beside(self, arguments: Arguments, keywords: Keywords, bound: int) -> str:
        """Nothing: `absence` says all."""
        return ""


class Parameters:
    """The parameters of a function, as far as it lets itself be asked.

    Args:
        function: any callable, also a `classmethod` or `staticmethod` object.
        columns: given, the first parameter is a table of rows, as in a model's methods: a data
            frame, or an array whose columns have these names as far as they are known.
    """

    def __init__(self, function: object, *, columns: tuple[str, ...] | None = None) -> None:
        self._columns = columns
        self._label = getattr(function, "__qualname__", type(function).__qualname__)
        self.binds = inspect.isfunction(function) or isinstance(function, classmethod)
        """Whether the signature still holds `self` or `cls`."""
        raw = function.__func__ if isinstance(function, (classmethod, staticmethod)) else function
        self._function: Any = raw
        try:
            signature = inspect.signature(raw)  # type: ignore[arg-type]  # wrapt only wraps callables
        except (TypeError, ValueError):
            self._known: dict[str, inspect.Parameter] | None = None
            return
        self._known = dict(signature.parameters)

    @property
    def _takes_any_keyword(self) -> bool:
        return any(p.kind is p.VAR_KEYWORD for p in (self._known or {}).values())

    def source(self, what: str, name: SourceName) -> Source:
        """Find where a declared value stands.

        A plain name is a parameter; `frame.column` is a column (or key, or attribute) of one. A
        plain name that is no parameter is a column where one parameter is evidently a table: by
        its annotation (DataFrame, Table, Mapping, dict), or without one by its usual name (df, X
        …). With a `**kwargs`, a name that is no parameter is looked for among the call's keywords
        first; without an evident table it must not look like a misspelt parameter.

        Args:
            what: the option that named it, for the error.
            name: the name or callable.

        Raises:
            ValueError: the signature has no such name, or the class of an argument no such field.
        """
        if callable(name):
            return Computed(name)
        if not isinstance(name, str) or not name:
            raise ValueError(
                f"{what}={name!r}: must be the name of an argument or column, or a callable"
            )
        owner, dot, column = name.partition(".")
        if (argument := self._argument(owner)) is not None:
            if not dot:
                return argument
            if (said := missing_field(self._function, owner, column)) is not None:
                raise ValueError(
                    f"{what}={name!r}: {said} Or give a callable, {what}=lambda *args, **kwargs: …"
                )
            return Column(argument, column)
        if not dot and (argument := self._table()) is not None:
            found = self._column(argument, name)
            return (
                KeywordOrColumn(Argument(name, None), found) if self._takes_any_keyword else found
            )
        if self._takes_any_keyword and not self._close_to(owner, _NEARLY):
            keyword = Argument(owner, None)
            return Column(keyword, column) if dot else keyword
        raise ValueError(self._unknown(what, name))

    def first(self) -> str | None:
        """The name of the first parameter that is neither `self` nor `cls`."""
        names = [name for name in self._known or () if name not in ("self", "cls")]
        return names[0] if names else None

    def names(self) -> tuple[str, ...]:
        """Names of the positional parameters, `self` included."""
        kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        return tuple(n for n, parameter in (self._known or {}).items() if parameter.kind in kinds)

    def _argument(self, name: str) -> Argument | None:
        for position, (known, parameter) in enumerate((self._known or {}).items()):
            if known != name or parameter.kind in COLLECTING:
                continue
            default = ABSENT if parameter.default is parameter.empty else parameter.default
            named_only = parameter.kind is parameter.KEYWORD_ONLY
            return Argument(name, None if named_only else position, default)
        return None

    def _table(self) -> Argument | None:
        if self._columns is not None and (first := self.first()) is not None:
            return self._argument(first)
        tables = [n for n, p in (self._known or {}).items() if may_be_table(n, p)]
        return self._argument(tables[0]) if len(tables) == 1 else None

    def _column(self, table: Argument, name: str) -> Column:
        if self._columns is None or name not in self._columns:
            return Column(table, name)
        return PlacedColumn(table, name, self._columns.index(name))

    def _unknown(self, what: str, name: str) -> str:
        if self._known is None:
            return (
                f"{what}={name!r}: the signature of {self._label} cannot be read; give a callable "
                f"instead, {what}=lambda *args, **kwargs: …"
            )
        names = [n for n in self._known if n not in ("self", "cls")]
        owner, _, column = name.rpartition(".")
        close = self._close_to(owner or name, 0.6)
        known = [(n, p) for n, p in self._known.items() if n in names]
        owners = [n for n, p in known if may_have_members(self._function, n, p)]
        said = f"{what}={name!r}: {self._label}({', '.join(names)}) has no such argument"
        said += f"; did you mean {close!r}?" if close else "."
        if owners:
            said += f" A column of an argument is written {f'{owners[0]}.{column}'!r}."
        return (
            f"{said} {'Or give' if owners else 'Give'} a callable, {what}=lambda *args, **kwargs: …"
        )

    def _close_to(self, name: str, likeness: float) -> str | None:
        """The parameter that `name` may be a misspelling of."""
        named = [n for n, p in (self._known or {}).items() if p.kind not in COLLECTING]
        import difflib  # only for what is misspelt

        close = difflib.get_close_matches(name, named, 1, likeness)
        return close[0] if close else None


def _columns_of(table: Any) -> str:
    columns = foreign.column_names(table)[: LISTED_MAX + 1]
    names = [text(name, 64) if type(name) is str else type_name(type(name)) for name in columns]
    return text(listed(names), TEXT_LENGTH_MAX)

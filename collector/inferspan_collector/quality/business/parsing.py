"""Text → expression, by recursive descent; what is no part of the language is refused."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from inferspan_collector.quality.business.expressions import (
    NUMBERS,
    SLICE,
    TEXTS,
    Aggregate,
    Both,
    Column,
    Compared,
    Computed,
    Condition,
    Expression,
    Figured,
    Not,
    Number,
    Same,
    Term,
    Value,
)

LENGTH_MAX: Final = 2_000
DEPTH_MAX: Final = 50
_TOKEN: Final = re.compile(
    r"\s*(?:(?P<number>\d+(?:\.\d*)?(?:[eE][+-]?\d+)?|\.\d+)"
    r"|(?P<text>'(?:[^']|'')*')"
    r'|(?P<quoted>"[^"]+")'
    r"|(?P<name>[A-Za-z_][\w.]*)"
    r"|(?P<sign><=|>=|!=|<>|==|[-+*/(),<>=]))"
)
_WORDS: Final = ("where", "and", "or", "not", "in")
_AGGREGATES: Final = ("sum", "mean", "count")
_FUNCTIONS: Final[Mapping[str, tuple[Callable[..., Any], int]]] = {
    "abs": (np.abs, 1),
    "min": (np.minimum, 2),
    "max": (np.maximum, 2),
}
_SUMS: Final[Mapping[str, Callable[..., Any]]] = {"+": np.add, "-": np.subtract}
_PRODUCTS: Final[Mapping[str, Callable[..., Any]]] = {"*": np.multiply, "/": np.divide}
_COMPARISONS: Final[Mapping[str, Callable[..., Any]]] = {
    "=": np.equal,
    "==": np.equal,
    "!=": np.not_equal,
    "<>": np.not_equal,
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
}


class BadExpression(ValueError):
    """The text is no expression; the message says where, and what is allowed there."""


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    at: int


def parsed(text: str) -> Expression:
    """Read an expression.

    Raises:
        BadExpression: it is none.
    """
    if len(text) > LENGTH_MAX:
        raise BadExpression(f"{len(text)} characters; at most {LENGTH_MAX} are allowed")
    reader = _Reader(text)
    term = reader.figure(0)
    reader.end()
    aggregates = tuple(dict.fromkeys(reader.aggregates))
    if not aggregates:
        raise BadExpression(f"{text!r} aggregates nothing: use {', '.join(_AGGREGATES)}")
    return Expression(text, aggregates, term)


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = _tokens(text)
        self._next = 0
        self.aggregates: list[Aggregate] = []

    def end(self) -> None:
        if self._peek().kind != "end":
            raise self._unexpected("the end, or an operator")

    def figure(self, depth: int) -> Term:
        """A sum of products of aggregates and numbers."""
        self._not_too_deep(depth)
        term = self._product(depth)
        while self._peek().text in _SUMS:
            how = _SUMS[self._take().text]
            term = Figured(how, (term, self._product(depth)))
        return term

    def _product(self, depth: int) -> Term:
        term = self._term(depth)
        while self._peek().text in _PRODUCTS:
            how = _PRODUCTS[self._take().text]
            term = Figured(how, (term, self._term(depth)))
        return term

    def _term(self, depth: int) -> Term:
        token = self._peek()
        if token.text == "-":
            self._take()
            return Figured(np.negative, (self._term(depth + 1),))
        if token.kind == "number":
            return Number(float(self._take().text))
        if token.text == "(":
            self._take()
            term = self.figure(depth + 1)
            self._expect(")")
            return term
        if token.kind == "name" and token.text in _AGGREGATES:
            return self._aggregate(depth)
        raise self._unexpected(f"a number, or one of {', '.join(_AGGREGATES)}")

    def _aggregate(self, depth: int) -> Aggregate:
        how = self._take().text
        self._expect("(")
        value = None
        if self._peek().text != ")":
            if how == "count":
                raise self._unexpected(") — count() takes nothing; say which rows with where")
            value = self._value(depth)
        elif how != "count":
            raise self._unexpected(f"what to {how}")
        self._expect(")")
        where = None
        if self._peek().text == "where":
            self._take()
            where = self._any(depth)
        found = Aggregate(how, value, where)
        self.aggregates.append(found)
        return found

    def _value(self, depth: int) -> Value:
        self._not_too_deep(depth)
        value = self._factor(depth)
        while self._peek().text in _SUMS:
            how = _SUMS[self._take().text]
            value = Computed(how, (value, self._factor(depth)))
        return value

    def _factor(self, depth: int) -> Value:
        value = self._single(depth)
        while self._peek().text in _PRODUCTS:
            how = _PRODUCTS[self._take().text]
            value = Computed(how, (value, self._single(depth)))
        return value

    def _single(self, depth: int) -> Value:
        self._not_too_deep(depth)
        token = self._peek()
        if token.text == "-" and token.kind == "sign":
            self._take()
            return Computed(np.negative, (self._single(depth + 1),))
        if token.kind == "number":
            return Number(float(self._take().text))
        if token.text == "(" and token.kind == "sign":
            self._take()
            value = self._value(depth + 1)
            self._expect(")")
            return value
        if token.kind == "name" and token.text in _FUNCTIONS and self._peek(1).text == "(":
            return self._function(depth)
        column = self._column()
        if column.name in TEXTS or column.name.startswith(SLICE):
            raise BadExpression(
                f"{column.name} is a text, at {token.at}: it cannot be computed with"
            )
        return column

    def _function(self, depth: int) -> Value:
        name = self._take().text
        how, takes = _FUNCTIONS[name]
        self._expect("(")
        values = [self._value(depth + 1)]
        while self._peek().text == ",":
            self._take()
            values.append(self._value(depth + 1))
        self._expect(")")
        if len(values) != takes:
            raise BadExpression(f"{name} takes {takes} numbers, not {len(values)}")
        return Computed(how, tuple(values))

    def _column(self) -> Column:
        token = self._peek()
        if token.kind == "quoted":
            return Column(self._take().text[1:-1])
        if token.kind != "name" or token.text in _WORDS or token.text in _AGGREGATES:
            raise self._unexpected("a column")
        return Column(self._take().text)

    def _any(self, depth: int) -> Condition:
        self._not_too_deep(depth)
        condition = self._all(depth)
        while self._peek().text == "or":
            self._take()
            condition = Both(False, condition, self._all(depth))
        return condition

    def _all(self, depth: int) -> Condition:
        condition = self._one(depth)
        while self._peek().text == "and":
            self._take()
            condition = Both(True, condition, self._one(depth))
        return condition

    def _one(self, depth: int) -> Condition:
        self._not_too_deep(depth)
        if self._peek().text == "not":
            self._take()
            return Not(self._one(depth + 1))
        if self._peek().text == "(":
            # A condition in parentheses, or a number in them that is compared.
            here, found = self._next, len(self.aggregates)
            try:
                self._take()
                condition = self._any(depth + 1)
                self._expect(")")
                return condition
            except BadExpression:
                self._next = here
                del self.aggregates[found:]
        return self._comparison(depth)

    def _comparison(self, depth: int) -> Condition:
        if self._peek().kind in ("name", "quoted") and self._compares_texts():
            return self._of_texts()
        left = self._value(depth)
        token = self._peek()
        if token.text not in _COMPARISONS:
            raise self._unexpected("a comparison: = != < <= > >=")
        how = _COMPARISONS[self._take().text]
        return Compared(how, left, self._value(depth))

    def _compares_texts(self) -> bool:
        """Whether a column's text is compared: with a text, a list of them, or another's text."""
        sign, other = self._peek(1), self._peek(2)
        if sign.text in ("in", "not"):
            return True
        equality = sign.text in ("=", "==", "!=", "<>")
        return equality and (
            other.kind == "text" or (other.text in TEXTS or self._peek().text in TEXTS)
        )

    def _of_texts(self) -> Condition:
        column = self._column()
        if column.name in NUMBERS:
            raise BadExpression(f"{column.name} is a number: compare it with one")
        sign = self._take()
        negated = sign.text in ("!=", "<>", "not")
        if sign.text == "not":
            self._expect("in")
        if sign.text not in ("in", "not"):
            if self._peek().kind != "text":
                return Same(column, self._column(), negated)
            return Same(column, frozenset([self._string()]), negated)
        self._expect("(")
        texts = [self._string()]
        while self._peek().text == ",":
            self._take()
            texts.append(self._string())
        self._expect(")")
        return Same(column, frozenset(texts), negated)

    def _string(self) -> str:
        if self._peek().kind != "text":
            raise self._unexpected("a text in 'single quotes'")
        return self._take().text[1:-1].replace("''", "'")

    def _expect(self, text: str) -> None:
        if self._peek().text != text:
            raise self._unexpected(text)
        self._take()

    def _peek(self, ahead: int = 0) -> _Token:
        return self._tokens[min(self._next + ahead, len(self._tokens) - 1)]

    def _take(self) -> _Token:
        token = self._peek()
        self._next += 1
        return token

    def _not_too_deep(self, depth: int) -> None:
        if depth > DEPTH_MAX:
            raise BadExpression(f"nested deeper than {DEPTH_MAX}")

    def _unexpected(self, wanted: str) -> BadExpression:
        token = self._peek()
        found = "it ends" if token.kind == "end" else f"{token.text!r} stands there"
        return BadExpression(f"{self._text!r}, at {token.at}: {wanted} is expected, {found}")


def _tokens(text: str) -> list[_Token]:
    tokens = []
    place = 0
    while place < len(text.rstrip()):
        match = _TOKEN.match(text, place)
        if match is None:
            raise BadExpression(
                f"{text!r}, at {place}: {text[place:].strip()[:1]!r} is no part of it"
            )
        kind = match.lastgroup or ""
        tokens.append(_Token(kind, match.group(kind), match.start(kind)))
        place = match.end()
    return [*tokens, _Token("end", "", len(text))]

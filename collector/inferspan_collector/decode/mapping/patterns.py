"""Texts with `*` for any characters, matched in one pass: no text makes it slow."""

from __future__ import annotations

from collections.abc import Iterable


class Patterns:
    """Patterns of which one has to fit the whole text."""

    __slots__ = ("_parts", "_plain", "texts")

    def __init__(self, texts: Iterable[str]) -> None:
        self.texts = tuple(texts)
        self._plain = frozenset(text for text in self.texts if "*" not in text)
        self._parts = [text.split("*") for text in self.texts if "*" in text]

    @property
    def any(self) -> bool:
        """Whether every text fits."""
        return "*" in self.texts

    def fit(self, text: str) -> bool:
        """Whether one of them fits."""
        return text in self._plain or any(_fits(parts, text) for parts in self._parts)


def _fits(parts: list[str], text: str) -> bool:
    first, *between, last = parts
    if len(text) < len(first) + len(last) or not text.startswith(first):
        return False
    if not text.endswith(last):
        return False
    at, end = len(first), len(text) - len(last)
    for part in between:
        # The leftmost place leaves the most room for what follows.
        at = text.find(part, at, end)
        if at < 0:
            return False
        at += len(part)
    return True

"""Encoders of sentence-transformers, with tiny random weights."""

from __future__ import annotations

import atexit
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sentence_transformers import CrossEncoder, SentenceTransformer

try:
    from sentence_transformers.base.modules import Transformer
    from sentence_transformers.sentence_transformer.modules import Pooling
except ImportError:  # before 6
    from sentence_transformers.models import Pooling, Transformer

from .subjects import Subject
from .tiny_transformers import classifier, encoder, tokenizer

TEXTS = ["the film was good", "the film was bad", "a king"]
PAIRS = [["a film", text] for text in TEXTS]
_SAVED = tempfile.TemporaryDirectory()
atexit.register(_SAVED.cleanup)


def saved(name: str, model: Any) -> str:
    """Where a model lies with its tokenizer."""
    path = Path(_SAVED.name) / name
    if not path.exists():
        model.save_pretrained(path)
        tokenizer().save_pretrained(path)
    return str(path)


def sentences() -> Any:
    """A model that makes a vector of a text."""
    within = Transformer(saved("tiny-encoder", encoder()))
    return SentenceTransformer(modules=[within, Pooling(16)], device="cpu")


def pairs(name: str, labels: list[str]) -> Any:
    """A model that scores pairs of texts."""
    path = saved(name, classifier(labels))
    return CrossEncoder(path, num_labels=len(labels), device="cpu")


def _subject(
    name: str, make: Callable[[], Any], methods: tuple[str, ...], given: Any, *, task: bool = True
) -> Subject:
    return Subject(name, make(), methods, given, [1.5], lambda _: make(), task=task)


SUBJECTS = [
    _subject("sentences", sentences, ("encode", "encode_query"), TEXTS),
    _subject(
        "relevance", lambda: pairs("tiny-ranker", ["LABEL_0"]), ("predict",), PAIRS, task=False
    ),
    _subject(
        "entailment", lambda: pairs("tiny-judge", ["no", "maybe", "yes"]), ("predict",), PAIRS
    ),
]

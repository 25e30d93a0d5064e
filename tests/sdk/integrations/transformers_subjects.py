"""Pipelines and models of transformers, with tiny random weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from transformers import pipeline

from .subjects import Subject
from .tiny_transformers import classifier, encoder, tagger, teller, tokenizer

TEXTS = ["the film was good", "the film was bad", "a king"]
IDS = torch.arange(5, 19).reshape(2, 7)
FLOATS = torch.zeros(2, 3)
FEW = {"do_sample": False, "max_new_tokens": 5}


def piped(task: str, make: Callable[[], Any], **options: Any) -> Any:
    """A pipeline around a model."""
    return pipeline(task, model=make(), tokenizer=tokenizer(), device="cpu", **options)


def _pipeline(
    name: str, task: str, make: Callable[[], Any], operation: str | None = None, **options: Any
) -> Subject:
    def again(_: Any = None) -> Any:
        return piped(task, make, **options)

    return Subject(name, again(), ("__call__",), TEXTS, [1.5], again, operation=operation)


def _model(
    name: str, method: str, make: Callable[[], Any], operation: str | None = None
) -> Subject:
    def learn(_: Any = None) -> Any:
        model = make().train()
        model(IDS)
        return model.eval()

    frozen = make().requires_grad_(False)
    return Subject(name, frozen, (method,), IDS, FLOATS, learn, operation=operation)


SUBJECTS = [
    _pipeline("sentiment", "text-classification", lambda: classifier(["negative", "positive"])),
    _pipeline("topics", "text-classification", lambda: classifier(["war", "love", "law"])),
    _pipeline("words", "token-classification", lambda: tagger(["O", "PER"]), "detect"),
    _pipeline("states", "feature-extraction", encoder, "embed"),
    _pipeline("story", "text-generation", teller, "generate", **FEW),
    _model("classifier", "__call__", lambda: classifier(["war", "love", "law"])),
    _model("encoder", "__call__", encoder, "embed"),
    _model("teller", "generate", teller),
]

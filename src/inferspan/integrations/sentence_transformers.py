"""sentence-transformers: embeddings, and scores of pairs of texts.

What is patched: `encode`, `encode_query` and `encode_document` of `SentenceTransformer`,
`SparseEncoder` and, where there is one, `MultiVectorEncoder`, `predict` and `rank` of
`CrossEncoder`, and of what derives from them.

What appears: a call is one prediction, named after what was loaded, else the class of the model;
what it calls itself is part of it. An embedding is no answer that a label could be held against:
its span says what was asked, and how long it took. A score of a pair is its value; where a
cross-encoder has several labels, the answer is the likeliest, with probabilities where softmax was
asked for. A ranking is the documents' places in what was given, in the order of their scores. What
runs in processes of a pool is not seen but for the call that waits for it.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any, Final

import numpy as np

from inferspan import semconv
from inferspan.arguments import Arguments, Keywords
from inferspan.integration import Description, Integration, Reading, Supported
from inferspan.integrations.torch import COMPOSED as OF_TORCH
from inferspan.integrations.transformers import name_of
from inferspan.output_columns import array_of

SUPPORTED: Final = Supported("sentence-transformers", "5", "7")
METHODS: Final = {
    "encode": "embed",
    "encode_query": "embed",
    "encode_document": "embed",
    "predict": "predict",
    "rank": "rank",
}
_ENCODERS: Final = ("SentenceTransformer", "SparseEncoder", "MultiVectorEncoder")
_OF_PAIRS: Final = "CrossEncoder"


def describe(model: Any) -> Description:
    """What a model knows of itself: what it was loaded from, and of pairs, its labels."""
    within = getattr(model, "transformers_model", None) or getattr(model, "model", None)
    config = getattr(within, "config", None)
    of_pairs = any(kind.__name__ == _OF_PAIRS for kind in type(model).__mro__)
    classes = _labels(model, config) if of_pairs else ()
    task = None if of_pairs else semconv.EMBEDDING
    if classes:
        task = semconv.BINARY if len(classes) == 2 else semconv.MULTICLASS
    return Description(
        name=name_of(config) or type(model).__name__,
        version=getattr(config, "_commit_hash", None),
        framework="sentence_transformers",
        task=task,
        classes=classes,
    )


def read(description: Description, method: str) -> Reading | None:
    """How answers are read: by the method, and the labels that a cross-encoder has."""
    if method == "rank":
        return Reading(output=_ranking, task=semconv.RANKING)
    if method == "predict":
        return Reading(answer=partial(_scores, description.classes))
    return Reading()


def _labels(model: Any, config: Any) -> tuple[str, ...]:
    """The classes of a cross-encoder of several labels."""
    names = [str(name) for _, name in sorted(dict(getattr(config, "id2label", {})).items())]
    return tuple(names) if 1 < len(names) == model.num_labels else ()


def _ranking(answer: Any) -> list[tuple[int, float]]:
    return [(one["corpus_id"], float(one["score"])) for one in answer]


def _scores(
    classes: tuple[object, ...], arguments: Arguments, keywords: Keywords, answer: Any
) -> object:
    if not classes:
        return answer
    # A list of tensors, where neither an array nor one tensor was asked for.
    rows = [array_of(one) for one in answer] if type(answer) is list else array_of(answer)
    found = np.atleast_2d(rows)
    if keywords.get("apply_softmax"):
        return {"probabilities": found}
    # Logits, or each label by itself: the greatest is the library's own answer.
    return [classes[at] for at in found.argmax(axis=1)]


def _classes() -> tuple[type, ...]:
    import sentence_transformers

    found = (getattr(sentence_transformers, name, None) for name in (*_ENCODERS, _OF_PAIRS))
    return tuple(kind for kind in found if kind is not None)


def _never_learns(model: Any) -> bool:
    # Whatever is asked here takes its model out of training itself.
    return False


INTEGRATION: Final = Integration(
    library="sentence_transformers",
    supported=SUPPORTED,
    classes=_classes,
    methods=METHODS,
    internal=frozenset(("sentence_transformers", "transformers", "torch", "accelerate")),
    composed=replace(OF_TORCH, learns=_never_learns),
    describe=describe,
    read=read,
)

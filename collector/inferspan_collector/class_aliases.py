"""Other spellings of a class → the class, as configured, before anything is stored.

What a model answers, its positive class and its labels all pass here, so that every place which
compares or shows classes sees one spelling. A label that names its prediction by a link alone
says no model, and keeps its own spelling.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

import numpy as np

from inferspan_collector.batches import Bool, LabelBatch, PredictionBatch, Strings, Texts
from inferspan_collector.config import Config
from inferspan_collector.several_classes import class_set_text, ranking_text, rankings

Aliases = Mapping[str, Mapping[str, str]]
"""Model → other spelling → class."""


def configured(config: Config) -> Aliases:
    """The aliases of every model that has some."""
    return {
        name: model.class_aliases for name, model in config.models.items() if model.class_aliases
    }


def of_predictions(batch: PredictionBatch, aliases: Aliases) -> PredictionBatch:
    """Spell what was predicted, and the positive class, as configured."""
    if not aliases:
        return batch
    return replace(
        batch,
        predicted=_respelled(
            batch.model, batch.predicted, aliases, rankings(batch.task, batch.operation)
        ),
        positive_class=_respelled(batch.model, batch.positive_class, aliases),
    )


def of_labels(batch: LabelBatch, aliases: Aliases) -> LabelBatch:
    """Spell what turned out to be true as configured."""
    if not aliases:
        return batch
    items = batch.item_id
    if items.lengths().any():
        texts = Strings.of(items.objects())
        items = Texts.of(_respelled(batch.model, texts, aliases).objects())
    return replace(batch, actual=_respelled(batch.model, batch.actual, aliases), item_id=items)


def _respelled(
    models: Strings, classes: Strings, aliases: Aliases, rankings: Bool | None = None
) -> Strings:
    ordered = np.zeros(len(models), np.bool_) if rankings is None else rankings
    pairs, inverse = np.unique(
        np.stack([models.codes, classes.codes, ordered], axis=1), axis=0, return_inverse=True
    )
    texts = [
        None
        if text < 0
        else _class(
            classes.values[text],
            aliases.get(models.values[model], {}) if model >= 0 else {},
            ranking_text if ranking else class_set_text,
        )
        for model, text, ranking in pairs.tolist()
    ]
    distinct = Strings.of(texts)
    return distinct.take(inverse.reshape(-1))


def _class(text: str, spellings: Mapping[str, str], as_text: Callable[[Iterable[str]], str]) -> str:
    if not spellings or not text.startswith("["):
        return spellings.get(text, text)
    # A set or a ranking is a JSON array.
    try:
        members = json.loads(text)
    except ValueError:
        return spellings.get(text, text)
    return as_text(spellings.get(str(member), str(member)) for member in members)

"""Transformers: pipelines, `generate`, and models that are called themselves. PyTorch's only.

What is patched: `__call__` of `transformers.Pipeline`, `generate` and `__call__` of
`transformers.PreTrainedModel`, and of what derives from either; that of a model is
`torch.nn.Module`'s.

What appears: a call is one prediction, named after what was loaded (`name_or_path`), else the class
of the model; the version is the commit that a hub's snapshot is of. What it calls itself is part of
it. Task and classes are the configuration's. Classes come with their probabilities, as far as the
call asked for them; of several labels at once those above one half. Of what is generated, embedded
or found in a text or picture, how long it took; to a `streamer`, when the first token came, and the
intervals after it. Answers that only run as they are read, of generators and data sets, are no
predictions, nor is a model in training. What `trl` generates is learnt from.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import GeneratorType
from typing import Any, Final

from inferspan import semconv
from inferspan.arguments import Arguments, Keywords, first_given
from inferspan.attributes import NAME_LENGTH_MAX, text
from inferspan.integration import Description, Integration, Reading, Supported
from inferspan.integrations.torch import COMPOSED as OF_TORCH
from inferspan.labelled_scores import Labels, candidate_answer, logits_answer, scored_answer

SUPPORTED: Final = Supported("transformers", "4.50", "6")
METHODS: Final = {"__call__": "predict", "generate": "generate"}
MODULES: Final = ("transformers.pipelines.base", "transformers.modeling_utils")
"""Where the classes are; who imports the library for its tokenizers alone waits for neither."""
_SCORED: Final = frozenset(
    f"{of}ClassificationPipeline" for of in ("Audio", "Image", "Text", "Video")
)
"""Pipelines that answer classes of the model's own, with their scores."""
_CANDIDATES: Final = frozenset(
    f"ZeroShot{of}ClassificationPipeline" for of in ("", "Audio", "Image")
)
"""Pipelines that answer classes that the call gave them."""
_GENERATE, _EMBED, _DETECT, _OTHER = "generate", "embed", "detect", "transform"
_OPERATIONS: Final = {
    "AnyToAnyPipeline": _GENERATE,
    "AutomaticSpeechRecognitionPipeline": _GENERATE,
    "FeatureExtractionPipeline": _EMBED,
    "ImageFeatureExtractionPipeline": _EMBED,
    "ImageSegmentationPipeline": _DETECT,
    "ImageTextToTextPipeline": _GENERATE,
    "ImageToTextPipeline": _GENERATE,
    "ObjectDetectionPipeline": _DETECT,
    "Text2TextGenerationPipeline": _GENERATE,
    "TextGenerationPipeline": _GENERATE,
    "TextToAudioPipeline": _GENERATE,
    "TokenClassificationPipeline": _DETECT,
    "ZeroShotObjectDetectionPipeline": _DETECT,
}
"""What further pipelines do, and what derives from them."""
_TASKS: Final = {
    _GENERATE: semconv.GENERATION,
    _EMBED: semconv.EMBEDDING,
    _DETECT: semconv.DETECTION,
}
_HEADS: Final = tuple(f"For{of}Classification" for of in ("Audio", "Image", "Sequence", "Video"))
"""How classes of models end whose logits are one per class."""
_STREAMER: Final = "streamer"
_FOUND: Final = ("ForTokenClassification", "ForObjectDetection")


@dataclass(frozen=True, slots=True, kw_only=True)
class TransformersDescription(Description):
    """A model, or a pipeline around one."""

    pipeline: str | None = None
    """Which one it is: the first of its classes that we know; the empty text of one that we do not;
    None of a model."""
    labels: Labels | None = None
    """Its labels, where it answers a score or a logit for each of them."""
    operation: str = _OTHER
    """What a call does, where it answers none."""


def describe(model: Any) -> TransformersDescription:
    """What a model's configuration says, and of a pipeline, what it is made for."""
    kinds = [kind.__name__ for kind in type(model).__mro__]
    is_pipeline = "Pipeline" in kinds
    pipeline = next((kind for kind in kinds if _is_known(kind)), "") if is_pipeline else None
    within = model.model if is_pipeline else model
    config = within.config
    labels, operation, task = None, _OTHER, None
    if pipeline in _SCORED or (pipeline is None and any(kind.endswith(_HEADS) for kind in kinds)):
        told = getattr(model, "_postprocess_params", {}) if is_pipeline else {}
        labels = Labels.of(config, told.get("function_to_apply"))
        task = labels.task
    elif pipeline in _CANDIDATES:
        task = semconv.MULTICLASS
    else:
        operation = _operation(kinds) if pipeline is None else _OPERATIONS.get(pipeline, _OTHER)
        task = _TASKS.get(operation)
    return TransformersDescription(
        name=name_of(config) or type(within).__name__,
        version=getattr(config, "_commit_hash", None),
        framework="transformers",
        task=task,
        classes=labels.classes if labels else (),
        pipeline=pipeline,
        labels=labels,
        operation=operation,
    )


def read(description: Description, method: str) -> Reading | None:
    """How answers are read: by what a pipeline is made for, or what a model's head is."""
    if not isinstance(description, TransformersDescription):
        return Reading()
    pipeline, labels, operation = description.pipeline, description.labels, description.operation
    if method == "generate":
        return Reading(streamer=_STREAMER, task=semconv.GENERATION)
    postponed = None if pipeline is None else _postponed
    if labels is not None:
        answer = logits_answer if pipeline is None else scored_answer
        return Reading(answer=partial(answer, labels), postponed=postponed)
    if pipeline in _CANDIDATES:
        return Reading(answer=candidate_answer, postponed=postponed)
    streamer = _STREAMER if operation == _GENERATE else None
    return Reading(operation=operation, streamer=streamer, postponed=postponed)


def _is_known(kind: str) -> bool:
    return kind in _SCORED or kind in _CANDIDATES or kind in _OPERATIONS


def _operation(kinds: list[str]) -> str:
    """What a model does that is called itself."""
    if any(kind.endswith(_FOUND) for kind in kinds):
        return _DETECT
    # Without a head it answers states of each token, or of the text.
    return _OTHER if "For" in kinds[0] or "Head" in kinds[0] else _EMBED


def name_of(config: Any) -> str:
    """What was loaded: its name at a hub, or of the directory."""
    told = str(getattr(config, "name_or_path", "") or "")
    if told and Path(told).is_dir():
        told = Path(told).resolve().name
    return text(told, NAME_LENGTH_MAX)


def _postponed(arguments: Arguments, keywords: Keywords) -> bool:
    given = first_given(arguments, keywords)
    data: Any = sys.modules.get("torch.utils.data")
    return isinstance(given, GeneratorType) or (
        data is not None and isinstance(given, data.Dataset)
    )


def _learns(model: Any) -> bool:
    return hasattr(model, "training") and OF_TORCH.learns(model)  # a pipeline has none


def _classes() -> tuple[type, ...]:
    places = (
        ("transformers.pipelines.base", "Pipeline"),
        ("transformers.modeling_utils", "PreTrainedModel"),
    )
    found = (getattr(sys.modules.get(module), name, None) for module, name in places)
    return tuple(kind for kind in found if kind is not None)


INTEGRATION: Final = Integration(
    library="transformers",
    supported=SUPPORTED,
    classes=_classes,
    modules=MODULES,
    methods=METHODS,
    internal=frozenset(
        (
            "accelerate",
            "sentence_transformers",
            "torch",
            "transformers",
            "transformers_modules",
            "trl",
        )
    ),
    composed=replace(OF_TORCH, learns=_learns),
    describe=describe,
    read=read,
)

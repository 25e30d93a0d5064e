"""Pipelines and models of transformers: what they say is what their spans say."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import pipeline

import inferspan
from inferspan import semconv
from inferspan.testing import CapturedSpans
from sdk.integrations.tiny_transformers import classifier, encoder, tagger, teller, tokenizer

pytestmark = pytest.mark.usefixtures("uninstrumented")
TEXTS = ["the film was good", "the film was bad", "a king"]
MOODS = ["negative", "positive"]
TOPICS = ["war", "love", "law"]
IDS = torch.arange(5, 19).reshape(2, 7)


def piped(task: str, model: Any, **options: Any) -> Any:
    return pipeline(task, model=model, tokenizer=tokenizer(), device="cpu", **options)


def found(spans: CapturedSpans) -> dict[str, Any]:
    return dict(spans.prediction().attributes or {})


def probabilities(pipe: Any, texts: list[str], classes: list[str]) -> Any:
    """The library's own, in the order of the classes."""
    rows = pipe(texts, top_k=None)
    return np.array([[{r["label"]: r["score"] for r in row}[c] for c in classes] for row in rows])


@pytest.mark.parametrize("options", [{}, {"top_k": 1}, {"top_k": None}])
def test_two_classes_have_the_positive_ones_probability(
    options: dict[str, Any], spans: CapturedSpans
) -> None:
    pipe = piped("text-classification", classifier(MOODS))
    expected = probabilities(pipe, TEXTS, MOODS)
    labels = tuple(MOODS[at] for at in expected.argmax(axis=1))
    inferspan.instrument("transformers", positive="positive")
    pipe(TEXTS, **options)
    said = found(spans)
    assert said[semconv.TASK_TYPE] == semconv.BINARY
    assert said[semconv.OUTPUT_CLASSES_PREDICTED] == labels
    assert said[semconv.OUTPUT_SCORES] == pytest.approx(expected[:, 1], abs=1e-6)
    assert said[semconv.OUTPUT_PROBABILITIES] == pytest.approx(expected.ravel(), abs=1e-6)
    spans.clear()
    for text in TEXTS:
        pipe(text, **options)
    one_by_one = [dict(span.attributes or {}) for span in spans.predictions]
    assert tuple(each[semconv.OUTPUT_CLASS] for each in one_by_one) == labels
    scores = [each[semconv.OUTPUT_SCORE] for each in one_by_one]
    assert scores == pytest.approx(expected[:, 1], abs=1e-6)


def test_of_more_classes_the_likeliest_has_its_probability(spans: CapturedSpans) -> None:
    pipe = piped("text-classification", classifier(TOPICS))
    bare = pipe(TEXTS)
    inferspan.instrument("transformers")
    pipe(TEXTS)
    said = found(spans)
    assert said[semconv.TASK_TYPE] == semconv.MULTICLASS
    assert list(said[semconv.OUTPUT_CLASSES_PREDICTED]) == [row["label"] for row in bare]
    assert list(said[semconv.OUTPUT_SCORES]) == [row["score"] for row in bare]
    spans.clear()
    pipe(TEXTS[0], top_k=None)
    said = found(spans)
    assert json.loads(said[semconv.OUTPUT_CLASSES]) == TOPICS
    assert (said[semconv.OUTPUT_CLASS], said[semconv.OUTPUT_SCORE]) == tuple(bare[0].values())


def test_several_labels_are_those_above_one_half(spans: CapturedSpans) -> None:
    model = classifier(TOPICS, problem_type="multi_label_classification")
    pipe = piped("text-classification", model)
    rows = pipe(TEXTS, top_k=None)
    expected = [{r["label"] for r in row if r["score"] > 0.5} for row in rows]
    inferspan.instrument("transformers")
    pipe(TEXTS, top_k=None)
    said = found(spans)
    assert said[semconv.TASK_TYPE] == semconv.MULTILABEL
    offsets, names = said[semconv.OUTPUT_OFFSETS], said[semconv.OUTPUT_CLASSES_PREDICTED]
    sets = [set(names[a:b]) for a, b in itertools.pairwise(offsets)]
    assert sets == expected
    spans.clear()
    pipe(TEXTS)  # the one label that has the greatest score: nothing says whether others hold
    assert "ask with top_k=None" in found(spans)[semconv.CAPTURE_DROPPED][0]


def test_one_label_is_a_number(spans: CapturedSpans) -> None:
    pipe = piped("text-classification", classifier(["LABEL_0"], problem_type="regression"))
    bare = pipe(TEXTS)
    inferspan.instrument("transformers")
    pipe(TEXTS)
    said = found(spans)
    assert said[semconv.TASK_TYPE] == semconv.REGRESSION
    assert list(said[semconv.OUTPUT_VALUES]) == [row["score"] for row in bare]


@pytest.mark.parametrize("where", ["call", "pipeline"])
def test_scores_that_are_no_probabilities_are_left_out(where: str, spans: CapturedSpans) -> None:
    chosen = {"function_to_apply": "none"}
    pipe = piped("text-classification", classifier(MOODS), **chosen if where == "pipeline" else {})
    options = chosen if where == "call" else {}
    bare = pipe(TEXTS, **options)
    inferspan.instrument("transformers", positive="positive")
    pipe(TEXTS, **options)
    said = found(spans)
    assert list(said[semconv.OUTPUT_CLASSES_PREDICTED]) == [row["label"] for row in bare]
    assert semconv.OUTPUT_SCORES not in said


def test_classes_may_be_those_of_the_call(spans: CapturedSpans) -> None:
    pipe = piped("zero-shot-classification", classifier(["contradiction", "neutral", "entailment"]))
    bare = [pipe(text, ["queen", "film", "time"]) for text in TEXTS]
    inferspan.instrument("transformers")
    pipe(TEXTS[0], ["queen", "film", "time"])
    said = found(spans)
    assert said[semconv.TASK_TYPE] == semconv.MULTICLASS
    assert said[semconv.OUTPUT_CLASS] == bare[0]["labels"][0]
    assert said[semconv.OUTPUT_SCORE] == pytest.approx(bare[0]["scores"][0])
    classes = json.loads(said[semconv.OUTPUT_CLASSES])
    assert dict(zip(classes, said[semconv.OUTPUT_PROBABILITIES], strict=True)) == pytest.approx(
        dict(zip(bare[0]["labels"], bare[0]["scores"], strict=True))
    )
    spans.clear()
    pipe(TEXTS, candidate_labels=["queen", "film", "time"])
    said = found(spans)
    assert list(said[semconv.OUTPUT_CLASSES_PREDICTED]) == [each["labels"][0] for each in bare]
    spans.clear()
    pipe(TEXTS[0], ["queen", "film"], multi_label=True)
    assert "multi_label=True" in found(spans)[semconv.CAPTURE_DROPPED][0]


@pytest.mark.parametrize(
    ("task", "make", "name", "known"),
    [
        ("token-classification", lambda: tagger(["O", "PER"]), "detect", "detection"),
        ("feature-extraction", encoder, "embed", "embedding"),
        ("text-generation", teller, "generate", semconv.GENERATION),
    ],
)
def test_what_has_no_class_says_what_it_is(
    task: str, make: Any, name: str, known: str, spans: CapturedSpans
) -> None:
    pipe = piped(task, make())
    inferspan.instrument("transformers")
    pipe(TEXTS[0])
    assert spans.prediction().name.partition(" ")[0] == name
    said = found(spans)
    assert (said[semconv.OPERATION_NAME], said[semconv.TASK_TYPE]) == (name, known)
    assert semconv.CAPTURE_DROPPED not in said
    assert (semconv.GEN_AI_REQUEST_MODEL in said) == (name == "generate")


@pytest.mark.parametrize("named", [True, False])
def test_logits_of_a_model_are_read_by_its_labels(named: bool, spans: CapturedSpans) -> None:
    model = classifier(TOPICS)
    with torch.no_grad():
        expected = torch.softmax(model(IDS).logits.double(), 1)
        inferspan.instrument("transformers")
        model(input_ids=IDS) if named else model(IDS, return_dict=False)
    said = found(spans)
    assert said[semconv.OUTPUT_PROBABILITIES] == pytest.approx(expected.numpy().ravel())
    assert list(said[semconv.OUTPUT_CLASSES_PREDICTED]) == [TOPICS[at] for at in expected.argmax(1)]
    assert said[semconv.INPUT_SHAPE] == "2x7"


def test_logits_of_several_labels_and_of_a_number(spans: CapturedSpans) -> None:
    several = classifier(TOPICS, problem_type="multi_label_classification")
    number = classifier(["LABEL_0"], problem_type="regression")
    with torch.no_grad():
        expected = torch.sigmoid(several(IDS).logits) > 0.5
        values = number(IDS).logits[:, 0].tolist()
        inferspan.instrument("transformers")
        several(IDS)
        said = found(spans)
        spans.clear()
        number(IDS)
    names = [name for row in expected for name, on in zip(TOPICS, row, strict=True) if on]
    assert list(said[semconv.OUTPUT_CLASSES_PREDICTED]) == names
    assert list(found(spans)[semconv.OUTPUT_VALUES]) == pytest.approx(values)


def test_models_are_named_after_what_was_loaded(spans: CapturedSpans, tmp_path: Path) -> None:
    inferspan.instrument("transformers")
    model = classifier(TOPICS)
    model(IDS)
    place = tmp_path / "topics-small"
    model.save_pretrained(place)
    loaded = type(model).from_pretrained(place)
    loaded(IDS)
    loaded.config.name_or_path, loaded.config._commit_hash = "someone/topics", "c0ffee"
    piped("text-classification", loaded)(TEXTS[0])
    said = [dict(span.attributes or {}) for span in spans.predictions]
    names = [each[semconv.MODEL_NAME] for each in said]
    assert names == ["BertForSequenceClassification", "topics-small", "someone/topics"]
    assert said[2][semconv.MODEL_VERSION] == "c0ffee"


@pytest.mark.parametrize("libraries", [["torch", "transformers"], ["transformers", "torch"]])
@pytest.mark.parametrize("piped_in", [True, False])
def test_beside_pytorch_a_call_is_one_prediction(
    libraries: list[str], piped_in: bool, spans: CapturedSpans
) -> None:
    model = teller()
    pipe = piped("text-generation", model)
    for library in libraries:
        inferspan.instrument(library)
    pipe(TEXTS[0]) if piped_in else model.generate(IDS)
    assert [span.name for span in spans.predictions] == ["generate GPT2LMHeadModel"]
    assert spans.stages == []
    spans.clear()
    classifier(TOPICS)(IDS)
    assert found(spans)[semconv.MODEL_FRAMEWORK] == "transformers"
    spans.clear()
    torch.nn.Sequential(torch.nn.Linear(3, 1)).eval()(torch.zeros(2, 3))
    assert found(spans)[semconv.MODEL_FRAMEWORK] == "torch"


def test_a_model_in_training_predicts_nothing(spans: CapturedSpans) -> None:
    inferspan.instrument("transformers")
    model = classifier(TOPICS).train()
    model(IDS, labels=torch.zeros(2, dtype=torch.long)).loss.backward()
    assert list(spans) == []


def test_a_module_around_a_model_is_the_users(spans: CapturedSpans) -> None:
    class Around(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.within = encoder()

        def forward(self, ids: Any) -> Any:
            return self.within(ids).last_hidden_state.mean(1)

    around = Around().eval()
    inferspan.instrument("transformers")
    inferspan.instrument("torch")
    around(IDS)
    assert [span.name for span in spans.predictions] == ["predict Around"]
    assert spans.stages == []


@pytest.mark.parametrize("lazily", ["generator", "data set"])
def test_answers_that_run_as_they_are_read_are_no_predictions(
    lazily: str, spans: CapturedSpans
) -> None:
    class Texts(torch.utils.data.Dataset):  # type: ignore[misc]
        def __len__(self) -> int:
            return len(TEXTS)

        def __getitem__(self, at: int) -> str:
            return TEXTS[at]

    pipe = piped("text-classification", classifier(TOPICS))
    expected = pipe(TEXTS)
    inferspan.instrument("transformers")
    given = (text for text in TEXTS) if lazily == "generator" else Texts()
    assert list(pipe(given)) == expected
    assert list(spans) == []

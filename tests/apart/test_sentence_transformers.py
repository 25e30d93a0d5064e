"""Embeddings, scores of pairs and rankings of sentence-transformers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import inferspan
from inferspan import semconv
from inferspan.testing import CapturedSpans
from sdk.integrations.sentence_transformers_subjects import PAIRS, TEXTS, pairs, sentences

pytestmark = pytest.mark.usefixtures("uninstrumented")
JUDGED = ["no", "maybe", "yes"]
OTHERS = ("torch", "transformers")


def found(spans: CapturedSpans) -> dict[str, Any]:
    return dict(spans.prediction().attributes or {})


@pytest.mark.parametrize("beside", [(), OTHERS, OTHERS[::-1]])
def test_an_embedding_is_one_prediction(beside: tuple[str, ...], spans: CapturedSpans) -> None:
    model = sentences()
    expected = model.encode(TEXTS)
    for library in (*beside[:1], "sentence_transformers", *beside[1:]):
        inferspan.instrument(library)
    np.testing.assert_array_equal(model.encode(TEXTS), expected)
    assert spans.prediction().name == "embed tiny-encoder"
    said = found(spans)
    assert (said[semconv.TASK_TYPE], said[semconv.INPUT_SHAPE]) == ("embedding", str(len(TEXTS)))
    assert semconv.CAPTURE_DROPPED not in said
    assert spans.stages == []


@pytest.mark.parametrize("form", ["array", "tensor", "tensors"])
def test_a_score_of_a_pair_is_its_value(form: str, spans: CapturedSpans) -> None:
    model = pairs("tiny-ranker", ["LABEL_0"])
    options = {"convert_to_tensor": form == "tensor", "convert_to_numpy": form == "array"}
    expected = model.predict(PAIRS)
    inferspan.instrument("sentence_transformers", task="regression")
    model.predict(PAIRS, **options)
    assert list(found(spans)[semconv.OUTPUT_VALUES]) == pytest.approx(expected.tolist())
    spans.clear()
    model.predict(PAIRS[0])
    assert found(spans)[semconv.OUTPUT_VALUE] == pytest.approx(float(expected[0]), rel=1e-5)


@pytest.mark.parametrize("softmax", [True, False])
def test_of_several_labels_the_likeliest_is_the_answer(softmax: bool, spans: CapturedSpans) -> None:
    model = pairs("tiny-judge", JUDGED)
    expected = model.predict(PAIRS, apply_softmax=True)
    inferspan.instrument("sentence_transformers")
    model.predict(PAIRS, apply_softmax=softmax)
    said = found(spans)
    assert said[semconv.TASK_TYPE] == semconv.MULTICLASS
    assert list(said[semconv.OUTPUT_CLASSES_PREDICTED]) == [JUDGED[at] for at in expected.argmax(1)]
    assert (semconv.OUTPUT_PROBABILITIES in said) == softmax
    if softmax:
        assert said[semconv.OUTPUT_PROBABILITIES] == pytest.approx(expected.ravel())
    spans.clear()
    model.predict(PAIRS[0], apply_softmax=softmax)
    assert found(spans)[semconv.OUTPUT_CLASS] == JUDGED[expected[0].argmax()]


def test_a_ranking_is_the_documents_in_the_order_of_their_scores(spans: CapturedSpans) -> None:
    model = pairs("tiny-ranker", ["LABEL_0"])
    expected = model.rank("a film", TEXTS)
    inferspan.instrument("sentence_transformers", task="regression")
    model.rank("a film", TEXTS)
    assert spans.prediction().name == "rank tiny-ranker"
    said = found(spans)
    assert said[semconv.TASK_TYPE] == "ranking"
    places = [str(each["corpus_id"]) for each in expected]
    assert list(said[semconv.OUTPUT_CLASSES_PREDICTED]) == places
    assert said[semconv.OUTPUT_SCORES] == pytest.approx([each["score"] for each in expected])

"""What a model answered, row by row; probabilities give what was left out."""

from __future__ import annotations

import math

import numpy as np
import pytest

from inferspan import semconv
from inferspan_collector.batches import PredictionBatch
from inferspan_collector.decode import decode_traces
from inferspan_collector.testing import NOW_NS, prediction_span, traces_request


def decode(span) -> PredictionBatch:
    body = traces_request([span]).SerializeToString()
    decoded = decode_traces(body, json=False, received_ns=NOW_NS)
    assert decoded.refused == ()
    return decoded.predictions


def test_multilabel_rows_are_sorted_sets() -> None:
    attributes = {
        semconv.PREDICTION_COUNT: 3,
        semconv.TASK_TYPE: semconv.MULTILABEL,
        semconv.OUTPUT_CLASSES_PREDICTED: ["b", "a", "ä", "b", "b"],
        semconv.OUTPUT_OFFSETS: [0, 2, 2, 5],
        semconv.OUTPUT_SCORES: [0.1, 0.2, 0.3, 0.4, 0.5],
    }
    batch = decode(prediction_span("m", attributes))
    assert batch.predicted.objects().tolist() == ['["a","b"]', "[]", '["b","ä"]']
    assert np.isnan(batch.score).all()


def test_one_multilabel_prediction_needs_no_offsets() -> None:
    attributes = {
        semconv.TASK_TYPE: semconv.MULTILABEL,
        semconv.OUTPUT_CLASSES_PREDICTED: ["b", "a"],
    }
    batch = decode(prediction_span("m", attributes))
    assert batch.predicted.objects().tolist() == ['["a","b"]']


def probabilities(task, classes, rows, **more):
    flat = [p for row in rows for p in row]
    attributes = {
        semconv.PREDICTION_COUNT: len(rows),
        semconv.OUTPUT_CLASSES: classes,
        semconv.OUTPUT_PROBABILITIES: flat,
        **({semconv.TASK_TYPE: task} if task else {}),
        **more,
    }
    batch = decode(prediction_span("p", attributes))
    return batch.predicted.objects().tolist(), batch.score.tolist()


def test_classes_are_a_text_or_a_list() -> None:
    rows = [[0.1, 0.7, 0.2]]
    listed = probabilities(semconv.MULTICLASS, ["ä", "b", "c"], rows)
    assert listed == (["b"], [0.7])
    assert probabilities(semconv.MULTICLASS, '["ä","b","c"]', rows) == listed


def test_of_classes_that_were_cut_or_too_long_the_answer_is_known() -> None:
    answered = {semconv.OUTPUT_CLASS: "b", semconv.OUTPUT_SCORE: 0.7}
    attributes = {
        semconv.TASK_TYPE: semconv.MULTICLASS,
        semconv.OUTPUT_PROBABILITIES: [0.1, 0.7, 0.2],
        **answered,
    }
    whole = decode(prediction_span("p", {**attributes, semconv.OUTPUT_CLASSES: '["a","b","c"]'}))
    assert whole.probability_classes.objects().tolist() == ['["a","b","c"]']
    names = ",".join(f'"{number:06}"' for number in range(150_000))
    for told in ('["a","b",', f"[{names}]"):
        cut = decode(prediction_span("p", {**attributes, semconv.OUTPUT_CLASSES: told}))
        assert cut.predicted.objects().tolist() == ["b"]
        assert cut.score.tolist() == [0.7]
        assert cut.probability_classes.objects().tolist() == [None]


@pytest.mark.parametrize(
    ("told", "reason"),
    [('["a","b",', "bad_list"), ("a,b", "bad_type"), ('{"a":1}', "bad_type"), ("", "bad_type")],
)
def test_probabilities_of_nobody_knows_which_classes_are_refused(told: str, reason: str) -> None:
    attributes = {
        semconv.TASK_TYPE: semconv.MULTICLASS,
        semconv.OUTPUT_PROBABILITIES: [0.1, 0.7, 0.2],
        semconv.OUTPUT_CLASSES: told,
    }
    body = traces_request([prediction_span("p", attributes)]).SerializeToString()
    (refused,) = decode_traces(body, json=False, received_ns=NOW_NS).refused
    assert refused.reason == reason


def test_numbers_are_classes_in_a_text_as_in_a_list() -> None:
    rows = [[0.1, 0.7, 0.2]]
    assert probabilities(semconv.MULTICLASS, "[1,2,3]", rows) == (["2"], [0.7])
    assert probabilities(semconv.MULTICLASS, [1, 2, 3], rows) == (["2"], [0.7])


def test_multiclass_takes_the_likeliest_class_and_its_probability() -> None:
    rows = [[0.1, 0.7, 0.2], [0.5, 0.25, 0.25]]
    assert probabilities(semconv.MULTICLASS, ["a", "b", "c"], rows) == (["b", "a"], [0.7, 0.5])


def test_binary_scores_the_positive_class_and_heeds_the_threshold() -> None:
    rows = [[0.8, 0.2], [0.7, 0.3], [0.1, 0.9]]
    positive = {semconv.OUTPUT_POSITIVE_CLASS: "fraud"}
    classes = ["legit", "fraud"]
    assert probabilities(semconv.BINARY, classes, rows, **positive) == (
        ["legit", "legit", "fraud"],
        [0.2, 0.3, 0.9],
    )
    low = {**positive, semconv.OUTPUT_THRESHOLD: 0.3}
    assert probabilities(semconv.BINARY, classes, rows, **low)[0] == ["legit", "fraud", "fraud"]


def test_binary_without_a_positive_class_has_no_score() -> None:
    predicted, score = probabilities(semconv.BINARY, ["n", "p"], [[0.2, 0.8]])
    assert predicted == ["p"]
    assert math.isnan(score[0])


def test_probabilities_of_a_multilabel_row_are_no_answer() -> None:
    rows = [[0.9, 0.8, 0.1], [0.2, 0.7, 0.6]]
    predicted, score = probabilities(semconv.MULTILABEL, ["a", "b", "c"], rows)
    assert predicted == [None, None]
    assert np.isnan(score).all()


def test_a_row_with_a_missing_probability_says_nothing() -> None:
    rows = [[math.nan, 0.4], [0.6, 0.4]]
    predicted, score = probabilities(None, ["a", "b"], rows)
    assert predicted == [None, "a"]
    np.testing.assert_array_equal(score, [math.nan, 0.6])


def test_classes_that_were_answered_stand_above_probabilities() -> None:
    answered = {semconv.OUTPUT_CLASSES_PREDICTED: ["b"]}
    assert probabilities(None, ["a", "b"], [[0.9, 0.1]], **answered) == (["b"], [0.1])


def test_one_column_of_probabilities_names_no_class() -> None:
    positive = {semconv.OUTPUT_POSITIVE_CLASS: "1"}
    assert probabilities(semconv.BINARY, ["1"], [[0.2]], **positive) == ([None], [0.2])

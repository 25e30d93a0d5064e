"""A usual call takes a way of its own, and leaves the same span."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import inferspan
from inferspan import semconv
from inferspan.plain_json import plain_answer, plain_object
from sdk.both_ways import record_of, span_of

TASKS = (None, "binary_classification", "multiclass_classification", "regression", "generation")
INPUTS: Mapping[str, tuple[Any, ...]] = {
    "ten numbers": ([0.5] * 10,),
    "no list": ([],),
    "a long list": ([1.0] * 1_030,),
    "not finite": ([math.nan, 1.0],),
    "integers": ([1, 2],),
    "vector": (np.arange(3.0),),
    "matrix": (np.zeros((2, 3)),),
    "text": ("text",),
    "number": (1.5,),
    "nothing": (),
    "two": ([1.0], "text"),
}
ANSWERS: Mapping[str, object] = {
    "class and score": {"label": "fraud", "score": 0.25},
    "score and class": {"score": 0.25, "label": "fraud"},
    "class": "fraud",
    "class of a mapping": {"label": "fraud"},
    "number as class": {"label": 1, "score": 0.5},
    "more": {"label": "fraud", "score": 0.5, "why": "because"},
    "score": 0.75,
    "pair": ("fraud", 0.5),
    "bad score": {"label": "fraud", "score": 1.5},
    "controls": {"label": "\x01" * 500, "score": 0.5},
    "letters": {"label": "fräud", "score": 0.5},
    "long": {"label": "x" * 600, "score": 0.5},
    "batch": {"label": ["a", "b"], "score": [0.1, 0.2]},
    "row with a class": np.array([1]),
    "row with a text": np.array(["fraud"]),
    "row with a number": np.array([0.75]),
    "two rows": np.array([0, 1]),
    "nothing": None,
    "object": object(),
}


def scoring(policy: str, task: str | None, answer: object) -> Callable[..., object]:
    @inferspan.predict(model="m", version="7", task=task, capture=policy)
    def score(x: object = None, y: object = None) -> object:
        return answer

    return score


@pytest.mark.parametrize("policy", semconv.CAPTURE_POLICIES)
@pytest.mark.parametrize("task", TASKS)
def test_both_ways_write_the_same_span(policy: str, task: str | None) -> None:
    for (given_name, arguments), (name, answer) in product(INPUTS.items(), ANSWERS.items()):
        call = partial(scoring(policy, task, answer), *arguments)
        assert span_of(True, call) == span_of(False, call), (given_name, name)


ROWS: Mapping[str, np.ndarray[Any, Any]] = {
    "probabilities": np.array([[0.25, 0.75]]),
    "of float32": np.array([[0.25, 0.75]], np.float32),
    "alike": np.array([[0.5, 0.5]]),
    "one is missing": np.array([[0.25, math.nan]]),
    "more than all": np.array([[0.25, 1.75]]),
    "rounded": np.array([[0.0, 1.0 + 5e-7]]),
    "of another width": np.array([[0.25, 0.25, 0.5]]),
    "two rows": np.array([[0.25, 0.75], [1.0, 0.0]]),
    "one column": np.array([[0.75]]),
    "classes": np.array([[0, 1]]),
}


def of_two_classes(
    policy: str, task: str | None, answer: object, **options: Any
) -> Callable[..., object]:
    @inferspan.predict(
        model="m",
        task=task,
        operation="predict_proba",
        positive="fraud",
        classes=["legit", "fraud"],
        capture=policy,
        **options,
    )
    def score(x: object = None) -> object:
        return answer

    return score


@pytest.mark.parametrize("policy", semconv.CAPTURE_POLICIES)
@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("threshold", [None, 0.9])
def test_both_ways_write_the_same_probabilities(
    policy: str, task: str | None, threshold: float | None
) -> None:
    for name, answer in ROWS.items():
        for x in (np.zeros((1, 3)), [1.0]):
            call = partial(of_two_classes(policy, task, answer, threshold=threshold), x)
            assert span_of(True, call) == span_of(False, call), name


@pytest.mark.parametrize("task", TASKS)
def test_both_ways_leave_the_same_probabilities_in_records(task: str | None) -> None:
    for name, answer in ROWS.items():

        def decorated(ratio: float | None, answer: object = answer) -> Callable[..., object]:
            return of_two_classes("shapes", task, answer, sample_ratio=ratio)

        x = np.zeros((1, 3))
        assert record_of(True, decorated, x) == record_of(False, decorated, x), name


class Knows:
    """A model that says its classes, or raises where it should."""

    def __init__(self, classes: object, answer: object) -> None:
        self.known, self.answer, self.asked = classes, answer, 0

    @property
    def classes_(self) -> object:
        self.asked += 1
        if isinstance(self.known, Exception):
            raise self.known
        return self.known

    def predict(self, x: object) -> object:
        return self.answer


@pytest.mark.parametrize("policy", semconv.CAPTURE_POLICIES)
@pytest.mark.parametrize(
    "classes", [np.array([0, 1]), ["a", "b"], None, [[0, 1], [0, 1]], ValueError("not fitted")]
)
def test_both_ways_ask_a_wrapped_model_for_its_classes_once(policy: str, classes: object) -> None:
    answers = {**ANSWERS, **ROWS, "floats": np.array([1.0]), "integer": 1}
    for (name, answer), task in product(answers.items(), TASKS):
        model = Knows(classes, answer)
        call = partial(inferspan.wrap(model, task=task, capture=policy).predict, np.zeros((1, 3)))
        model.asked = 0
        assert span_of(True, call) == span_of(False, call), name
        assert model.asked <= 4, name


def test_a_wrapped_model_that_learns_other_classes_is_read_by_those() -> None:
    model = Knows(np.array(["a", "b"]), np.array([[0.25, 0.75]]))
    call = partial(inferspan.wrap(model).predict, np.zeros((1, 3)))
    assert dict(span_of(True, call)[0])[semconv.OUTPUT_CLASS] == "b"
    model.known = np.array(["c", "d"])
    for usual in (True, False):
        found = dict(span_of(usual, call)[0])
        assert found[semconv.OUTPUT_CLASS] == "d"
        assert found[semconv.OUTPUT_CLASSES] == '["c","d"]'


@pytest.mark.parametrize("policy", semconv.CAPTURE_POLICIES)
def test_both_ways_map_an_answer_once(policy: str) -> None:
    for name, answer in ANSWERS.items():
        mapped = []

        def mapping(returned: object, mapped: list[object] = mapped) -> object:
            mapped.append(returned)
            if returned is None:
                raise ValueError("nothing to map")
            return returned

        @inferspan.predict(model="m", task=TASKS[1], capture=policy, output=mapping)
        def score(x: object, answer: object = answer) -> object:
            return answer

        call = partial(score, [1.0])
        assert span_of(True, call) == span_of(False, call), name
        assert len(mapped) == 4


@pytest.mark.parametrize("policy", semconv.CAPTURE_POLICIES)
@pytest.mark.parametrize("task", TASKS)
def test_both_ways_leave_the_same_record(policy: str, task: str | None) -> None:
    for (given_name, arguments), (name, answer) in product(INPUTS.items(), ANSWERS.items()):

        def decorated(ratio: float | None, answer: object = answer) -> Callable[..., object]:
            return inferspan.predict(model="m", task=task, capture=policy, sample_ratio=ratio)(
                lambda x=None, y=None: answer
            )

        fast = record_of(True, decorated, *arguments)
        assert fast == record_of(False, decorated, *arguments), (given_name, name)


@pytest.mark.parametrize("usual", [True, False])
def test_a_mapping_of_a_call_that_is_not_sampled_is_asked_once(usual: bool) -> None:
    for name, answer in ANSWERS.items():
        mapped = []

        def mapping(returned: object, mapped: list[object] = mapped) -> object:
            mapped.append(returned)
            if returned is None:
                raise ValueError("nothing to map")
            return returned

        def decorated(ratio: float | None, answer: object = answer, mapping: Any = mapping) -> Any:
            return inferspan.predict(model="m", task=TASKS[1], output=mapping, sample_ratio=ratio)(
                lambda x: answer
            )

        assert record_of(usual, decorated, [1.0])
        assert len(mapped) == 2, name


def test_both_ways_write_the_same_failure() -> None:
    @inferspan.predict(model="m", capture="values")
    def score(x: object) -> object:
        raise ValueError("broken")

    def call() -> None:
        with pytest.raises(ValueError, match="broken"):
            score([1.0])

    assert span_of(True, call) == span_of(False, call)


@given(
    label=st.text(st.characters(max_codepoint=127), max_size=700),
    score=st.floats(0.0, 1.0),
    turned=st.booleans(),
    bytes_max=st.integers(64, 4096),
)
def test_an_answer_is_shown_as_any_object(
    label: str, score: float, turned: bool, bytes_max: int
) -> None:
    answer: dict[str, object] = {"label": label, "score": score}
    if turned:
        answer = dict(reversed(answer.items()))
    shown = plain_answer(answer, label, score, bytes_max)
    assert shown == plain_object(answer.items(), bytes_max)

"""What holds for the models of every library that there is an integration for."""

from __future__ import annotations

import copy
import gc
import importlib
import inspect
import io
import pickle
import re
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
import wrapt
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

import inferspan
from inferspan import capture, decorators, integrations, semconv, served
from inferspan.instrumenting import load
from inferspan.testing import CapturedSpans, capture_spans
from inferspan.wrapping import OPERATION_OF

from .subjects import LIBRARIES, Subject, each_method, each_subject, subjects_of


def same(one: Any, other: Any) -> bool:
    """Equal to the last bit, and of the same type."""
    if type(one) is not type(other):
        return False
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, Mapping):
        return list(one) == list(other) and all(same(one[name], other[name]) for name in one)
    if isinstance(one, (pd.DataFrame, pd.Series)):
        return one.equals(other)
    if isinstance(one, np.ndarray):
        return (
            one.dtype == other.dtype
            and one.shape == other.shape
            and one.tobytes() == other.tobytes()
        )
    if hasattr(one, "numpy"):  # a tensor
        return same(one.numpy(), other.numpy())
    return bool(one == other)


def entries(library: str) -> dict[tuple[type, str], object]:
    """What stands in every class that the library's models have to do with."""
    kinds = list(load(library).classes())
    for kind in kinds:
        kinds.extend(k for k in type.__subclasses__(kind) if k not in kinds)
    owners = {owner for kind in kinds for owner in kind.__mro__ if owner is not object}
    return {(o, name): entry for o in owners for name, entry in vars(o).items()}


def module_of(library: str) -> ModuleType:
    return importlib.import_module(f"{integrations.__name__}.{library}")


@pytest.mark.parametrize("library", LIBRARIES)
def test_an_integration_says_what_it_does(library: str) -> None:
    module = module_of(library)
    said = module.__doc__ or ""
    assert "What is patched:" in said
    assert "What appears:" in said
    integration = load(library)
    assert integration.library == library
    assert integration.supported is module.SUPPORTED
    assert (integration.describe, integration.read) == (module.describe, module.read)
    assert all(operation in semconv.OPERATIONS for operation in integration.methods.values())
    lines = inspect.getsource(module).count("\n")
    assert lines <= 250, "an integration is a list of what there is; is some of it for all of them?"


@pytest.mark.parametrize("library", LIBRARIES)
def test_who_does_not_use_a_library_does_not_wait_for_it(library: str) -> None:
    program = f"""
import sys
import inferspan
assert "inferspan.instrumenting" not in sys.modules
inferspan.instrument({library!r})
assert {library!r} not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("library", LIBRARIES)
def test_what_was_instrumented_is_what_it_was_before(library: str) -> None:
    before = entries(library)
    for _ in range(2):
        inferspan.instrument(library)
        inferspan.instrument(library)
        changed = {key for key, entry in entries(library).items() if before.get(key) is not entry}
        assert {name for _, name in changed} & set(load(library).methods)
        inferspan.uninstrument(library)
        inferspan.uninstrument(library)
        after = entries(library)
        assert after.keys() == before.keys()
        assert [key for key, entry in after.items() if before[key] is not entry] == []


@each_method()
def test_answers_are_equal_to_the_last_bit(
    library: str, subject: Subject, method: str, spans: CapturedSpans
) -> None:
    bare = subject.call(method)
    inferspan.instrument(library)
    assert same(subject.call(method), bare)
    operation = subject.operation or load(library).methods[method]
    assert [span.name.partition(" ")[0] for span in spans.predictions] == [operation]


@each_method()
def test_a_call_is_one_prediction_with_what_the_model_knows(
    library: str, subject: Subject, method: str, spans: CapturedSpans
) -> None:
    inferspan.instrument(library)
    subject.call(method)
    attributes = dict(spans.prediction().attributes or {})
    assert attributes[semconv.MODEL_FRAMEWORK] == library
    if hasattr(subject.given, "shape"):
        assert attributes[semconv.INPUT_SHAPE] == "x".join(map(str, subject.given.shape))
    assert semconv.CAPTURE_DROPPED not in attributes or "decision_function" in method
    assert subject.task == (attributes.get(semconv.TASK_TYPE) in semconv.TASKS)


@each_method()
def test_instrumented_twice_a_call_is_still_one_prediction(
    library: str, subject: Subject, method: str, spans: CapturedSpans
) -> None:
    inferspan.instrument(library, model="first")
    inferspan.instrument(library, model="second")
    subject.call(method)
    assert spans.prediction("second") is spans.prediction()


@each_method()
def test_what_others_replaced_before_is_called_as_before(
    library: str, subject: Subject, method: str, spans: CapturedSpans
) -> None:
    bare = subject.call(method)
    kind, asked = type(subject.model), []
    owner = next(base for base in kind.__mro__ if method in vars(base))
    original = vars(owner)[method]

    def theirs(wrapped: Any, instance: object, args: Any, kwargs: Any) -> Any:
        asked.append(instance)
        return wrapped(*args, **kwargs)

    # As instrumentations of others replace methods, before ours and without knowing of it.
    replaced = wrapt.FunctionWrapper(original, theirs)
    setattr(owner, method, replaced)
    try:
        inferspan.instrument(library)
        assert same(subject.call(method), bare)
        assert asked[0] is subject.model
        assert all(isinstance(instance, owner) for instance in asked)
        assert len(spans.predictions) == 1
        inferspan.uninstrument(library)
        assert vars(owner)[method] is replaced
    finally:
        inferspan.uninstrument(library)
        setattr(owner, method, original)


@each_method()
def test_an_object_that_is_wrapped_is_not_doubled(
    library: str, subject: Subject, method: str, spans: CapturedSpans
) -> None:
    if method not in OPERATION_OF:
        return  # `wrap` leaves it as it is
    inferspan.instrument(library)
    wrapped = inferspan.wrap(subject.model, model="wrapped", task="regression")
    subject.call(method, wrapped)
    assert spans.prediction() is spans.prediction("wrapped")


@each_method()
def test_within_a_decorated_function_a_model_is_a_stage(
    library: str, subject: Subject, method: str, spans: CapturedSpans
) -> None:
    inferspan.instrument(library)

    @inferspan.predict(model="service", task="regression")
    def answer() -> float:
        subject.call(method)
        return 1.0

    answer()
    prediction = spans.prediction()
    (stage,) = [stage for stage in spans.stages if stage.parent == prediction.context]
    name = (stage.attributes or {})[semconv.STAGE_NAME]
    assert name == load(library).describe(subject.model).name
    assert stage.name == f"{name} service"


@each_method()
def test_errors_are_those_of_the_library(
    library: str, subject: Subject, method: str, spans: CapturedSpans
) -> None:
    with pytest.raises(Exception) as bare:  # noqa: PT011  # whatever the library raises
        subject.call_with(subject.wrong, method)
    inferspan.instrument(library)
    with pytest.raises(Exception) as traced:  # noqa: PT011
        subject.call_with(subject.wrong, method)
    assert (traced.type, str(traced.value)) == (bare.type, str(bare.value))
    assert (spans.prediction().attributes or {})[semconv.ERROR_TYPE]


@each_subject()
def test_an_exception_comes_back_the_same_object(library: str, subject: Subject) -> None:
    method, error = subject.methods[0], ArithmeticError("asked for")
    given = subject.refusing(error)
    with warnings.catch_warnings(action="ignore"), pytest.raises(Exception) as bare:  # noqa: PT011
        subject.call_with(given, method)
    inferspan.instrument(library)
    with (
        capture_spans(),
        warnings.catch_warnings(action="ignore"),
        pytest.raises(type(bare.value)) as traced,
    ):
        subject.call_with(given, method)
    # Some refuse such an input in words of their own.
    assert (traced.value is error) == (bare.value is error)
    assert repr(traced.value) == repr(bare.value)
    assert repr(traced.value.__context__) == repr(bare.value.__context__)


@each_subject()
def test_pickles_and_copies_are_those_of_before(
    library: str, subject: Subject, spans: CapturedSpans
) -> None:
    if not subject.copies:
        with pytest.raises(TypeError) as bare_error:
            pickle.dumps(subject.model)
        inferspan.instrument(library)
        with pytest.raises(TypeError, match=re.escape(str(bare_error.value))):
            pickle.dumps(subject.model)
        return
    method = subject.methods[0]
    answer = subject.call(method)  # some learn in their first call how to answer faster
    bare = pickle.dumps(subject.model)
    inferspan.instrument(library)
    assert pickle.dumps(subject.model) == bare
    copies = [pickle.loads(bare), copy.deepcopy(subject.model), copy.copy(subject.model)]
    for copied in copies:
        assert type(copied) is type(subject.model)
        assert same(subject.call(method, copied), answer)
    bound = getattr(subject.model, method)
    by_name = bound.__name__ == method  # else a pickle of it means another method
    for copied in (pickle.loads(pickle.dumps(bound)), copy.deepcopy(bound)):
        assert same(copied(*subject.arguments(subject.given)), answer)
    assert len(spans.predictions) == len(copies) + 1 + by_name


@each_subject()
def test_joblib_carries_models(library: str, subject: Subject, spans: CapturedSpans) -> None:
    import joblib

    if not subject.copies:
        return  # see above
    method = subject.methods[0]
    answer = subject.call(method)
    bare = io.BytesIO()
    joblib.dump(subject.model, bare)
    inferspan.instrument(library)
    traced = io.BytesIO()
    joblib.dump(subject.model, traced)
    assert traced.getvalue() == bare.getvalue()
    traced.seek(0)
    assert same(subject.call(method, joblib.load(traced)), answer)


@each_subject()
def test_signatures_and_names_are_the_librarys(library: str, subject: Subject) -> None:
    def seen() -> Iterator[object]:
        for method in (*subject.methods, *load(library).quiet):
            for of in (type(subject.model), subject.model):
                found = getattr(of, method, None)
                if found is None:
                    continue
                yield str(inspect.signature(found)), found.__name__, found.__doc__, found.__module__
                yield inspect.ismethod(found), found.__qualname__

    bare = list(seen())
    inferspan.instrument(library)
    assert list(seen()) == bare


@each_method()
def test_unsampled_calls_leave_a_record_and_compute_nothing_else(
    library: str, subject: Subject, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    inferspan.instrument(library, capture="values")
    with capture_spans() as sampled:
        subject.call(method)

    def computed(*args: object, **kwargs: object) -> None:
        raise AssertionError("attributes of a call that is not sampled")

    for name in ("describe_input", "show_input", "show_output"):
        monkeypatch.setattr(capture, name, computed)
    monkeypatch.setattr(decorators, "statistics", computed)
    with capture_spans(sampler=ALWAYS_OFF) as unsampled:
        subject.call(method)
        records = unsampled.records
    assert unsampled.predictions == []
    attributes = dict(records[0].attributes or {})
    assert (
        attributes[semconv.MODEL_NAME]
        == (sampled.prediction().attributes or {})[semconv.MODEL_NAME]
    )


@each_subject()
def test_nothing_that_is_fitted_predicts(
    library: str, subject: Subject, spans: CapturedSpans
) -> None:
    inferspan.instrument(library)
    assert subject.refit is not None
    subject.refit(subject.model)
    assert list(spans) == []


@pytest.mark.parametrize("library", LIBRARIES)
def test_models_that_are_gone_are_forgotten(library: str, spans: CapturedSpans) -> None:
    inferspan.instrument(library)
    before = len(served.state.models)
    for subject in subjects_of(library):
        subject.call(subject.methods[0], subject.again())
    gc.collect()
    assert len(served.state.models) <= before


@each_subject()
def test_threads_predict_while_others_instrument(library: str, subject: Subject) -> None:
    method, done = subject.methods[0], threading.Event()
    answer = subject.call(method)

    def switch() -> None:
        while not done.is_set():
            inferspan.instrument(library)
            inferspan.uninstrument(library)

    with capture_spans():
        switching = threading.Thread(target=switch)
        switching.start()
        try:
            assert all(same(subject.call(method), answer) for _ in range(20))
        finally:
            done.set()
            switching.join()

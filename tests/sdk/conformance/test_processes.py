"""Pickles, copies, threads and other processes: a wrapped function goes where a bare one goes."""

from __future__ import annotations

import copy
import functools
import os
import pickle
import subprocess
import sys
import textwrap
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cloudpickle
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin, clone

from sdk.conformance.adapter import Adapter, Captured, Wrap
from sdk.conformance.conftest import ADAPTER

TESTS = Path(__file__).parents[2]


def hidden(x: int) -> str:
    """What its decorated self hides: pickle finds that by the name, and refuses this one."""
    return f"score {x}"


def _other(x: int) -> str:
    return f"other {x}"


first = next(iter(ADAPTER.decorators.values()))
by_name = first(hidden)
hidden = by_name
RENAMED = {name: decorate(_other) for name, decorate in ADAPTER.decorators.items()}
PARTIAL = {
    name: decorate(functools.partial(_other, 2)) for name, decorate in ADAPTER.decorators.items()
}


class Holder:
    @first
    def method(self, x: int) -> str:
        return f"method {x}"

    @first
    @classmethod
    def of_class(cls, x: int) -> str:
        return f"{cls.__name__} {x}"


there_and_back = pytest.mark.parametrize(
    "duplicate",
    [
        *(
            lambda f, protocol=protocol: pickle.loads(pickle.dumps(f, protocol))
            for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1)
        ),
        lambda f: pickle.loads(cloudpickle.dumps(f)),
        copy.copy,
        copy.deepcopy,
    ],
    ids=["pickle2", "pickle3", "pickle4", "pickle5", "cloudpickle", "copy", "deepcopy"],
)


@there_and_back
@pytest.mark.parametrize("name", RENAMED)
def test_a_function_under_another_name_is_traced(
    captured: Captured, duplicate: Callable[[Any], Any], name: str
) -> None:
    assert duplicate(RENAMED[name])(2) == "other 2"
    assert duplicate(PARTIAL[name])() == "other 2"
    assert len(captured()) == 2


@there_and_back
def test_a_function_found_by_its_name_is_itself(
    captured: Captured, duplicate: Callable[[Any], Any]
) -> None:
    assert duplicate(hidden) is hidden
    assert duplicate({"f": hidden})["f"] is hidden


@there_and_back
def test_methods(captured: Captured, duplicate: Callable[[Any], Any]) -> None:
    assert duplicate(Holder().method)(1) == "method 1"
    assert duplicate(Holder.of_class)(1) == "Holder 1"
    assert len(captured()) == 2


@there_and_back
def test_closures_that_nothing_can_name(
    decorate: Wrap, captured: Captured, duplicate: Callable[[Any], Any], request: Any
) -> None:
    """Pickle itself refuses such a function, with us as without."""
    bias = 3

    def local(x: int) -> int:
        return x + bias

    traced = decorate(local)
    if "pickle" in request.node.callspec.id and "cloud" not in request.node.callspec.id:
        with pytest.raises((AttributeError, pickle.PicklingError)):
            duplicate(traced)
    else:
        assert duplicate(traced)(1) == 4
        assert len(captured()) == 1


def test_a_copy_of_a_method_belongs_to_a_copy(captured: Captured) -> None:
    holder = Holder()
    assert copy.copy(holder.method).__self__ is holder
    copied = copy.deepcopy(holder.method).__self__
    assert type(copied) is Holder
    assert copied is not holder


class Model(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    def __init__(self, bias: int = 0) -> None:
        self.bias = bias

    def fit(self, X: Any, y: Any = None) -> Model:
        self.classes_ = ["a", "b"]
        return self

    @first
    def predict(self, X: list[int]) -> list[str]:
        return ["b" if x + self.bias > 0 else "a" for x in X]


@pytest.mark.parametrize("duplicate", [clone, *there_and_back.args[1]])
def test_an_estimator_with_a_traced_method(
    captured: Captured, duplicate: Callable[[Any], Any]
) -> None:
    made = duplicate(Model(1).fit([0]))
    assert made.get_params() == {"bias": 1}
    assert made.fit([0]).predict([0, -1]) == ["b", "a"]
    assert len(captured()) == 1


@pytest.mark.parametrize("duplicate", [clone, *there_and_back.args[1]])
def test_a_traced_model(
    adapter: Adapter, captured: Captured, duplicate: Callable[[Any], Any]
) -> None:
    class Bare(Model):
        predict = Model.__dict__["predict"].__wrapped__

    globals()["Bare"] = Bare
    Bare.__qualname__ = "Bare"
    made = duplicate(adapter.wrap_model(Bare(1).fit([0])))
    assert isinstance(made, Bare)
    assert made.fit([0]).predict([0, -1]) == ["b", "a"]
    assert len(captured()) == 1


def test_threads(trace: Wrap, adapter: Adapter, captured: Captured) -> None:
    def works(x: int) -> int:
        with adapter.child():
            return x

    traced = trace(works)
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(traced, range(200))) == list(range(200))
    children = {span.parent for span in captured() if span.parent is not None}
    assert children == {span.id for span in captured() if span.parent is None}
    assert len(captured()) == 400


PROGRAMS = {
    "joblib": """
        import joblib
        jobs = (joblib.delayed(work)(x) for x in range(3))
        print(joblib.Parallel(n_jobs=2)(jobs))
    """,
    "multiprocessing": """
        import multiprocessing
        with multiprocessing.get_context("spawn").Pool(2) as pool:
            print(pool.map(work, range(3)))
    """,
    "process pool": """
        import concurrent.futures, multiprocessing
        context = multiprocessing.get_context("spawn")
        with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as pool:
            print(list(pool.map(work, range(3))))
    """,
    "fork": """
        import multiprocessing
        with multiprocessing.get_context("fork").Pool(2) as pool:
            print(pool.map(work, range(3)))
    """,
    "cloudpickle": """
        import cloudpickle, subprocess, sys
        code = "import pickle, sys; print([pickle.load(sys.stdin.buffer)(x) for x in [0]])"
        for x in range(1):
            child = subprocess.run(
                [sys.executable, "-c", code], input=cloudpickle.dumps(work), capture_output=True
            )
            print(child.stdout.decode().strip(), child.stderr.decode())
    """,
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_another_process_traces_what_main_wrapped(tmp_path: Path, name: str) -> None:
    """What stands in `__main__` goes by value to some; it must arrive wrapped."""
    program = tmp_path / "program.py"
    program.write_text(
        f"{ADAPTER.program}\n"
        + textwrap.dedent(
            """
            @trace
            def score(x):
                return "a" if x == 0 else score(x - 1)

            def work(x):
                with capture() as spans:
                    return score(x), len(spans)

            if __name__ == "__main__":
            """
        )
        + textwrap.indent(textwrap.dedent(PROGRAMS[name]), "    ")
    )
    done = subprocess.run(
        [sys.executable, str(program)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path])},
    )
    expected = [("a", 1), ("a", 2), ("a", 3)]
    assert done.stdout.strip() == str(expected[:1] if name == "cloudpickle" else expected), (
        done.stderr
    )

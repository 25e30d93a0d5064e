"""What a call of an instrumented model costs beside the bare call and beside a span by hand.

For each library, small models answer for one row. Within a sweep the library is not instrumented
while the bare call and the one with a span written by hand are measured, and is while ours are;
the overhead is what a call takes more than the bare one, and its ratio to that of the hand-written
span (R: `start_as_current_span`, five `set_attribute` calls) is what to compare. Times are CPU time
of the caller's thread; printed is the first quartile over the sweeps.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from collections.abc import Callable
from typing import Any, Final

from exporters import Dropping
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

import inferspan
from inferspan import providers

ROUND_NS: Final = 20_000_000
"""What a round of one variant is to take."""
Models = dict[str, tuple[Any, str, Any]]


def sklearn_models() -> Models:
    """Fitted models of scikit-learn: name → model, method, one row."""
    import numpy as np
    from sklearn.base import BaseEstimator, ClassifierMixin
    from sklearn.datasets import load_breast_cancer, load_diabetes
    from sklearn.linear_model import LinearRegression, LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    class Constant(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
        """Answers at once: what is measured beside it is the tracing alone."""

        classes_ = np.array([0, 1])
        answer = np.array([1])

        def predict(self, x: Any) -> Any:
            return self.answer

    x, y = load_breast_cancer(return_X_y=True)
    linear = LogisticRegression(max_iter=5000).fit(x, y)
    pipeline = make_pipeline(StandardScaler(), LogisticRegression()).fit(x, y)
    numbers, targets = load_diabetes(return_X_y=True)
    regression = LinearRegression().fit(numbers, targets)
    return {
        "one that answers at once": (Constant(), "predict", x[:1]),
        "predict": (linear, "predict", x[:1]),
        "predict_proba": (linear, "predict_proba", x[:1]),
        "a regression": (regression, "predict", numbers[:1]),
        "a pipeline, two stages": (pipeline, "predict", x[:1]),
    }


LIBRARIES: Final[dict[str, Callable[[], Models]]] = {"sklearn": sklearn_models}


def by_hand(tracer: trace.Tracer, model: Any, method: str) -> Callable[[Any], Any]:
    """The call with a span as people write it."""

    def answer(x: Any) -> Any:
        with tracer.start_as_current_span(f"{method} model") as span:
            said = getattr(model, method)(x)
            span.set_attribute("model.name", "model")
            span.set_attribute("model.version", "7")
            span.set_attribute("task", "classification")
            span.set_attribute("input.shape", str(x.shape))
            span.set_attribute("output", str(said[0]))
            return said

    return answer


def provider() -> TracerProvider:
    made = TracerProvider(shutdown_on_exit=False)
    made.add_span_processor(BatchSpanProcessor(Dropping()))
    return made


def measured(call: Callable[[Any], Any], x: Any, calls: int) -> float:
    """µs a call."""
    begun = time.thread_time_ns()
    for _ in range(calls):
        call(x)
    return (time.thread_time_ns() - begun) / calls / 1e3


def sweeps_of(library: str, model: Any, method: str, x: Any, sweeps: int) -> dict[str, list[float]]:
    """µs a call in each sweep, by variant."""
    made, records = provider(), Dropping()
    unsampled = TracerProvider(ALWAYS_OFF, shutdown_on_exit=False)
    hand = by_hand(made.get_tracer("bench"), model, method)
    found: dict[str, list[float]] = {"bare": [], "by hand": [], "traced": [], "unsampled": []}

    def bare(x: Any) -> Any:
        return getattr(model, method)(x)

    calls = max(20, int(ROUND_NS / 1e3 / max(measured(hand, x, 20), 1)))
    chance = random.Random(0)
    for _ in range(sweeps):
        order = list(found)
        chance.shuffle(order)
        for name in order:
            diverted = providers.divert(unsampled if name == "unsampled" else made, lambda: records)
            if name in ("traced", "unsampled"):
                inferspan.instrument(library, model="model", version="7")
            call = hand if name == "by hand" else bare
            measured(call, x, 20)
            found[name].append(measured(call, x, calls))
            inferspan.uninstrument()
            diverted()
    made.shutdown()
    unsampled.shutdown()
    return found


def line(name: str, found: dict[str, list[float]]) -> str:
    # The least disturbed quarter: differences of medians are mostly of what else the machine did.
    quiet = {variant: statistics.quantiles(times, n=4)[0] for variant, times in found.items()}
    bare, hand = quiet["bare"], quiet["by hand"]
    over = {variant: (quiet[variant] - bare) / (hand - bare) for variant in found}
    return (
        f"  {name:<28} {bare:>9,.1f} {hand:>9,.1f} {quiet['traced']:>9,.1f}"
        f" {quiet['traced'] / hand:>9.2f} × {over['traced']:>9.2f} R {over['unsampled']:>9.2f} R"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--sweeps", type=int, default=30)
    parser.add_argument("libraries", nargs="*", default=list(LIBRARIES))
    asked = parser.parse_args()
    for library in asked.libraries:
        print(f"\n{library}: one row, µs a call; the whole call and its overhead to those by hand")
        print(
            f"  {'':<28} {'bare':>9} {'by hand':>9} {'traced':>9} {'whole':>11} {'overhead':>11}"
            f" {'unsampled':>11}"
        )
        for name, (model, method, x) in LIBRARIES[library]().items():
            print(line(name, sweeps_of(library, model, method, x, asked.sweeps)), flush=True)


if __name__ == "__main__":
    main()

"""What `import inferspan` adds to what users of OpenTelemetry and numpy import anyway, and what a
process pays until its first prediction is recorded.

`python benchmarks/bench_import.py [--rounds N]` prints the median ratio of CPU time over N rounds
of fresh processes, in alternating order (wall time on a shared machine measures its neighbours).

  reference              OpenTelemetry's SDK, its OTLP exporter, numpy
  reference, inferspan   the same, and then `import inferspan`: what is promised, for whatever is
                         loaded later than at the import has not become cheaper
  inferspan              `import inferspan` alone, which loads what it needs of the reference
  first use by hand      the reference, a provider that exports, a first span with five attributes
  first use              inferspan, a decorated function, `configure()`, and its first call

Modules are compiled beforehand, as an installer does, in a directory of their own: an interpreter
that may not write bytecode would compile what was edited last in every process.

`--instructions` counts them instead, under valgrind, less those of an interpreter that imports
nothing: the same on a busy machine, where times of one import differ by a half.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile

import callgrind

REFERENCE = (
    "import opentelemetry.sdk.trace, opentelemetry.sdk.trace.export, "
    "opentelemetry.exporter.otlp.proto.http.trace_exporter, numpy"
)
BY_HAND = f"""
{REFERENCE}
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
provider = TracerProvider()
exporter = OTLPSpanExporter(endpoint='http://127.0.0.1:1/v1/traces')
provider.add_span_processor(BatchSpanProcessor(exporter))
trace.set_tracer_provider(provider)
with trace.get_tracer('bench').start_as_current_span('predict m') as span:
    for number in range(5):
        span.set_attribute(f'name.{{number}}', number)
"""
FIRST_USE = """
import inferspan
predict = inferspan.predict(model='m', task='regression')(lambda x: x)
inferspan.configure(endpoint='http://127.0.0.1:1')
predict(0.5)
"""
PROMISED = "reference, inferspan"
VARIANTS = {
    "reference": REFERENCE,
    PROMISED: f"{REFERENCE}\nimport inferspan",
    "inferspan": "import inferspan",
    "first use by hand": BY_HAND,
    "first use": FIRST_USE,
}
RATIO_MAX = 1.15


def seconds(code: str, environment: dict[str, str]) -> float:
    """CPU time of the code in a fresh process, without the interpreter's own start and end.

    Of the importing thread only: numpy's OpenBLAS starts threads that spin for a while where cores
    are idle, and a process's clock gives their time to whatever is imported after numpy.
    """
    timed = (
        "import time; begun = time.thread_time()\n"
        f"{code}\n"
        "print(time.thread_time() - begun, flush=True)\n"
        "import os; os._exit(0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", timed], env=environment, capture_output=True, text=True, check=True
    )
    return float(done.stdout)


def instructions(code: str, environment: dict[str, str]) -> int:
    """What a fresh process executes for the code, its own start included."""
    return callgrind.instructions(["-c", f"{code}\nimport os; os._exit(0)"], environment)


def count(environment: dict[str, str]) -> None:
    """Print instructions of each variant."""
    if callgrind.is_missing():
        return
    start = instructions("", environment)
    counts = {name: instructions(code, environment) - start for name, code in VARIANTS.items()}
    for name, counted in counts.items():
        print(line(name, f"{counted / 1e6:6.0f} M", counted / counts["reference"]))


def line(name: str, cost: str, ratio: float) -> str:
    """A line of the table."""
    promise = f"  (promised: at most {RATIO_MAX})" if name == PROMISED else ""
    return f"{name:21} {cost}  {ratio:.3f} x{promise}"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--instructions", action="store_true", help="count them; no times")
    told = parser.parse_args()
    with tempfile.TemporaryDirectory() as compiled:
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
        environment["PYTHONPYCACHEPREFIX"] = compiled
        for code in VARIANTS.values():
            seconds(code, environment)
        if told.instructions:
            count(environment)
            return
        taken: dict[str, list[float]] = {name: [] for name in VARIANTS}
        for number in range(told.rounds):
            names = list(VARIANTS) if number % 2 else list(reversed(VARIANTS))
            for name in names:
                taken[name].append(seconds(VARIANTS[name], environment))
    for name, times in taken.items():
        ratios = [time / base for time, base in zip(times, taken["reference"], strict=True)]
        cost = f"{statistics.median(times) * 1e3:6.0f} ms"
        print(line(name, cost, statistics.median(ratios)))


if __name__ == "__main__":
    main()

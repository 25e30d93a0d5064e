"""What `import inferspan` costs beside what every user of OpenTelemetry and numpy imports anyway.

`python benchmarks/bench_import.py [--rounds N]` prints the median ratio of CPU time over N rounds
of fresh processes, in alternating order (wall time on a shared machine measures its neighbours);
`first use` adds a first decoration and `configure()`. Modules are compiled beforehand, as an
installer does, in a directory of their own: an interpreter that may not write bytecode would
compile what was edited last in every process.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile

REFERENCE = (
    "import opentelemetry.sdk.trace, opentelemetry.sdk.trace.export, "
    "opentelemetry.exporter.otlp.proto.http.trace_exporter, numpy"
)
VARIANTS = {
    "reference": REFERENCE,
    "import inferspan": "import inferspan",
    "reference + wrapt": f"{REFERENCE}\nimport wrapt",
    "first use": (
        "import inferspan\n"
        "inferspan.predict(model='m', task='regression')(lambda x: x)\n"
        "inferspan.configure(endpoint='http://127.0.0.1:1')"
    ),
}
RATIO_MAX = 1.15


def seconds(code: str, environment: dict[str, str]) -> float:
    """CPU time of the code in a fresh process, without the interpreter's own start and end."""
    timed = (
        "import time; begun = time.process_time()\n"
        f"{code}\n"
        "print(time.process_time() - begun, flush=True)\n"
        "import os; os._exit(0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", timed], env=environment, capture_output=True, text=True, check=True
    )
    return float(done.stdout)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as compiled:
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
        environment["PYTHONPYCACHEPREFIX"] = compiled
        for code in VARIANTS.values():
            seconds(code, environment)
        taken: dict[str, list[float]] = {name: [] for name in VARIANTS}
        for number in range(rounds):
            names = list(VARIANTS) if number % 2 else list(reversed(VARIANTS))
            for name in names:
                taken[name].append(seconds(VARIANTS[name], environment))
    for name, times in taken.items():
        ratios = [time / base for time, base in zip(times, taken["reference"], strict=True)]
        promise = f"  (promised: at most {RATIO_MAX})" if name == "import inferspan" else ""
        print(
            f"{name:18} {statistics.median(times) * 1e3:6.0f} ms  "
            f"{statistics.median(ratios):.2f} x{promise}"
        )


if __name__ == "__main__":
    main()

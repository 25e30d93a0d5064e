"""What a scrape of `/metrics` costs, and that it keeps no writer waiting.

    python benchmarks/bench_scrape.py [--models 50] [--repeat 9]

The store holds a day of minutes of many models, two versions and four classes each, as ingest would
have written its counters. Prints the best of some scrapes, the time and the CPU time, how many
series one shows; what the links of alerts cost of it (`jaeger.ui` set or not, in turn), where
Jaeger takes the names of services as they are and where not; then how long a transaction takes
alone, and while somebody scrapes without a pause.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1] / "tests" / name) for name in ("", "collector")]

from asking import FilledStore, ask  # noqa: E402
from records import START_NS, Label, Prediction  # noqa: E402
from starlette.routing import Route  # noqa: E402

from inferspan_collector.config import Config  # noqa: E402
from inferspan_collector.publish import prometheus  # noqa: E402

CLASSES, MINUTES, BUCKETS = 4, 1440, 8
VERSIONS = ("6", "7")
OPENMETRICS = {"accept": "application/openmetrics-text; version=1.0.0"}
FIRST = START_NS // 60_000_000_000


SERVICES = {"as they are": "service-{}", "changed": "service {}"}
LINKED = Config.model_validate(
    {"jaeger": {"ui": "http://127.0.0.1:16686"}, "publish": {"grafana": "http://127.0.0.1:3000"}}
)


def filled(directory: Path, models: int, service: str = "service-{}") -> FilledStore:
    store = FilledStore(directory)
    store.now = START_NS + (MINUTES - 1) * 60_000_000_000
    for n in range(models):
        for place, version in enumerate(VERSIONS):
            span = 2 * n + place + 1
            store.add(
                Prediction(
                    f"p-{span}", "c0", model=f"model-{n}", version=version, trace=span, span=span,
                    task="multiclass_classification", positive_class=None,
                    service=service.format(n),
                ),
                Label(f"p-{span}", "c0", f"l-{span}", model=f"model-{n}"),
            )  # fmt: skip
    with store.database.cursor() as cursor:
        cursor.execute(
            f"""
            INSERT INTO outcome_cells
            SELECT m, series_id, 'default', '', '', 'c' || p, 'c' || a, (p = a)::TINYINT, 5
            FROM range({FIRST}, {FIRST + MINUTES}) AS minutes(m), series,
                range({CLASSES}) AS predicted(p), range({CLASSES}) AS actual(a);
            INSERT INTO prediction_cells
            SELECT m, series_id, '', '', FALSE, 1_400 + b, 10
            FROM range({FIRST}, {FIRST + MINUTES}) AS minutes(m), series,
                range({BUCKETS}) AS buckets(b)
            """
        )
    return store


def scrape(routes: list[Route]) -> tuple[float, float, int]:
    began, used = time.perf_counter(), time.process_time()
    text = ask(routes, "/metrics", OPENMETRICS).text
    took = time.perf_counter() - began, time.process_time() - used
    return *took, sum(not line.startswith("#") for line in text.splitlines())


def links(store: FilledStore, repeat: int) -> tuple[float, float]:
    """CPU seconds of a scrape without and with the links of alerts, the best of some in turn."""
    both = [prometheus.routes(store, store.telemetry, config) for config in (store.config, LINKED)]
    found: tuple[list[float], list[float]] = ([], [])
    for routes, cpu in zip(both * (repeat + 1), found * (repeat + 1), strict=True):
        cpu.append(scrape(routes)[1])
    return min(found[0][1:]), min(found[1][1:])


def transactions(store: FilledStore, n: int, first: int) -> list[float]:
    """Seconds of each transaction of 500 predictions and labels."""
    found = []
    for number in range(first, first + n):
        rows: list[Prediction | Label] = []
        for i in range(500):
            key, span = f"t-{number}-{i}", 1_000_000 + number * 500 + i
            about = {"model": f"model-{i % 5}", "trace": span, "span": span}
            rows += [Prediction(key, "c1", **about), Label(key, "c1", f"l-{key}", model=None)]  # type: ignore[arg-type]
        began = time.perf_counter()
        store.add(*rows)
        found.append(time.perf_counter() - began)
    return sorted(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, default=50)
    parser.add_argument("--repeat", type=int, default=9)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        store = filled(Path(directory), options.models)
        routes = prometheus.routes(store, store.telemetry, store.config)
        scrape(routes)
        took = [scrape(routes) for _ in range(options.repeat)]
        wall, cpu, series = min(took)
        print(
            f"{options.models} models, {series} series: {wall * 1e3:.0f} ms, CPU {cpu * 1e3:.0f} ms"
        )
        for names, service in SERVICES.items():
            own = filled(Path(directory) / names, options.models, service)
            without, with_links = links(own, options.repeat)
            own.close()
            print(
                f"links of alerts, names {names}: {(with_links - without) * 1e3:.1f} ms of CPU "
                f"beside {without * 1e3:.0f}"
            )
        alone = transactions(store, 20, 0)
        stop = threading.Event()

        def scraping() -> None:
            while not stop.is_set():
                scrape(routes)

        thread = threading.Thread(target=scraping)
        thread.start()
        beside = transactions(store, 20, 20)
        stop.set()
        thread.join()
        print(
            f"a transaction: median {alone[10] * 1e3:.0f} ms alone, {beside[10] * 1e3:.0f} ms "
            f"while scraped without a pause; longest {alone[-1] * 1e3:.0f} and "
            f"{beside[-1] * 1e3:.0f} ms"
        )
        store.close()


if __name__ == "__main__":
    main()

"""The Monitor tab's answers equal a plain count of the records, for any question."""

from __future__ import annotations

import contextlib
import math
import random
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from records import MINUTE_NS, SECOND_NS, START_NS, Label, Prediction
from starlette.applications import Starlette
from stored import Stored, stored

from inferspan_collector.config import Config, load
from inferspan_collector.latency_sketch import RELATIVE_ERROR
from inferspan_collector.publish import jaeger_monitor
from servers.running import free_addresses
from servers.serving import serving

CONFIG = load(
    None,
    {
        "limits": {"query_windows": 500},
        "models": {"risk": {"primary_target": "chargeback"}},
        "jaeger": {"span_kind": "internal"},
    },
)
PATH = jaeger_monitor.PATH
SERVICE = "shop.eu"
"""A name that is no regular expression of itself; `shop-eu` must not match it."""
MINUTES = 90
FIRST = START_NS // MINUTE_NS
BEYOND_ALL_TIME = (
    f'sum(rate(traces_span_metrics_calls_total{{service_name =~ "a"}}[{"9" * 400}m])) '
    "by (service_name)"
)


class Shop:
    """What was stored, as plain records, and the application that answers from the store."""

    def __init__(self, store: Stored, client: httpx.Client) -> None:
        self.client = client
        chance = random.Random(20_261_121)
        self.predictions: list[Prediction] = []
        self.labels: dict[str, Label] = {}
        for number in range(400):
            service = chance.choice([SERVICE, SERVICE, "shop-eu"])
            failed = chance.random() < 0.1
            at = START_NS + chance.randrange(MINUTES * 60) * SECOND_NS
            prediction = Prediction(
                prediction_id=f"order-{number}",
                service=service,
                model=chance.choice(["fraud", "risk"]),
                version=chance.choice(["7", "8", None]),
                operation=chance.choice(["predict", "predict_proba"]),
                predicted=None if failed else chance.choice(["fraud", "legit"]),
                error_type="ValueError" if failed else None,
                event_time=at,
                received=at,
                duration=chance.randrange(1_000_000, 90_000_000),
                span=number + 1,
                trace=number + 1,
            )
            self.predictions.append(prediction)
            if chance.random() < 0.8:
                self.labels[prediction.prediction_id] = Label(
                    prediction_id=prediction.prediction_id,
                    label_id=f"label-{number}",
                    model=prediction.model,
                    actual=chance.choice(["fraud", "legit"]),
                    target="chargeback" if prediction.model == "risk" else "default",
                )
        # A second truth that is not the model's primary one must change nothing.
        other = Label(prediction_id="order-1", label_id="other", actual="legit", target="thumbs")
        store.commit(*self.predictions, *self.labels.values(), other)


@contextlib.contextmanager
def asking(store: Stored) -> Iterator[httpx.Client]:
    application = Starlette(routes=jaeger_monitor.routes(store, store.config, store.telemetry))
    (address,) = free_addresses(1)
    with serving(application, address) as url, httpx.Client(base_url=url) as client:
        yield client


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with stored(tmp_path_factory.mktemp("shop"), CONFIG) as store, asking(store) as client:
        yield Shop(store, client)


def selector(metric: str, service: str, kind: str, more: str = "") -> str:
    name = f"traces_span_metrics_{metric}"
    return f'{name}{{service_name =~ "{service}", {more}span_kind =~ "SPAN_KIND_{kind}"}}'


def promql(measure: str, service: str, kind: str, minutes: int, by_operation: bool) -> str:
    by = "service_name,span_name" if by_operation else "service_name"
    calls = f"sum(rate({selector('calls_total', service, kind)}[{minutes}m])) by ({by})"
    if measure == "calls":
        return calls
    if measure == "errors":
        errors = selector("calls_total", service, kind, 'status_code = "STATUS_CODE_ERROR", ')
        return f"sum(rate({errors}[{minutes}m])) by ({by}) / {calls}"
    bucket = selector("duration_milliseconds_bucket", service, kind)
    return f"histogram_quantile(0.75, sum(rate({bucket}[{minutes}m])) by ({by},le))"


def ask(
    shop: Shop, query: str, start: float, end: float, step: float
) -> dict[str, dict[float, float]]:
    """Series by operation ("" = the whole service), each value by its time."""
    answer = shop.client.post(
        PATH, data={"query": query, "start": str(start), "end": str(end), "step": str(step)}
    )
    assert answer.status_code == 200, answer.text
    data = answer.json()["data"]
    assert data["resultType"] == "matrix"
    return {
        one["metric"].get("span_name", ""): {time: float(text) for time, text in one["values"]}
        for one in data["result"]
    }


def events(shop: Shop, service: str, kind: str) -> list[tuple[str, int, bool, int]]:
    """(row, minute, error, duration) of all that a question about a service and kind counts."""
    found = []
    for row in shop.predictions:
        minute = row.event_time // MINUTE_NS
        if service == row.service and kind == "INTERNAL":
            operation = f"{row.operation} {row.model}"
            found.append((operation, minute, row.error_type is not None, row.duration))
        label = shop.labels.get(row.prediction_id)
        if service != f"{row.service}-quality" or label is None or row.error_type is not None:
            continue
        version = f" v{row.version}" if row.version else ""
        operations = {
            "SERVER": f"evaluate {row.model}",
            "CONSUMER": f"evaluate {row.model}{version}",
            "PRODUCER": f"recall {row.model}[{label.actual}]",
        }
        if kind in operations:
            found.append((operations[kind], minute, row.predicted != label.actual, 0))
    return found


def expected(
    shop: Shop, measure: str, service: str, kind: str, minutes: int, by_operation: bool,
    times: list[float],
) -> dict[str, dict[float, float]]:  # fmt: skip
    """The definition, spelled out: events of the whole minutes before t that the range covers."""
    series: defaultdict[str, dict[float, float]] = defaultdict(dict)
    first, last = int(times[0] // 60) - minutes, int(times[-1] // 60)
    rows = [
        (operation if by_operation else "", minute, error, duration)
        for operation, minute, error, duration in events(shop, service, kind)
        if first <= minute < last
    ]
    for operation in {row[0] for row in rows}:
        for time in times:
            end = int(time // 60)
            inside = [r for r in rows if r[0] == operation and end - minutes <= r[1] < end]
            if measure == "calls":
                series[operation][time] = len(inside) / (60 * minutes)
            elif inside and measure == "errors":
                series[operation][time] = sum(r[2] for r in inside) / len(inside)
            elif inside:
                durations = sorted(r[3] for r in inside)
                series[operation][time] = durations[math.floor(0.75 * (len(durations) - 1))] / 1e6
    return dict(series)


@settings(max_examples=150)
@given(
    measure=st.sampled_from(["calls", "errors"]),
    service=st.sampled_from([SERVICE, "shop-eu", "shop_eu-quality", "shop.eu-quality"]),
    kind=st.sampled_from(["SERVER", "INTERNAL", "CONSUMER", "PRODUCER", "CLIENT"]),
    minutes=st.integers(1, 30),
    by_operation=st.booleans(),
    start=st.integers(-1800, MINUTES * 60),
    points=st.integers(1, 40),
    step=st.sampled_from([5, 60, 61, 600]),
)
def test_rates_equal_a_plain_count(
    shop: Shop, measure: str, service: str, kind: str, minutes: int, by_operation: bool,
    start: int, points: int, step: int,
) -> None:  # fmt: skip
    times = [START_NS / 1e9 + start + number * step for number in range(points)]
    query = promql(measure, service, kind, minutes, by_operation)

    answered = ask(shop, query, times[0], times[-1], step)

    original = service.replace("shop_eu", SERVICE)
    want = expected(shop, measure, original, kind, minutes, by_operation, times)
    assert answered == {name: pytest.approx(values) for name, values in want.items()}


@settings(max_examples=50)
@given(
    minutes=st.integers(1, 30),
    by_operation=st.booleans(),
    start=st.integers(-1800, MINUTES * 60),
    points=st.integers(1, 40),
)
def test_latencies_are_within_the_sketchs_error(
    shop: Shop, minutes: int, by_operation: bool, start: int, points: int
) -> None:
    times = [START_NS / 1e9 + start + number * 60 for number in range(points)]
    query = promql("latency", SERVICE, "INTERNAL", minutes, by_operation)

    answered = ask(shop, query, times[0], times[-1], 60)

    want = expected(shop, "latency", SERVICE, "INTERNAL", minutes, by_operation, times)
    assert answered == {
        name: pytest.approx(values, rel=RELATIVE_ERROR) for name, values in want.items()
    }


def whole(shop: Shop, service: str, measure: str = "calls", kind: str = "INTERNAL") -> Any:
    end = START_NS / 1e9 + MINUTES * 60 + 60
    return ask(shop, promql(measure, service, kind, 120, False), end, end, 60)


def test_a_service_is_a_name_and_no_pattern(shop: Shop) -> None:
    assert whole(shop, ".*") == {}
    assert whole(shop, "shop.e.") == {}
    assert whole(shop, "shop(eu") == {}
    n = {
        name: sum(row.service == name for row in shop.predictions) for name in (SERVICE, "shop-eu")
    }
    for name, count in n.items():
        (series,) = whole(shop, name).values()
        assert list(series.values()) == [pytest.approx(count / 7200)]


def test_several_services_are_answered_each_under_the_name_that_was_asked(shop: Shop) -> None:
    end = START_NS / 1e9 + MINUTES * 60 + 60
    query = promql("calls", r"shop_eu|shop-eu|shop\\.eu|nobody", "INTERNAL", 120, False)
    answer = shop.client.post(PATH, data={"query": query, "start": end, "end": end, "step": 60})

    names = [one["metric"]["service_name"] for one in answer.json()["data"]["result"]]
    assert names == ["shop_eu", "shop-eu", SERVICE]


def test_an_evaluation_takes_no_time(shop: Shop) -> None:
    assert whole(shop, "shop.eu-quality", "latency", "SERVER") == {}


def test_get_asks_the_same(shop: Shop) -> None:
    end = START_NS / 1e9 + MINUTES * 60
    form = {"query": promql("calls", SERVICE, "INTERNAL", 10, True), "start": end, "end": end}
    form["step"] = 60
    assert shop.client.get(PATH, params=form).json() == shop.client.post(PATH, data=form).json()


def test_times_may_be_rfc_3339_and_steps_durations(shop: Shop) -> None:
    end = FIRST * 60 + 3600
    query = promql("calls", SERVICE, "INTERNAL", 10, True)
    in_seconds = shop.client.post(
        PATH, data={"query": query, "start": end - 60, "end": end, "step": 30}
    )
    in_words = shop.client.post(
        PATH,
        data={
            "query": query,
            "start": "2026-11-18T14:05:00+02:00",
            "end": "2026-11-18T12:06:00Z",
            "step": "30s",
        },
    )
    assert in_seconds.json()["data"]["result"] != []
    assert (end, in_words.json()) == (1_795_003_560, in_seconds.json())


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"query": "up"}, "only the three"),
        ({"query": ""}, "only the three"),
        ({"start": ""}, "start = ''"),
        ({"start": "yesterday"}, "start = 'yesterday'"),
        ({"start": "2026-11-18T10:00:00"}, "start = "),
        ({"start": "nan"}, "start = "),
        ({"start": "-1"}, "start = "),
        ({"end": "1e300"}, "end = "),
        ({"end": "1"}, "end is before start"),
        ({"step": "0"}, "step = '0'"),
        ({"step": "inf"}, "step = 'inf'"),
        ({"step": "1e306"}, "step = '1e306'"),
        ({"step": "1e30"}, "step = '1e30'"),
        ({"step": "often"}, "no duration"),
        ({"query": BEYOND_ALL_TIME}, "no duration"),
        ({"step": "1"}, "limits.query_windows = 500"),
        ({"start": "0", "step": "86400000"}, "minutes are asked for"),
        ({"query": "x" * jaeger_monitor.BODY_BYTES_MAX}, "the body is over"),
    ],
)
def test_what_cannot_be_answered_is_an_error_as_prometheus_writes_it(
    shop: Shop, change: dict[str, str], says: str
) -> None:
    form = {
        "query": promql("calls", SERVICE, "INTERNAL", 10, True),
        "start": str(START_NS // SECOND_NS),
        "end": str(START_NS // SECOND_NS + 3600),
        "step": "60",
    }
    answer = shop.client.post(PATH, data=form | change)

    assert answer.status_code == 400
    assert (answer.json()["status"], answer.json()["errorType"]) == ("error", "bad_data")
    assert says in answer.json()["error"]


def test_an_empty_store_answers_with_nothing(tmp_path: Path) -> None:
    with stored(tmp_path, Config()) as store, asking(store) as client:
        form = {"query": promql("errors", SERVICE, "SERVER", 10, True), "start": 0, "end": 60}
        answer = client.post(PATH, data=form | {"step": 60})
    assert answer.json() == {"status": "success", "data": {"resultType": "matrix", "result": []}}


def test_a_service_shows_its_busiest_rows(tmp_path: Path) -> None:
    quiet = {"model-007", "model-011"}
    models = [f"model-{number:03}" for number in range(jaeger_monitor.SERIES_MAX + len(quiet))]
    rows = [
        Prediction(
            prediction_id=f"{model}-{number}", model=model, span=1 + 2 * position + number,
            trace=1 + 2 * position + number,
        )
        for position, model in enumerate(models)
        for number in range(1 if model in quiet else 2)
    ]  # fmt: skip
    end = START_NS // SECOND_NS + 60
    with stored(tmp_path, Config()) as store, asking(store) as client:
        store.commit(*rows)
        form = {"query": promql("calls", "fraud-api", "SERVER", 10, True), "start": end, "end": end}
        answer = client.post(PATH, data=form | {"step": 60})
    shown = [one["metric"]["span_name"] for one in answer.json()["data"]["result"]]
    assert sorted(shown) == [f"predict {model}" for model in models if model not in quiet]


def rows_shown(store: Stored, service: str, kind: str) -> dict[str, tuple[float, float]]:
    """Per row of a service: calls and errors in the hour after `START_NS`."""
    end = START_NS // SECOND_NS + 3600
    with asking(store) as client:

        def values(measure: str) -> dict[str, float]:
            form = {"query": promql(measure, service, kind, 60, True), "start": end, "end": end}
            answer = client.post(PATH, data=form | {"step": 60}).json()["data"]["result"]
            return {one["metric"]["span_name"]: float(one["values"][0][1]) for one in answer}

        calls, errors = values("calls"), values("errors")
    return {row: (round(calls[row] * 3600), errors[row]) for row in calls}


def test_models_and_versions_that_look_alike_have_rows_of_their_own(tmp_path: Path) -> None:
    judged = [("a b", "7", "fraud"), ("a b", "v7", "legit"), ("a_b", "7", "fraud")]
    with stored(tmp_path, Config()) as store:
        for number, (model, version, actual) in enumerate(judged, start=1):
            key = str(number)
            store.commit(
                Prediction(key, model=model, version=version, span=number, trace=number),
                Label(prediction_id=key, model=model, actual=actual, label_id=key),
            )
        models = rows_shown(store, "fraud-api-quality", "SERVER")
        versions = rows_shown(store, "fraud-api-quality", "CONSUMER")

    assert models.pop("evaluate a_b") == (1, 0.0)
    ((name, told_apart),) = models.items()
    assert (name.rpartition("-")[0], told_apart) == ("evaluate a_b", (2, 0.5))
    assert versions.pop("evaluate a b v7") == (1, 0.0)
    assert versions.pop("evaluate a_b v7") == (1, 0.0)
    ((name, told_apart),) = versions.items()
    assert (name.rpartition("-")[0], told_apart) == ("evaluate a b v7", (1, 1.0))


def test_predictions_without_a_service_are_shown(tmp_path: Path) -> None:
    with stored(tmp_path, Config()) as store:
        store.commit(Prediction(service=None), Label(actual="legit"))
        assert rows_shown(store, "unknown_service", "SERVER") == {"predict fraud": (1, 0.0)}
        assert rows_shown(store, "unknown_service-quality", "SERVER") == {
            "evaluate fraud": (1, 1.0)
        }

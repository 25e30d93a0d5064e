"""The Prometheus behind us: other services keep their Monitor, and its trouble stays its own."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import httpx
import pytest
from records import MINUTE_NS, START_NS, Label, Prediction
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route
from stored import stored

from inferspan_collector.config import ConfigError, load
from inferspan_collector.publish import jaeger_monitor, monitor_upstream
from inferspan_collector.telemetry import MONITOR_UPSTREAM, Telemetry
from servers.running import free_addresses
from servers.serving import serving

END = START_NS // 1_000_000_000 + 600
SERVER = 'span_kind =~ "SPAN_KIND_SERVER"'
OURS = {"fraud-api": 100 / 1200, "fraud-api-quality": 40 / 1200}
"""Calls per second in 20 minutes, of what is stored."""


class Behind:
    """What stands behind us: what it was asked, and what it answers."""

    def __init__(self) -> None:
        self.url = ""
        self.asked: list[dict[str, str]] = []
        self.answer: Response = matrix()

    async def __call__(self, request: Request) -> Response:
        fields = dict(parse_qsl((await request.body()).decode()))
        self.asked.append(fields | {"token": request.headers.get("authorization", "")})
        return self.answer


def matrix(*series: tuple[str, str | None, float | str]) -> Response:
    """Series of one point each: service, operation, value."""
    result = [
        {
            "metric": {"service_name": service} | ({"span_name": row} if row else {}),
            "values": [[END, str(value)]],
        }
        for service, row, value in series
    ]
    return JSONResponse({"status": "success", "data": {"resultType": "matrix", "result": result}})


@pytest.fixture
def behind() -> Iterator[Behind]:
    standing = Behind()
    (address,) = free_addresses(1)
    route = Route("/prefix/api/v1/query_range", standing.__call__, methods=["POST"])
    with serving(Starlette(routes=[route]), address) as url:
        standing.url = f"{url}/prefix"
        yield standing


class Asking:
    """Jaeger's side."""

    def __init__(self, client: httpx.Client, telemetry: Telemetry) -> None:
        self.client, self.telemetry = client, telemetry

    def post(self, services: str, by: str = "service_name") -> httpx.Response:
        query = (
            f'sum(rate(traces_span_metrics_calls_total{{service_name =~ "{services}", {SERVER}}}'
            f"[20m])) by ({by})"
        )
        form: dict[str, Any] = {"query": query, "start": END, "end": END, "step": 60}
        return self.client.post(jaeger_monitor.PATH, data=form)

    def rates(self, services: str, by: str = "service_name") -> dict[tuple[str, str], float]:
        """(service, operation) → the value of its one point."""
        answer = self.post(services, by)
        assert answer.status_code == 200, answer.text
        return {
            (one["metric"]["service_name"], one["metric"].get("span_name", "")): float(value)
            for one in answer.json()["data"]["result"]
            for ((_, value),) in (one["values"],)
        }

    def counted(self) -> dict[tuple[str, ...], int]:
        return dict(self.telemetry.snapshot()[MONITOR_UPSTREAM])


@contextlib.contextmanager
def asking(directory: Path, **jaeger: str) -> Iterator[Asking]:
    """Our answers over a store with 100 predictions of fraud-api, 40 of them labelled."""
    config = load(None, {"jaeger": jaeger})
    rows = [
        Prediction(
            prediction_id=f"order-{number}",
            service="fraud-api",
            predicted="legit",
            event_time=START_NS + MINUTE_NS,
            trace=number + 1,
            span=number + 1,
        )
        for number in range(100)
    ]
    truths = [
        Label(prediction_id=row.prediction_id, label_id=row.prediction_id, actual="legit")
        for row in rows[:40]
    ]
    (address,) = free_addresses(1)
    with stored(directory, config) as store:
        store.commit(*rows, *truths)
        application = Starlette(routes=jaeger_monitor.routes(store, config, store.telemetry))
        with serving(application, address) as url, httpx.Client(base_url=url) as client:
            yield Asking(client, store.telemetry)


def test_a_service_that_is_not_ours_is_the_upstreams(tmp_path: Path, behind: Behind) -> None:
    behind.answer = matrix(("checkout", None, 3.5))
    with asking(tmp_path, monitor_upstream=behind.url) as jaeger:
        assert jaeger.rates("checkout") == {("checkout", ""): 3.5}
        assert jaeger.counted() == {("ok",): 1}
    (asked,) = behind.asked
    assert asked["query"] == (
        'sum(rate(traces_span_metrics_calls_total{service_name=~"checkout", '
        'span_kind=~"SPAN_KIND_SERVER"}[1200000ms])) by (service_name)'
    )
    assert (asked["start"], asked["end"], asked["step"]) == (f"{END}.0", f"{END}.0", "60.0")


def test_the_twin_of_a_service_is_ours_alone(tmp_path: Path, behind: Behind) -> None:
    with asking(tmp_path, monitor_upstream=behind.url) as jaeger:
        answered = jaeger.rates("fraud-api-quality")
        assert answered == {("fraud-api-quality", ""): pytest.approx(OURS["fraud-api-quality"])}
    assert behind.asked == []


def test_a_service_with_a_model_keeps_its_total_and_gets_rows(
    tmp_path: Path, behind: Behind
) -> None:
    total = ("fraud-api", "")
    with asking(tmp_path, monitor_upstream=behind.url) as jaeger:
        behind.answer = matrix(("fraud-api", None, 9.0))
        assert jaeger.rates("fraud-api") == {total: 9.0}
        # Where its Collector still counts our spans, the row is ours: it knows corrections.
        behind.answer = matrix(
            ("fraud-api", "POST /score", 9.0), ("fraud-api", "predict fraud", 8.0)
        )
        assert jaeger.rates("fraud-api", "service_name,span_name") == {
            ("fraud-api", "POST /score"): 9.0,
            ("fraud-api", "predict fraud"): pytest.approx(OURS["fraud-api"]),
        }
        behind.answer = matrix()
        assert jaeger.rates("fraud-api") == {total: pytest.approx(OURS["fraud-api"])}


def test_names_are_compared_literally_there_too(tmp_path: Path, behind: Behind) -> None:
    with asking(tmp_path, monitor_upstream=behind.url) as jaeger:
        jaeger.rates("shop.eu|(a|fraud-api-quality")
    (asked,) = behind.asked
    assert r'service_name=~"shop\\.eu|\\(a"' in asked["query"]


def test_what_was_not_asked_for_is_not_shown(tmp_path: Path, behind: Behind) -> None:
    behind.answer = matrix(("other", None, 1.0), ("checkout", None, "NaN"))
    with asking(tmp_path, monitor_upstream=behind.url) as jaeger:
        assert jaeger.rates("checkout") == {}


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (JSONResponse({"status": "error", "error": "query timed out"}, 422), "422 query timed out"),
        (Response("<html>", 200), "did not answer"),
        (JSONResponse([1]), "no matrix"),
        (JSONResponse({"data": {"resultType": "vector", "result": []}}), "a vector came"),
        (JSONResponse({"data": {"resultType": "matrix", "result": [{"metric": 1}]}}), "no matrix"),
        (RedirectResponse("http://127.0.0.1:1/elsewhere"), "307"),
        (Response("no such path", 404), "404 Not Found"),
    ],
)
def test_its_trouble_is_told_where_only_it_was_asked_and_counted(
    tmp_path: Path, behind: Behind, answer: Response, says: str
) -> None:
    behind.answer = answer
    with asking(tmp_path, monitor_upstream=behind.url) as jaeger:
        refused = jaeger.post("checkout")
        assert (refused.status_code, refused.json()["errorType"]) == (503, "unavailable")
        assert says in refused.json()["error"]
        assert "jaeger.monitor_upstream" in refused.json()["error"]
        # What is ours is there all the same.
        assert list(jaeger.rates("checkout|fraud-api")) == [("fraud-api", "")]
        assert jaeger.counted() == {("error",): 2}


def test_nobody_there(tmp_path: Path) -> None:
    with asking(tmp_path, monitor_upstream="http://127.0.0.1:1") as jaeger:
        assert jaeger.post("checkout").status_code == 503
        assert list(jaeger.rates("fraud-api")) == [("fraud-api", "")]


def test_an_answer_without_end_is_cut(
    tmp_path: Path, behind: Behind, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(monitor_upstream, "ANSWER_BYTES_MAX", 100)
    behind.answer = matrix(*(("checkout", f"row {number}", 1.0) for number in range(50)))
    with asking(tmp_path, monitor_upstream=behind.url) as jaeger:
        assert "more than 100 bytes" in jaeger.post("checkout").json()["error"]


def test_a_token_is_read_anew_at_every_question(tmp_path: Path, behind: Behind) -> None:
    (token := tmp_path / "token").write_text("first\n")
    settings = {"monitor_upstream": behind.url, "monitor_upstream_token_file": str(token)}
    with asking(tmp_path / "store", **settings) as jaeger:
        jaeger.rates("checkout")
        token.write_text("second\n")
        jaeger.rates("checkout")
        token.unlink()
        gone = jaeger.post("checkout")
        assert gone.status_code == 503
        assert f"token file {token} cannot be read" in gone.json()["error"]
        assert "jaeger.monitor_upstream_token_file: one line" in gone.json()["error"]
    assert [asked["token"] for asked in behind.asked] == ["Bearer first", "Bearer second"]


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"monitor_upstream": "prometheus:9090"}, "is no http:// or https:// URL"),
        ({"monitor_upstream_token_file": "/dev/null"}, "without monitor_upstream"),
        (
            {"monitor_upstream": "http://p:9090", "monitor_upstream_token_file": "nowhere"},
            "'nowhere' cannot be read",
        ),
    ],
)
def test_a_mistake_stops_the_start(settings: dict[str, str], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        load(None, {"jaeger": settings})

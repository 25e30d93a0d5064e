"""Whether it is alive, able to answer, and what it answers at all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from asking import FilledStore, ask

from inferspan_collector.publish import api


@pytest.fixture
def store(tmp_path: Path) -> Iterator[FilledStore]:
    filled = FilledStore(tmp_path)
    yield filled
    filled.close()


def get(store: FilledStore, url: str) -> httpx.Response:
    return ask(api.routes(store, store.config), url)


def test_a_collector_that_can_answer_is_alive_and_ready(store: FilledStore) -> None:
    assert get(store, "/healthz").json() == {"status": "alive"}
    assert get(store, "/readyz").json() == {"status": "ready"}


def not_ready(store: FilledStore) -> str:
    """What it says; it is alive all the same."""
    assert get(store, "/healthz").status_code == 200
    response = get(store, "/readyz")
    assert response.status_code == 503
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["retry-after"] == "1"
    return str(response.json()["detail"])


def test_without_its_writer_it_is_not_ready(store: FilledStore) -> None:
    store.alive = False
    assert "the writer does not run" in not_ready(store)


def test_without_its_store_it_is_not_ready(store: FilledStore) -> None:
    store.close()
    assert "the store cannot be read" in not_ready(store)


def test_a_store_that_has_closed_itself_needs_a_new_process(store: FilledStore) -> None:
    store.failure.set_result("database has been invalidated")
    response = get(store, "/healthz")
    assert response.status_code == 503
    assert response.headers["retry-after"] == "5"
    assert "database has been invalidated" in response.json()["detail"]


def test_a_collector_that_stops_in_order_is_alive(store: FilledStore) -> None:
    store.failure.cancel()
    assert get(store, "/healthz").status_code == 200


def test_the_root_names_every_endpoint_of_the_api(store: FilledStore) -> None:
    response = get(store, "/")
    assert response.headers["content-type"].startswith("text/plain")
    for route in api.routes(store, store.config):
        assert route.path.replace(":path", "") in response.text

"""Headers of one server never reach another."""

from __future__ import annotations

import pytest

from inferspan import providers, settings
from sdk.receiving import Receiver, receiver

SECRET = {"OTEL_EXPORTER_OTLP_HEADERS": "Authorization=Bearer%20secret,X-Team=fraud"}


def headers_of_a_label(server: Receiver, **variables: str) -> dict[str, str]:
    """The headers of the request that a label is sent in, where these variables are set."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"INFERSPAN_ENDPOINT": server.url, **variables}.items():
            patch.setenv(name, value)
        previous = settings.install(None)
        try:
            exporter = providers.label_exporter()
            assert exporter is not None
            exporter.export(())
            exporter.shutdown()
        finally:
            settings.install(previous)
    return server.headers.pop()


def test_headers_go_where_otel_points() -> None:
    with receiver() as server:
        alone = headers_of_a_label(server, **SECRET)
        same = headers_of_a_label(server, **SECRET, OTEL_EXPORTER_OTLP_ENDPOINT=server.url)
    assert alone["authorization"] == same["authorization"] == "Bearer secret"
    assert alone["x-team"] == "fraud"


def test_headers_for_another_server_stay_there(caplog: pytest.LogCaptureFixture) -> None:
    with receiver() as server:
        elsewhere = {"OTEL_EXPORTER_OTLP_ENDPOINT": "https://vendor.example"}
        found = headers_of_a_label(server, **SECRET, **elsewhere)
        traces = {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "https://vendor.example/v1/traces"}
        of_traces = headers_of_a_label(server, **SECRET, **traces)
    for headers in (found, of_traces):
        assert not {"authorization", "x-team"} & set(headers)
        assert headers["content-type"] == "application/x-protobuf"
    assert "set INFERSPAN_HEADERS where it needs headers" in caplog.text
    assert "secret" not in caplog.text


def test_own_headers_go_to_the_own_server() -> None:
    with receiver() as server:
        found = headers_of_a_label(
            server,
            **SECRET,
            OTEL_EXPORTER_OTLP_ENDPOINT="https://vendor.example",
            INFERSPAN_HEADERS="Authorization=Bearer%20ours",
        )
    assert found["authorization"] == "Bearer ours"
    assert "x-team" not in found


def test_a_credential_provider_is_for_the_server_that_otel_names() -> None:
    variables = {
        "OTEL_PYTHON_EXPORTER_OTLP_HTTP_CREDENTIAL_PROVIDER": "no_such_provider",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "https://vendor.example",
    }
    with receiver() as server:
        # It is not even loaded, which would raise.
        assert headers_of_a_label(server, **variables)

"""TLS on every port, certificates of clients, and what stops the start."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import grpc
import httpx
import pytest
from collector_process import inferspan
from guarded_collector import AUTHORITY, CLIENT, SERVER, TLS, bearer, settings, trusting
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import (
    OTLPSpanExporter as GrpcExporter,
)
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter

from inferspan import semconv
from inferspan_collector.config import ConfigError, load
from inferspan_collector.server import Collector, running_collector
from inferspan_collector.telemetry import ACCEPTED
from inferspan_collector.testing import prediction_span, traces_request

EVERYWHERE = {"api": "0.0.0.0:0", "otlp_http": "off", "otlp_grpc": "off"}


@pytest.fixture(scope="module")
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collector]:
    data = tmp_path_factory.mktemp("tls") / "data"
    with running_collector(settings(data, tls=SERVER)) as running:
        yield running


@pytest.fixture(scope="module")
def mutual(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collector]:
    """It wants a certificate of its clients; and knows no tokens."""
    data = tmp_path_factory.mktemp("mutual") / "data"
    tls = SERVER | {"client_ca": str(AUTHORITY)}
    with running_collector(settings(data, tokens=False, tls=tls)) as running:
        yield running


@pytest.mark.parametrize("port", ["api", "otlp_http"])
def test_http_ports_speak_tls_and_nothing_else(collector: Collector, port: str) -> None:
    url = getattr(collector.addresses, port)
    assert url.startswith("https://127.0.0.1:")
    with httpx.Client(verify=trusting(), headers=bearer("operator")) as client:
        assert client.get(f"{url}/api/v1/models").status_code == (200 if port == "api" else 404)
    with pytest.raises(httpx.RemoteProtocolError):
        httpx.get(url.replace("https", "http"))
    with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
        httpx.get(url)


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_tls_is_1_2_at_least(collector: Collector) -> None:
    old = trusting()
    old.minimum_version = ssl.TLSVersion.TLSv1
    old.maximum_version = ssl.TLSVersion.TLSv1_1
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.raises(httpx.ConnectError), httpx.Client(verify=old) as client:
        client.get(f"{collector.addresses.api}/healthz")


@pytest.mark.parametrize("transport", ["otlp_http", "otlp_grpc"])
def test_the_stock_exporters_speak_it(
    collector: Collector, transport: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        # Where a machine sets one, requests prefers it to what its caller says.
        monkeypatch.delenv(name, raising=False)
    address = getattr(collector.addresses, transport)
    exporter: SpanExporter
    if transport == "otlp_http":
        exporter = OTLPSpanExporter(
            f"{address}/v1/traces", certificate_file=str(AUTHORITY), headers=bearer("gateway")
        )
    else:
        credentials = grpc.ssl_channel_credentials(AUTHORITY.read_bytes())
        exporter = GrpcExporter(
            address, credentials=credentials, headers=tuple(bearer("gateway").items())
        )
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    attributes = {semconv.OPERATION_NAME: "predict", semconv.MODEL_NAME: "fraud"}
    own = {semconv.PREDICTION_ID: f"over-{transport}"}
    tracer = provider.get_tracer(semconv.SCOPE_PREDICTIONS)
    tracer.start_span("predict fraud", attributes=attributes | own).end()
    provider.shutdown()
    assert collector.telemetry.get(ACCEPTED, transport=transport) == 1


def served(collector: Collector, port: str) -> bytes:
    """The certificate that a listener shows, whoever has signed it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    host, _, number = str(getattr(collector.addresses, port)).rpartition(":")
    address = host.removeprefix("https://"), int(number)
    with socket.create_connection(address, 20) as plain, context.wrap_socket(plain) as connection:
        return connection.getpeercert(binary_form=True) or b""


def first_of(pem: str) -> bytes:
    begin, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
    return ssl.PEM_cert_to_DER_cert(pem[pem.index(begin) : pem.index(end) + len(end)] + "\n")


@pytest.mark.parametrize("port", ["api", "otlp_http", "otlp_grpc"])
def test_a_renewed_certificate_is_shown_without_a_restart(
    tmp_path: Path, port: str, caplog: pytest.LogCaptureFixture
) -> None:
    old = [Path(SERVER[name]).read_text(encoding="utf-8") for name in ("certificate", "key")]
    new = [Path(name).read_text(encoding="utf-8") for name in CLIENT]
    certificate, key = tmp_path / "server.pem", tmp_path / "server.key"

    def write(pem: str, private: str) -> None:
        for path, text in ((certificate, pem), (key, private)):
            beside = path.with_suffix(".new")
            beside.write_text(text, encoding="utf-8")
            beside.replace(path)

    write(*old)
    tls = {"certificate": str(certificate), "key": str(key)}
    with running_collector(settings(tmp_path / "data", tls=tls)) as collector:
        assert served(collector, port) == first_of(old[0])
        write(new[0], old[1])
        # A key of another certificate, as in the middle of a renewal.
        assert served(collector, port) == first_of(old[0])
        assert served(collector, port) == first_of(old[0])
        assert caplog.text.count("that were read before stay in use") == 1
        write(*new)
        assert served(collector, port) == first_of(new[0])
        certificate.unlink()
        assert served(collector, port) == first_of(new[0])


def test_authorities_of_clients_are_renewed_too(tmp_path: Path) -> None:
    authorities = tmp_path / "authorities.pem"
    # Some certificate that has not signed the client's.
    authorities.write_bytes(Path(CLIENT[0]).read_bytes())
    tls = SERVER | {"client_ca": str(authorities)}
    with running_collector(settings(tmp_path / "data", tokens=False, tls=tls)) as collector:
        url = f"{collector.addresses.api}/api/v1/models"
        with httpx.Client(verify=trusting(client=True)) as client:
            with pytest.raises(httpx.TransportError):
                client.get(url)
            authorities.write_bytes(AUTHORITY.read_bytes())
            assert client.get(url).status_code == 200


def test_only_clients_with_a_certificate_get_in(mutual: Collector) -> None:
    url = f"{mutual.addresses.api}/api/v1/models"
    with httpx.Client(verify=trusting(client=True)) as client:
        assert client.get(url).status_code == 200
    with httpx.Client(verify=trusting()) as client, pytest.raises(httpx.TransportError):
        client.get(url)


def test_grpc_clients_need_a_certificate_too(mutual: Collector) -> None:
    request = traces_request([prediction_span("a")])
    certificate, key = (Path(path).read_bytes() for path in CLIENT)
    authority = AUTHORITY.read_bytes()
    address = str(mutual.addresses.otlp_grpc)
    known = grpc.ssl_channel_credentials(authority, key, certificate)
    with grpc.secure_channel(address, known) as channel:
        TraceServiceStub(channel).Export(request, timeout=20)
    unknown = grpc.ssl_channel_credentials(authority)
    with (
        grpc.secure_channel(address, unknown) as channel,
        pytest.raises(grpc.RpcError) as refused,
    ):
        TraceServiceStub(channel).Export(request, timeout=20)
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE


def test_commands_trust_what_the_environment_says(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    push = ("labels", "push", "-", "--api", str(collector.addresses.api), "--json")
    line = '{"prediction_id": "a", "model": "fraud", "class": "fraud"}\n'
    monkeypatch.setenv("INFERSPAN_TOKEN", "labeller-token")
    refused = inferspan(*push, stdin=line)
    assert refused.returncode == 5
    assert "SSL_CERT_FILE" in refused.stderr
    monkeypatch.setenv("SSL_CERT_FILE", str(AUTHORITY))
    assert inferspan(*push, stdin=line).returncode == 0


# --- the start ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tls", "said"),
    [
        ({"certificate": SERVER["certificate"]}, "certificate is given without key"),
        ({"key": SERVER["key"]}, "key is given without certificate"),
        ({"client_ca": str(AUTHORITY)}, "client_ca is given without certificate and key"),
        (SERVER | {"key": "/no/such/file"}, "key = /no/such/file cannot be read: No such file"),
        (SERVER | {"key": str(TLS / "client.key")}, "are no pair of PEM files"),
        (SERVER | {"key": str(AUTHORITY)}, "are no pair of PEM files"),
        (SERVER | {"key": str(TLS / "passphrase.key")}, "the key has a passphrase"),
        (SERVER | {"client_ca": SERVER["key"]}, "holds no certificate"),
    ],
)
def test_certificates_that_cannot_be_used_stop_the_start(tls: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        load(None, {"receivers": {"tls": tls}})
    assert "receivers.tls" in str(refusal.value)
    assert said in str(refusal.value)


TOKENS = {"tokens": {"a": {"hash": "sha256:" + "0" * 64, "rights": ["read"]}}}
CLIENTS = SERVER | {"client_ca": str(AUTHORITY)}


@pytest.mark.parametrize(
    ("auth", "tls", "told", "missing"),
    [
        ({}, {}, False, "auth.tokens and receivers.tls"),
        (TOKENS, {}, False, "without receivers.tls"),
        ({}, SERVER, False, "without auth.tokens"),
        (TOKENS, SERVER, False, None),
        ({}, CLIENTS, False, None),
        ({}, {}, True, None),
    ],
)
def test_other_machines_may_reach_it_only_with_both_or_where_told_in_words(
    auth: dict[str, object], tls: dict[str, str], told: bool, missing: str | None
) -> None:
    receivers = EVERYWHERE | {"tls": tls, "allow_public": told}
    if missing is None:
        load(None, {"receivers": receivers, "auth": auth})
        return
    with pytest.raises(ConfigError) as refusal:
        load(None, {"receivers": receivers, "auth": auth})
    said = str(refusal.value)
    assert said.startswith("receivers.api = 0.0.0.0:0 is reachable from other machines")
    assert missing in said
    assert "receivers.allow_public: true" in said


@pytest.mark.parametrize(
    ("token", "said"),
    [
        ({"hash": "a-secret-token", "rights": ["read"]}, "`sha256:` and 64 hexadecimal digits"),
        ({"hash": "sha256:" + "A" * 64, "rights": ["read"]}, "in lower case"),
        ({"hash": "sha256:" + "0" * 64, "rights": []}, "rights"),
        (
            {"hash": "sha256:" + "0" * 64, "rights": ["write"]},
            "'ingest', 'labels', 'read' or 'admin'",
        ),
        ({"hash": "sha256:" + "0" * 64, "rights": ["read"], "secret": "abc"}, "no such key"),
    ],
)
def test_a_wrong_token_stops_the_start_and_is_not_repeated(
    token: dict[str, object], said: str
) -> None:
    with pytest.raises(ConfigError) as refusal:
        load(None, {"auth": {"tokens": {"a": token}}})
    assert "auth.tokens.a" in str(refusal.value)
    assert said in str(refusal.value)
    assert "secret-token" not in str(refusal.value)
    assert "abc" not in str(refusal.value)


def test_two_tokens_have_two_hashes() -> None:
    token = {"hash": "sha256:" + "0" * 64, "rights": ["read"]}
    with pytest.raises(ConfigError, match=r"tokens\.a and tokens\.b have the same hash"):
        load(None, {"auth": {"tokens": {"a": token, "b": token}}})

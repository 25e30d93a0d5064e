"""The SDK's exporter chain, as this environment sets it: run it where the model runs."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator, Mapping
from typing import Final
from urllib.parse import unquote, urlsplit

from inferspan_collector.cli.doctor.asking import ask
from inferspan_collector.cli.doctor.finding import Finding, right, unknown, wrong

PART: Final = "sender"
DEFAULT: Final = "http://127.0.0.1:4318"
PATH: Final = "/v1/traces"
_NOT_SET: Final = "OTEL_EXPORTER_OTLP_ENDPOINT (not set)"
_IN_CODE: Final = (
    "start a collector with `inferspan serve`; where configure(endpoint=…) says another, nothing "
    "is wrong: examine it with INFERSPAN_ENDPOINT=…"
)
_GRPC_PORT, _HTTP_PORT = 4317, 4318
_EXPORT: Final = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
_ALWAYS: Final = ("", "always_on", "parentbased_always_on")
_PACKAGES: Final = ("inferspan", "opentelemetry-sdk", "opentelemetry-exporter-otlp")
_FIXES: Final = {
    401: "set OTEL_EXPORTER_OTLP_HEADERS=Authorization=Bearer%20TOKEN; the SDK drops what is "
    "answered 401",
    403: "give the token the right `ingest`: auth.tokens.<name>.rights",
    404: "the address is another server's, such as inferspan's API (4319); OTLP/HTTP is at 4318",
    405: "the address is another server's; OTLP/HTTP is at 4318",
    413: "raise limits.request_bytes, or send smaller batches",
    415: "set OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf",
    429: "the receiver has no room now; the SDK tries again",
    503: "the receiver has no room now; the SDK tries again",
}


def examine(environment: Mapping[str, str]) -> Iterator[Finding]:
    """Look at the variables, then send an empty request where they lead.

    Args:
        environment: of the process that serves the model.
    """
    yield from _packages()
    if environment.get("OTEL_SDK_DISABLED", "").lower() == "true":
        yield wrong(PART, "OTEL_SDK_DISABLED", "true", "not set", "unset it: nothing is recorded")
        return
    sampler = environment.get("OTEL_TRACES_SAMPLER", "")
    records = environment.get("INFERSPAN_RECORDS", "unsampled")
    if records == "none" and (
        sampler not in _ALWAYS or float_or(environment.get("INFERSPAN_SAMPLE_RATIO"), 1.0) < 1
    ):
        yield wrong(
            PART, "INFERSPAN_RECORDS", "none, under a sampler", "unsampled",
            "unset it: predictions that are not sampled count in no figure",
        )  # fmt: skip
    else:
        yield right(PART, "sampling", f"every prediction counts (records: {records})")
    protocol = environment.get(
        "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
        environment.get("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
    )
    url, name = _endpoint(environment)
    port = _port(url)
    if port is None:
        yield wrong(PART, name, url, f"a URL such as {DEFAULT}", "correct it")
        return
    if protocol == "grpc":
        yield from _grpc(url, name, port)
        return
    if protocol not in ("http/protobuf", "http/json"):
        yield wrong(
            PART, "OTEL_EXPORTER_OTLP_PROTOCOL", protocol, "http/protobuf or grpc", "correct it"
        )
        return
    yield from _http(url, name, port, environment)


def float_or(text: str | None, default: float) -> float:
    """A number of the environment."""
    try:
        return default if text is None else float(text)
    except ValueError:
        return default


def _packages() -> Iterator[Finding]:
    for name in _PACKAGES:
        try:
            yield right(PART, name, importlib.metadata.version(name))
        except importlib.metadata.PackageNotFoundError:
            yield unknown(
                PART, name, "not installed here", "run the doctor in the model's environment"
            )


def _endpoint(environment: Mapping[str, str]) -> tuple[str, str]:
    """(where spans go, what says so), in the SDK's order."""
    name = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
    if environment.get(name):
        return environment[name], name
    for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "INFERSPAN_ENDPOINT"):
        if environment.get(name):
            return environment[name].rstrip("/") + PATH, name
    return DEFAULT + PATH, _NOT_SET


def _port(url: str) -> int | None:
    try:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            return None
        return parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        return None


def _http(url: str, name: str, port: int, environment: Mapping[str, str]) -> Iterator[Finding]:
    if port == _GRPC_PORT:
        yield wrong(
            PART, name, url, f"port {_HTTP_PORT} for OTLP/HTTP",
            f"write :{_HTTP_PORT}, or set OTEL_EXPORTER_OTLP_PROTOCOL=grpc",
        )  # fmt: skip
        return
    answer = ask(url, body=b"", headers=_headers(environment))
    if answer.status == 200:
        yield right(PART, name, f"{url} takes spans")
        return
    if name == _NOT_SET and not answer.there:
        yield unknown(PART, name, f"{url}: {answer.said()}", _IN_CODE)
        return
    fix = _FIXES.get(answer.status, "start a collector with `inferspan serve`, or correct it")
    yield wrong(PART, name, f"{url}: {answer.said()}", "HTTP 200", fix)


def _headers(environment: Mapping[str, str]) -> dict[str, str]:
    given = environment.get(
        "OTEL_EXPORTER_OTLP_TRACES_HEADERS", environment.get("OTEL_EXPORTER_OTLP_HEADERS", "")
    )
    found = {"Content-Type": "application/x-protobuf"}
    for pair in given.split(","):
        key, equals, value = pair.partition("=")
        if equals:
            found[key.strip()] = unquote(value.strip())
    return found


def _grpc(url: str, name: str, port: int) -> Iterator[Finding]:
    import grpc

    if port == _HTTP_PORT:
        yield wrong(
            PART, name, url, f"port {_GRPC_PORT} for OTLP/gRPC",
            f"write :{_GRPC_PORT}, or set OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf",
        )  # fmt: skip
        return
    parts = urlsplit(url)
    target = f"{parts.hostname}:{port}"
    if parts.scheme == "https":
        channel = grpc.secure_channel(target, grpc.ssl_channel_credentials())
    else:
        channel = grpc.insecure_channel(target)
    with channel:
        try:
            channel.unary_unary(_EXPORT)(b"", timeout=5.0)
        except grpc.RpcError as error:
            code = error.code().name
            fix = "start a collector with `inferspan serve`, or correct it"
            if code == "UNAUTHENTICATED":
                # Headers are not sent here: that something answers is what was asked.
                yield right(PART, name, f"{target} answers, and asks for a token")
                return
            yield wrong(PART, name, f"{target}: {code}", "OK", fix)
        else:
            yield right(PART, name, f"{target} takes spans")

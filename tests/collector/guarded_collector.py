"""A collector that knows tokens, and may speak TLS, for the tests of who may do what."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import httpx

from inferspan_collector.cli.tokens import hash_of
from inferspan_collector.config import Config, load
from inferspan_collector.server import Collector

TLS = Path(__file__).parent / "data" / "tls"
AUTHORITY = TLS / "authority.pem"
SERVER = {"certificate": str(TLS / "server.pem"), "key": str(TLS / "server.key")}
CLIENT = (str(TLS / "client.pem"), str(TLS / "client.key"))
TOKENS = {
    "gateway": ["ingest"],
    "labeller": ["labels"],
    "reader": ["read"],
    "operator": ["ingest", "labels", "read", "admin"],
}
"""Name → rights; a token's text is its name and `-token`."""
AUTH = {
    "tokens": {
        name: {"hash": hash_of(f"{name}-token"), "rights": rights}
        for name, rights in TOKENS.items()
    }
}
FREE = {"otlp_http": "127.0.0.1:0", "otlp_grpc": "127.0.0.1:0", "api": "127.0.0.1:0"}


def settings(data: Path, *, tokens: bool = True, tls: dict[str, str] | None = None) -> Config:
    """On free ports, with all of `TOKENS` unless told."""
    sections: dict[str, dict[str, Any]] = {
        "receivers": dict(FREE) | ({"tls": tls} if tls else {}),
        "store": {"data": str(data)},
    }
    return load(None, sections | ({"auth": AUTH} if tokens else {}))


def bearer(name: str) -> dict[str, str]:
    """The header that presents a token of `TOKENS`."""
    return {"authorization": f"Bearer {name}-token"}


def trusting(*, client: bool = False) -> ssl.SSLContext:
    """A client's context that trusts our test authority; with a certificate of its own if told."""
    context = ssl.create_default_context(cafile=str(AUTHORITY))
    if client:
        context.load_cert_chain(*CLIENT)
    return context


def ask(
    collector: Collector, method: str, target: str, headers: dict[str, str], body: bytes = b""
) -> httpx.Response:
    """One request; the target is the port's key and a path: `api/metrics`."""
    port, _, path = target.partition("/")
    url = getattr(collector.addresses, port)
    sent = {name: value.encode("latin-1") for name, value in headers.items()}
    return httpx.request(method, f"{url}/{path}", headers=sent, content=body, timeout=20)

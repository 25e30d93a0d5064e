"""The section `receivers`: where we listen, and by which certificates."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Final

from pydantic import Field, field_validator, model_validator

from inferspan_collector.config.section import Section
from inferspan_collector.first_line import first_line

OFF: Final = "off"
"""As an address: this listener is not started."""
LISTENERS: Final = ("otlp_http", "otlp_grpc", "api")
"""The keys of `Receivers` that are addresses."""
_EVERYWHERE: Final = ("0.0.0.0", "::")
_LOCAL: Final = ("127.0.0.1", "::1", "localhost")
_PORT: Final = re.compile("[0-9]{1,5}")


def split_address(address: str) -> tuple[str, int]:
    """Split `HOST:PORT` (`[::1]:4318` too).

    Raises:
        ValueError: it is not one.
    """
    host, separator, port = address.rpartition(":")
    host = host.strip("[]")
    if not separator or not host or not _PORT.fullmatch(port) or int(port) > 65535:
        raise ValueError(f"{address!r} is not HOST:PORT with a port from 0 to 65535 (or `off`)")
    return host, int(port)


def _same_place(one: tuple[str, int], other: tuple[str, int]) -> bool:
    """Whether two addresses cannot both be listened on."""
    hosts = {"127.0.0.1" if host == "localhost" else host for host, _ in (one, other)}
    return one[1] == other[1] != 0 and (len(hosts) == 1 or not hosts.isdisjoint(_EVERYWHERE))


class Tls(Section):
    """TLS on every listener; without a certificate there is none. Files are PEM."""

    certificate: Path | None = None
    """The server's certificate, followed by those of its authorities up to the root."""
    key: Path | None = None
    """Its private key, without passphrase."""
    client_ca: Path | None = None
    """Authorities of client certificates: where given, only clients that show one get in."""

    @model_validator(mode="after")
    def _usable(self) -> Tls:
        if (self.certificate is None) != (self.key is None):
            given, missing = ("key", "certificate") if self.key else ("certificate", "key")
            raise ValueError(f"{given} is given without {missing}; TLS needs both")
        if self.client_ca is not None and self.certificate is None:
            raise ValueError("client_ca is given without certificate and key; TLS needs both")
        self.context()
        return self

    def context(self) -> ssl.SSLContext | None:
        """A server's context, TLS 1.2 or newer; None where there is no certificate.

        Raises:
            ValueError: a file cannot be read or used.
        """
        if self.certificate is None or self.key is None:
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        for name in ("certificate", "key", "client_ca"):
            path: Path | None = getattr(self, name)
            if path is not None:
                _check_readable(name, path)
        try:
            context.load_cert_chain(self.certificate, self.key, password=_no_passphrase)
        except (ssl.SSLError, OSError) as error:
            raise ValueError(
                f"certificate = {self.certificate} and key = {self.key} are no pair of PEM files "
                f"that can be used together ({first_line(error)}); write the certificate with "
                "its chain in one, and its own private key in the other"
            ) from error
        if self.client_ca is not None:
            try:
                context.load_verify_locations(self.client_ca)
            except (ssl.SSLError, OSError) as error:
                raise ValueError(
                    f"client_ca = {self.client_ca} holds no certificate ({first_line(error)}); "
                    "write the authorities' certificates there as PEM"
                ) from error
            context.verify_mode = ssl.CERT_REQUIRED
        return context


def _check_readable(name: str, path: Path) -> None:
    try:
        path.read_bytes()
    except OSError as error:
        raise ValueError(
            f"{name} = {path} cannot be read: {error.strerror}; name a file that this user may read"
        ) from error


def _no_passphrase() -> str:
    # Otherwise OpenSSL asks for it on the terminal, and a service never starts.
    raise ValueError("the key has a passphrase; write it without one: openssl pkey -in … -out …")


class Receivers(Section):
    """Where we listen. `HOST:PORT`; port 0 takes a free one; `off` starts none."""

    otlp_http: str = "127.0.0.1:4318"
    otlp_grpc: str = "127.0.0.1:4317"
    api: str = "127.0.0.1:4319"
    allowed_hosts: tuple[str, ...] = ()
    """Host names, beside the bound address and localhost, that a request may be addressed to."""
    allow_public: bool = Field(False, strict=True)
    """Bind to an address that other machines reach though tokens or TLS are missing."""
    tls: Tls = Tls()

    @field_validator(*LISTENERS, mode="before")
    @classmethod
    def _off(cls, value: object) -> object:
        # YAML reads a bare `off` as false.
        if value is False:
            return OFF
        if isinstance(value, int) and not isinstance(value, bool):
            raise ValueError(f"{value} is not HOST:PORT; write it as 127.0.0.1:{value}")
        return value

    @field_validator(*LISTENERS)
    @classmethod
    def _an_address(cls, value: str) -> str:
        if value != OFF:
            split_address(value)
        return value

    @model_validator(mode="after")
    def _a_port_each(self) -> Receivers:
        addresses = {key: getattr(self, key) for key in LISTENERS}
        listening = {key: text for key, text in addresses.items() if text != OFF}
        for (key, address), (other, its_address) in combinations(listening.items(), 2):
            if _same_place(split_address(address), split_address(its_address)):
                raise ValueError(
                    f"{key} = {address} and {other} = {its_address} are one port; give each a "
                    "port of its own (0 takes a free one), or switch one `off`"
                )
        return self

    def public(self) -> Iterator[tuple[str, str]]:
        """Key and address of each listener that other machines can reach."""
        for key in LISTENERS:
            address: str = getattr(self, key)
            if address != OFF and split_address(address)[0] not in _LOCAL:
                yield key, address

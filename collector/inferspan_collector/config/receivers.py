"""The section `receivers`: where we listen, and who may reach it."""

from __future__ import annotations

import re
from itertools import combinations
from typing import Final

from pydantic import Field, field_validator, model_validator

from inferspan_collector.config.section import Section

OFF: Final = "off"
"""As an address: this listener is not started."""
_EVERYWHERE: Final = ("0.0.0.0", "::")
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


class Receivers(Section):
    """Where we listen. `HOST:PORT`; port 0 takes a free one; `off` starts none."""

    otlp_http: str = "127.0.0.1:4318"
    otlp_grpc: str = "127.0.0.1:4317"
    api: str = "127.0.0.1:4319"
    allowed_hosts: tuple[str, ...] = ()
    """Host names, beside the bound address and localhost, that a request may be addressed to."""
    allow_public: bool = Field(False, strict=True)
    """Bind to an address that other machines reach although requests are not authenticated."""

    @field_validator("otlp_http", "otlp_grpc", "api", mode="before")
    @classmethod
    def _off(cls, value: object) -> object:
        # YAML reads a bare `off` as false.
        return OFF if value is False else value

    @field_validator("otlp_http", "otlp_grpc", "api")
    @classmethod
    def _an_address(cls, value: str) -> str:
        if value != OFF:
            split_address(value)
        return value

    @model_validator(mode="after")
    def _local_unless_told(self) -> Receivers:
        for key in ("otlp_http", "otlp_grpc", "api"):
            address = getattr(self, key)
            if address == OFF or self.allow_public:
                continue
            host = split_address(address)[0]
            if host not in ("127.0.0.1", "::1", "localhost"):
                raise ValueError(
                    f"{key} = {address} is reachable from other machines and requests are not "
                    "authenticated; bind to 127.0.0.1, or set receivers.allow_public: true where "
                    "the network itself keeps strangers out"
                )
        return self

    @model_validator(mode="after")
    def _a_port_each(self) -> Receivers:
        addresses = {key: getattr(self, key) for key in ("otlp_http", "otlp_grpc", "api")}
        listening = {key: text for key, text in addresses.items() if text != OFF}
        for (key, address), (other, its_address) in combinations(listening.items(), 2):
            if _same_place(split_address(address), split_address(its_address)):
                raise ValueError(
                    f"{key} = {address} and {other} = {its_address} are one port; give each a "
                    "port of its own (0 takes a free one), or switch one `off`"
                )
        return self

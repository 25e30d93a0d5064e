"""What the SDK was told: arguments of `configure()` and the environment, validated once, frozen."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from inferspan import semconv

ENDPOINT_VARIABLE: Final = "INFERSPAN_ENDPOINT"
CAPTURE_VARIABLE: Final = "INFERSPAN_CAPTURE"
ID_KEY_VARIABLE: Final = "INFERSPAN_ID_KEY"
_OTLP_VARIABLES: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_TRACES_PATH: Final = "/v1/traces"


@dataclass(frozen=True, slots=True)
class Settings:
    """The SDK's settings. Make one with `Settings.read`."""

    capture: str = "shapes"
    """What of the inputs goes on a span where a decorator does not say: a capture policy."""
    id_key: bytes | None = field(default=None, repr=False)
    """Key of the HMAC-SHA-256 that replaces prediction ids; None = ids go as they are."""
    service_name: str | None = None
    service_version: str | None = None
    environment: str | None = None
    endpoint: str | None = None
    """OTLP/HTTP base URL that `configure()` was given: for everything."""
    own_endpoint: str | None = None
    """OTLP/HTTP base URL of INFERSPAN_ENDPOINT: for labels, and where OTEL_* names none, spans."""
    otlp_endpoint_set: bool = False
    """OTEL_EXPORTER_OTLP_* names an endpoint; the exporter reads it itself."""
    configured: bool = False
    """`configure()` was called."""
    capture_told: str | None = None
    """The capture policy that `configure()` was given."""

    @classmethod
    def read(
        cls,
        environ: Mapping[str, str],
        *,
        service_name: str | None = None,
        service_version: str | None = None,
        environment: str | None = None,
        endpoint: str | None = None,
        capture: str | None = None,
        earlier: Settings | None = None,
        configured: bool = False,
    ) -> Settings:
        """Join arguments and environment; an argument wins over a variable.

        Args:
            environ: the environment variables.
            service_name: of `configure()`, as are the other texts.
            service_version: of `configure()`.
            environment: of `configure()`.
            endpoint: of `configure()`.
            capture: of `configure()`.
            earlier: arguments that are absent now are taken from here.
            configured: whether `configure()` asks.

        Raises:
            ValueError: a value breaks its rule; says which, and what to do.
        """
        for name, text in (("service_name", service_name), ("environment", environment)):
            if text is not None and not text.strip():
                raise ValueError(f"configure({name}={text!r}): must not be empty; leave it out")
        if earlier is not None:
            service_name = service_name or earlier.service_name
            service_version = service_version or earlier.service_version
            environment = environment or earlier.environment
            endpoint = endpoint or earlier.endpoint
            capture = earlier.capture_told if capture is None else capture
        capture_told = capture
        if capture is not None:
            capture_source = "configure(capture=…)"
        else:
            capture, capture_source = environ.get(CAPTURE_VARIABLE) or "shapes", CAPTURE_VARIABLE
        id_key = environ.get(ID_KEY_VARIABLE)
        return cls(
            capture=checked_choice(capture_source, capture, semconv.CAPTURE_POLICIES),
            id_key=id_key.encode() if id_key else None,
            service_name=service_name,
            service_version=service_version,
            environment=environment,
            endpoint=_checked_url("configure(endpoint=…)", endpoint),
            own_endpoint=_checked_url(ENDPOINT_VARIABLE, environ.get(ENDPOINT_VARIABLE)),
            otlp_endpoint_set=any(environ.get(name) for name in _OTLP_VARIABLES),
            configured=configured,
            capture_told=capture_told,
        )

    def traces_url(self) -> str | None:
        """Where `configure()` sends spans; None = where OTEL_* says, or its default."""
        if self.endpoint is None and self.otlp_endpoint_set:
            return None
        return _signal_url(self.endpoint or self.own_endpoint)

    def labels_url(self) -> str | None:
        """Where labels go; None = where OTEL_* says, or its default."""
        return _signal_url(self.endpoint or self.own_endpoint)

    @property
    def labels_have_a_way(self) -> bool:
        """Whether anything says where labels go."""
        named = self.endpoint or self.own_endpoint
        return bool(named) or self.otlp_endpoint_set or self.configured


def checked_choice(what: str, value: str, choices: tuple[str, ...]) -> str:
    """Return `value` if it is one of `choices`.

    Raises:
        ValueError: it is not; names the value and the choices.
    """
    if value not in choices:
        raise ValueError(f"{what} is {value!r}: must be one of {', '.join(choices)}")
    return value


def _checked_url(what: str, url: str | None) -> str | None:
    if not url:
        return None
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(
            f"{what} is {url!r}: must be the http(s) URL of an OTLP/HTTP receiver, "
            "such as http://127.0.0.1:4318"
        )
    return url


def _signal_url(base: str | None) -> str | None:
    if base is None or base.endswith(_TRACES_PATH):
        return base
    return base.rstrip("/") + _TRACES_PATH


_current: Settings | None = None


def current() -> Settings:
    """The settings in force; read from the environment at the first use.

    Raises:
        ValueError: the environment holds a value that breaks its rule.
    """
    global _current
    if _current is None:
        _current = Settings.read(os.environ)
    return _current


def in_force() -> Settings | None:
    """The settings in force; None where nobody has needed them yet."""
    return _current


def install(settings: Settings | None) -> Settings | None:
    """Put settings in force (None: read the environment again at the next use).

    Returns:
        What was in force before.
    """
    global _current
    previous, _current = _current, settings
    return previous

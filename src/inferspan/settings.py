"""What the SDK was told: arguments of `configure()` and the environment, validated once, frozen."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import field
from typing import Any, Final
from urllib.parse import urlsplit

from inferspan import semconv
from inferspan.attributes import name_fault
from inferspan.frozen import frozen

ENDPOINT_VARIABLE: Final = "INFERSPAN_ENDPOINT"
HEADERS_VARIABLE: Final = "INFERSPAN_HEADERS"
CAPTURE_VARIABLE: Final = "INFERSPAN_CAPTURE"
ID_KEY_VARIABLE: Final = "INFERSPAN_ID_KEY"
SAMPLE_RATIO_VARIABLE: Final = "INFERSPAN_SAMPLE_RATIO"
RECORDS_VARIABLE: Final = "INFERSPAN_RECORDS"
RECORD_CLASSES_VARIABLE: Final = "INFERSPAN_RECORD_CLASSES"
KEEP_VARIABLE: Final = "INFERSPAN_KEEP"
RECORDS: Final = ("unsampled", "all", "none")
RECORD_CLASSES_MAX: Final = 256
"""Classes whose probabilities receivers keep of a prediction."""
KEEP: Final = tuple(reason for reason in semconv.KEEP_REASONS if reason != "marked")
"""Reasons for a full span that can be switched; a call that is marked always gets one."""
KEEP_DEFAULT: Final = ("error", "slow")
_TOLD: Final = ("capture", "sample_ratio", "records", "record_classes", "keep")
"""Arguments of `configure()` whose variables they win over."""
_DISABLED_VARIABLE: Final = "OTEL_SDK_DISABLED"
OTLP_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_READ: Final = ("OTEL_", "INFERSPAN_")
_TRACES_PATH: Final = "/v1/traces"
_TEXT_LENGTH_MAX: Final = 1024
"""Characters of the name of a service or environment: collectors refuse longer ones."""


@frozen
class Settings:
    """The SDK's settings. Make one with `Settings.read`."""

    capture: str = semconv.CAPTURE_DEFAULT
    """What of the inputs goes on a span where a decorator does not say: a capture policy."""
    id_key: bytes | None = None
    """Key of the HMAC-SHA-256 that replaces prediction ids; None = ids go as they are."""
    sample_ratio: float | None = None
    """Share of root predictions that get full spans; None = as OTEL_TRACES_SAMPLER says."""
    records: str = "unsampled"
    """Which predictions leave slim records: one of `RECORDS`."""
    record_classes: int = RECORD_CLASSES_MAX
    """Slim records carry the probabilities of at most so many classes; 0 = none."""
    keep: frozenset[str] = frozenset(KEEP_DEFAULT)
    """Why an unsampled call gets a full span all the same."""
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
    disabled: bool = False
    """OTEL_SDK_DISABLED is true: nothing is built, queued, sent or warned of."""
    labels_have_a_way: bool = field(init=False)
    """Whether anything says where labels go; records go there, too."""
    usual: bool = field(init=False)
    """Whether a span is all that a sampled prediction leaves, and bears its id as it is."""
    told: Mapping[str, Any] = field(default_factory=dict)
    """What `configure()` was given of capture, sample_ratio, records, record_classes and keep."""

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
        sample_ratio: float | None = None,
        records: str | None = None,
        record_classes: int | None = None,
        keep: Iterable[str] | None = None,
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
            sample_ratio: of `configure()`.
            records: of `configure()`.
            record_classes: of `configure()`.
            keep: of `configure()`.
            earlier: arguments that are absent now are taken from here.
            configured: whether `configure()` asks.

        Raises:
            ValueError: a value breaks its rule; says which, and what to do.
        """
        _check_text("service_name", service_name)
        _check_text("service_version", service_version)
        _check_text("environment", environment)
        values = (capture, sample_ratio, records, record_classes, keep)
        told = {name: value for name, value in zip(_TOLD, values, strict=True) if value is not None}
        if earlier is not None:
            service_name = service_name or earlier.service_name
            service_version = service_version or earlier.service_version
            environment = environment or earlier.environment
            endpoint = endpoint or earlier.endpoint
            told = {**earlier.told, **told}
        id_key = environ.get(ID_KEY_VARIABLE)
        return cls(
            capture=checked_choice(
                *_said(told, environ, "capture", CAPTURE_VARIABLE, semconv.CAPTURE_DEFAULT),
                semconv.CAPTURE_POLICIES,
            ),
            id_key=id_key.encode() if id_key else None,
            sample_ratio=_sample_ratio(told, environ),
            records=checked_choice(
                *_said(told, environ, "records", RECORDS_VARIABLE, "unsampled"), RECORDS
            ),
            record_classes=_record_classes(told, environ),
            keep=_keep(told, environ),
            service_name=service_name,
            service_version=service_version,
            environment=environment,
            endpoint=_checked_url("configure(endpoint=…)", endpoint),
            own_endpoint=_checked_url(ENDPOINT_VARIABLE, environ.get(ENDPOINT_VARIABLE)),
            otlp_endpoint_set=any(environ.get(name) for name in OTLP_ENDPOINTS),
            configured=configured,
            # Read as OpenTelemetry reads it.
            disabled=environ.get(_DISABLED_VARIABLE, "").strip().lower() == "true",
            told=told,
        )

    def traces_url(self) -> str | None:
        """Where `configure()` sends spans; None = where OTEL_* says, or its default."""
        if self.endpoint is None and self.otlp_endpoint_set:
            return None
        return _signal_url(self.endpoint or self.own_endpoint)

    def labels_url(self) -> str | None:
        """Where labels go; None = where OTEL_* says, or its default."""
        return _signal_url(self.endpoint or self.own_endpoint)

    def way_of_labels(self, environ: Mapping[str, str]) -> tuple[object, ...]:
        """All that decides where labels and records go, and as whose; equal where that is equal."""
        variables = {name: value for name, value in environ.items() if name.startswith(_READ)}
        told = (self.labels_url(), self.labels_have_a_way, self.resource_attributes())
        return (*told, variables)

    def resource_attributes(self) -> dict[str, str]:
        """What `configure()` said of the service: attributes of the resource."""
        named = {
            semconv.SERVICE_NAME: self.service_name,
            semconv.SERVICE_VERSION: self.service_version,
            semconv.DEPLOYMENT_ENVIRONMENT_NAME: self.environment,
        }
        return {name: text for name, text in named.items() if text is not None}

    def __post_init__(self) -> None:
        named = self.endpoint or self.own_endpoint
        way = bool(named) or self.otlp_endpoint_set or self.configured
        object.__setattr__(self, "labels_have_a_way", way and not self.disabled)
        object.__setattr__(self, "usual", self.records != "all" and self.id_key is None)


def checked_ratio(what: str, value: object) -> float:
    """Return `value` as a ratio.

    Raises:
        ValueError: it is no number from 0 to 1.
    """
    try:
        ratio = math.nan if isinstance(value, bool) else float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        ratio = math.nan
    if not 0.0 <= ratio <= 1.0:
        raise ValueError(f"{what} is {value!r:.80}: must be a number from 0 to 1, such as 0.01")
    return ratio


def checked_choice(what: str, value: str, choices: tuple[str, ...]) -> str:
    """Return `value` if it is one of `choices`.

    Raises:
        ValueError: it is not; names the value and the choices.
    """
    if value not in choices:
        raise ValueError(f"{what} is {value!r}: must be one of {', '.join(choices)}")
    return value


def _check_text(name: str, value: object) -> None:
    if value is not None and not (isinstance(value, str) and value.strip()):
        raise ValueError(
            f"configure({name}={value!r:.80}): must be a text that is not empty; leave it out, or "
            f"write {name}='…'"
        )
    if isinstance(value, str) and (fault := name_fault(value, _TEXT_LENGTH_MAX)) is not None:
        raise ValueError(f"configure({name}={value!r:.80}) {fault}")


def _said(
    told: Mapping[str, Any], environ: Mapping[str, str], name: str, variable: str, default: str
) -> tuple[str, Any]:
    """Where a value comes from, for messages, and the value."""
    if name in told:
        return f"configure({name}=…)", told[name]
    return variable, environ.get(variable) or default


def _sample_ratio(told: Mapping[str, Any], environ: Mapping[str, str]) -> float | None:
    if "sample_ratio" in told:
        return checked_ratio("configure(sample_ratio=…)", told["sample_ratio"])
    if (ratio := environ.get(SAMPLE_RATIO_VARIABLE)) is not None and ratio.strip():
        return checked_ratio(SAMPLE_RATIO_VARIABLE, ratio)
    if environ.get("OTEL_TRACES_SAMPLER") == "parentbased_traceidratio":
        # The same sampling as ours; knowing the ratio, unsampled calls can be made cheaper.
        try:
            return checked_ratio("", environ.get("OTEL_TRACES_SAMPLER_ARG") or "1")
        except ValueError:
            return 1.0  # as OpenTelemetry does, which also says so
    return None


def _record_classes(told: Mapping[str, Any], environ: Mapping[str, str]) -> int:
    what, value = _said(
        told, environ, "record_classes", RECORD_CLASSES_VARIABLE, str(RECORD_CLASSES_MAX)
    )
    digits = str(value).strip()
    if isinstance(value, bool) or not (digits.isdecimal() and int(digits) <= RECORD_CLASSES_MAX):
        raise ValueError(
            f"{what} is {value!r:.80}: must be a whole number from 0 (slim records carry no "
            f"probabilities) to {RECORD_CLASSES_MAX}"
        )
    return int(digits)


def _keep(told: Mapping[str, Any], environ: Mapping[str, str]) -> frozenset[str]:
    source: object = told.get("keep", environ.get(KEEP_VARIABLE, ",".join(KEEP_DEFAULT)))
    what = "configure(keep=…)" if "keep" in told else KEEP_VARIABLE
    if isinstance(source, str):
        source = [reason.strip() for reason in source.split(",") if reason.strip()]
    if not isinstance(source, Iterable):
        raise ValueError(f"{what} is {source!r:.80}: must be a list such as {list(KEEP)}")
    return frozenset(checked_choice(what, reason, KEEP) for reason in source)


def _checked_url(what: str, url: str | None) -> str | None:
    if not url:
        return None
    try:
        parts = urlsplit(url if isinstance(url, str) else "")
        fits = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        # A path is added to it, which would become part of them.
        fits = fits and not (parts.query or parts.fragment)
    except ValueError:  # of brackets that do not close, or a port above 65,535
        fits = False
    if not fits:
        raise ValueError(
            f"{what} is {url!r:.150}: must be the http(s) URL of an OTLP/HTTP receiver without "
            "query, such as http://127.0.0.1:4318"
        )
    return url


def _signal_url(base: str | None) -> str | None:
    if base is None or base.endswith(_TRACES_PATH):
        return base
    return base.rstrip("/") + _TRACES_PATH


latest: Settings | None = None
"""The settings in force; None where nobody has needed them yet. For the path of every call, which
falls back to `current()`."""


def current() -> Settings:
    """The settings in force; read from the environment at the first use.

    Raises:
        ValueError: the environment holds a value that breaks its rule.
    """
    global latest
    if latest is None:
        latest = Settings.read(os.environ)
    return latest


def install(settings: Settings | None) -> Settings | None:
    """Put settings in force (None: read the environment again at the next use).

    Returns:
        What was in force before.
    """
    global latest
    previous, latest = latest, settings
    return previous

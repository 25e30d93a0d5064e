"""The configuration: one frozen section per stage, checked at start.

A mistake names the key, the value and the rule, and the collector does not start.
`docs/configuration.md` lists every key; a test holds the two together.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Hashable, Sequence
from itertools import combinations
from pathlib import Path
from typing import Annotated, Any, Final, Literal, get_args, get_origin
from urllib.parse import urlsplit

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

OFF = "off"
"""As an address: this listener is not started."""
MEMORY_BYTES_MIN: Final = 1_000_000
"""With less DuckDB cannot even open its file."""

_EVERYWHERE: Final = ("0.0.0.0", "::")
_PORT: Final = re.compile("[0-9]{1,5}")
_MEMORY: Final = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,15})?) ?([KMGT]i?)?B", re.IGNORECASE)
_MEMORY_SHARE: Final = re.compile(r"([1-9][0-9]?|100)%")
_POWERS: Final = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4}
_SPAN: Final = re.compile(r"([1-9][0-9]{0,5})([mhd])")
_SPAN_MINUTES: Final = {"m": 1, "h": 60, "d": 1440}


class ConfigError(ValueError):
    """The configuration is unusable; the message names key, value and rule."""


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


def span_minutes(text: str) -> int:
    """The minutes of `30m`, `1h` or `7d`.

    Raises:
        ValueError: it is none of these.
    """
    match = _SPAN.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a span of time like 30m, 1h or 7d")
    return int(match[1]) * _SPAN_MINUTES[match[2]]


def _same_place(one: tuple[str, int], other: tuple[str, int]) -> bool:
    """Whether two addresses cannot both be listened on."""
    hosts = {"127.0.0.1" if host == "localhost" else host for host, _ in (one, other)}
    return one[1] == other[1] != 0 and (len(hosts) == 1 or not hosts.isdisjoint(_EVERYWHERE))


def _check_url(value: str | None) -> str | None:
    """Pass an http or https URL on.

    Raises:
        ValueError: it is none.
    """
    if value is None:
        return None
    try:
        parts = urlsplit(value)
        valid = (
            parts.scheme in ("http", "https")
            and bool(parts.hostname)
            and parts.port != 0
            and not re.search(r"\s", value)
        )
    except ValueError:
        valid = False
    if not valid:
        raise ValueError(
            f"{value!r} is no http:// or https:// URL; write it as http://127.0.0.1:16686"
        )
    return value


class Section(BaseModel):
    """A part of the configuration: unknown keys are mistakes, values cannot change later."""

    model_config = ConfigDict(frozen=True, extra="forbid")


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


class Limits(Section):
    """Everything has a limit; what is over is refused or folded, and counted."""

    # YAML's `yes` is no number, and a text is none either.
    model_config = ConfigDict(strict=True)

    request_bytes: int = Field(64 * 1024 * 1024, ge=1024)
    """One request, after decompression."""
    queue_bytes: int = Field(256 * 1024 * 1024, ge=1024 * 1024)
    """Decoded requests that wait for the writer; beyond it senders get 503 and Retry-After."""
    group_bytes: int = Field(16 * 1024 * 1024, ge=1024)
    """Requests that one transaction takes together."""
    group_milliseconds: float = Field(5.0, ge=0.0, le=1000.0)
    """How long a transaction waits for more requests."""
    models: int = Field(1_000, ge=1)
    """Distinct combinations of all `SERIES_KEYS`, from environment to positive class."""
    slice_values: int = Field(50, ge=1)
    """Distinct values of one slice key of one model; more fold into `__other__`."""
    slice_combinations: int = Field(20_000, ge=1)
    """Distinct combinations of slice values; predictions beyond count without their slices."""
    classes: int = Field(500, ge=2)
    """Distinct classes of one model; more fold into `__other__`."""
    query_windows: int = Field(5_000, ge=1)
    """Windows × groups that one API answer may hold."""
    metric_series: int = Field(10_000, ge=100)
    """Series of one metric in `/metrics`; more fold into `__other__`."""


class Store(Section):
    """The DuckDB file."""

    data: Path = Path("inferspan-data")
    memory: str = "1GB"
    """DuckDB's memory limit: an amount, or a share of the machine's (`50%`)."""
    compact_every: int = Field(500, ge=1, strict=True)
    """Transactions between two compactions of the counter tables."""

    @field_validator("memory")
    @classmethod
    def _an_amount(cls, value: str) -> str:
        if _MEMORY_SHARE.fullmatch(value):
            return value
        match = _MEMORY.fullmatch(value)
        unit = (match[2] or "").upper() if match else ""
        scale = (1024 if unit.endswith("I") else 1000) ** _POWERS[unit[:1]]
        if match is None or float(match[1]) * scale < MEMORY_BYTES_MIN:
            raise ValueError(
                f"{value!r} is no amount of memory from {MEMORY_BYTES_MIN // 1_000_000}MB up; "
                "write it as 500MB, 1.5GiB or 50%"
            )
        return value


class Target(Section):
    """One kind of truth of a model."""

    sources: tuple[str, ...] = ()
    """Sources in ascending rank: where two disagree, the later in this list wins."""


class Model(Section):
    """What the collector knows of one model beyond what its spans say."""

    owner: str | None = None
    description: str | None = None
    runbook: str | None = None
    positive_class: str | None = None
    class_aliases: dict[str, str] = Field(default_factory=dict)
    """Other spellings → the class: `{"1": fraud, "0": legit}`; applied to outputs and labels."""
    tolerance: float | None = Field(None, ge=0.0, strict=True)
    """Regression: an absolute error up to this passes."""
    latency_objective_ms: float | None = Field(None, gt=0.0, strict=True)
    primary_target: str = "default"
    targets: dict[str, Target] = Field(default_factory=dict)

    def canonical(self, text: str | None) -> str | None:
        """The class that a spelling means: its alias, else itself; None stays None."""
        return None if text is None else self.class_aliases.get(text, text)


class Jaeger(Section):
    """Jaeger's side: where evaluation spans go and what its page may ask."""

    otlp: str | None = None
    """Jaeger's OTLP/HTTP endpoint, `http://127.0.0.1:14318`; absent = no evaluation spans."""
    ui: str | None = None
    """Jaeger's page, `http://127.0.0.1:16686`: the one foreign origin that may read the Model
    Quality reply, and where links point."""
    evaluation_status: Literal["error", "unset"] = "error"
    """Status of the span of a wrong prediction."""
    correct_share: float = Field(1.0, ge=0.0, le=1.0, strict=True)
    """Share of the right predictions that get an evaluation span, chosen by hash."""
    outbox_entries: int = Field(1_000_000, ge=1, strict=True)
    """Evaluation spans that may wait for a Jaeger that does not answer; more are left out."""
    evaluations_per_second: int = Field(200, ge=1, strict=True)
    """Evaluation spans made per second of arrival, wrong predictions first."""
    span_kind: Literal["server", "internal", "client", "producer", "consumer"] = "server"
    """Kind under which the Monitor tab shows model operations (its own default is server)."""

    @field_validator("otlp", "ui")
    @classmethod
    def _a_url(cls, value: str | None) -> str | None:
        return _check_url(value)


class Publish(Section):
    """What is shown beside the API."""

    quality_windows: tuple[str, ...] = ("1h", "1d")
    """Windows, back from now, of the gauges in /metrics."""

    @field_validator("quality_windows")
    @classmethod
    def _spans(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for text in value:
            span_minutes(text)
        return value


class Config(Section):
    """The whole configuration."""

    receivers: Receivers = Receivers()
    limits: Limits = Limits()
    store: Store = Store()
    models: dict[Annotated[str, Field(min_length=1)], Model] = Field(default_factory=dict)
    jaeger: Jaeger = Jaeger()
    publish: Publish = Publish()

    def model(self, name: str) -> Model:
        """A model's section; one that is not configured has the defaults."""
        return self.models.get(name, _DEFAULT_MODEL)


_DEFAULT_MODEL = Model()


class _Loader(yaml.SafeLoader):  # type: ignore[misc]
    """YAML as it says it is: a key stands once."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[tuple[str, str]] = set()
        for key, _ in node.value:
            # Texts, for a key that is itself a mapping is refused by what follows.
            text = (key.tag, str(key.value))
            if text in seen:
                raise ConfigError(
                    f"line {key.start_mark.line + 1}: the key {key.value!r} is given twice; "
                    "keep one of them"
                )
            seen.add(text)
        mapping: dict[Hashable, Any] = super().construct_mapping(node, deep)
        return mapping


def load(path: Path | None, overrides: dict[str, dict[str, Any]] | None = None) -> Config:
    """Read and check the configuration.

    Args:
        path: a YAML file, or None for the defaults.
        overrides: section → key → value from the command line; None values are left out.

    Raises:
        ConfigError: unreadable, not YAML, or against a rule; every mistake is named.
    """
    document: dict[str, Any] = {}
    if path is not None:
        try:
            # A safe loader: ours only refuses more.
            loaded = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
        except ConfigError as error:
            raise ConfigError(f"{path}, {error}") from None
        except OSError as error:
            raise ConfigError(f"cannot read {path}: {error.strerror}") from error
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path} is not YAML: {error}") from error
        if loaded is not None and not isinstance(loaded, dict):
            raise ConfigError(f"{path} holds a {type(loaded).__name__}; a mapping of sections is")
        document = loaded or {}
    for section, keys in (overrides or {}).items():
        given = {key: value for key, value in keys.items() if value is not None}
        if given:
            present = document.get(section) or {}
            document[section] = {**present, **given} if isinstance(present, dict) else present
    try:
        return Config.model_validate(document)
    except ValidationError as error:
        raise ConfigError(_explain(error, path)) from error


def _explain(error: ValidationError, path: Path | None) -> str:
    lines = []
    for problem in error.errors():
        key = ".".join(str(part) for part in problem["loc"])
        given = "" if problem["type"] == "missing" else f" = {problem['input']!r}"
        rule = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "extra_forbidden":
            rule = _no_such_key(problem["loc"])
        lines.append(f"{key}{given}: {rule}")
    where = f"{path}: " if path else ""
    return f"{where}" + "; ".join(lines)


def _no_such_key(location: Sequence[int | str]) -> str:
    *sections, key = location
    section: Any = Config
    parts = iter(sections)
    for part in parts:
        section = section.model_fields[part].annotation
        if get_origin(section) is dict:
            next(parts)  # a name: of a model, of a target
            section = get_args(section)[1]
    known = tuple(section.model_fields)
    nearest = difflib.get_close_matches(str(key), known, n=1)
    meant = f"; do you mean {nearest[0]}?" if nearest else ";"
    return f"no such key{meant} known here: {', '.join(known)}"

"""The configuration: one frozen section per stage, checked at start.

A mistake names the key, the value and the rule, and the collector does not start.
`docs/configuration.md` lists every key; a test holds the two together.
"""

from __future__ import annotations

import difflib
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

import yaml
from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from inferspan_collector.config.auth import Auth, Token
from inferspan_collector.config.endpoints import may_hold_a_password
from inferspan_collector.config.jaeger import Jaeger, TimeAxis
from inferspan_collector.config.limits import Limits
from inferspan_collector.config.mappings import Mapping
from inferspan_collector.config.memory import PARTS, shared_out
from inferspan_collector.config.mistakes import remedy
from inferspan_collector.config.models import Model, Target
from inferspan_collector.config.publish import Publish
from inferspan_collector.config.receivers import OFF, Receivers, Tls, split_address
from inferspan_collector.config.section import Section
from inferspan_collector.config.spans import span_minutes, span_ns
from inferspan_collector.config.store import Store, amount_bytes

__all__ = [
    "OFF",
    "Auth",
    "Config",
    "ConfigError",
    "Jaeger",
    "Limits",
    "Mapping",
    "Model",
    "Publish",
    "Receivers",
    "Section",
    "Store",
    "Target",
    "TimeAxis",
    "Tls",
    "Token",
    "load",
    "span_minutes",
    "split_address",
]


class ConfigError(ValueError):
    """The configuration is unusable; the message names key, value and rule."""


class Config(Section):
    """The whole configuration."""

    receivers: Receivers = Receivers()
    auth: Auth = Auth()
    limits: Limits = Limits()
    store: Store = Store()
    models: dict[Annotated[str, Field(min_length=1)], Model] = Field(default_factory=dict)
    mappings: tuple[Mapping, ...] = ()
    """In order: the first that takes a span counts."""
    jaeger: Jaeger = Jaeger()
    publish: Publish = Publish()

    @field_validator("mappings")
    @classmethod
    def _named_once(cls, value: tuple[Mapping, ...]) -> tuple[Mapping, ...]:
        names = [mapping.ready_made or mapping.name for mapping in value]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"{name} is given twice; keep one of them")
        return value

    @model_validator(mode="after")
    def _local_unless_told(self) -> Config:
        tls, tokens = self.receivers.tls, self.auth.tokens
        if self.receivers.allow_public or (tls.certificate and (tokens or tls.client_ca)):
            return self
        missing = " and ".join(
            name
            for name, there in (("auth.tokens", tokens), ("receivers.tls", tls.certificate))
            if not there
        )
        for key, address in self.receivers.public():
            raise ValueError(
                f"receivers.{key} = {address} is reachable from other machines, without {missing}; "
                "bind to 127.0.0.1, or configure both, or set receivers.allow_public: true where "
                "the network itself keeps strangers out"
            )
        return self

    @model_validator(mode="after")
    def _rows_outlive_silence(self) -> Config:
        kept = self.rows_kept_ns
        for name, model in self.models.items():
            for target, section in model.targets.items():
                silence = section.absent_means
                if silence is not None and silence.after_ns > kept:
                    raise ValueError(
                        f"models.{name}.targets.{target}.absent_means.after = {silence.after} is "
                        "longer than rows live, so nothing would be left to imply; shorten it, or "
                        "give the target a longer `window`"
                    )
        return self

    def model(self, name: str) -> Model:
        """A model's section; one that is not configured has the defaults."""
        return self.models.get(name, _DEFAULT_MODEL)

    def time_axis(self, name: str) -> TimeAxis:
        """Where Jaeger's Monitor tab shows the evaluations of a model."""
        return self.model(name).time_axis or self.jaeger.time_axis

    @property
    def label_window_ns(self) -> int:
        """How far a label and its prediction may lie apart, of targets that do not say it."""
        return span_ns(self.store.retention.rows)

    @property
    def label_windows_ns(self) -> dict[tuple[str, str], int]:
        """The same of each (model, target) that says it."""
        return {
            (name, target): span_ns(section.window)
            for name, model in self.models.items()
            for target, section in model.targets.items()
            if section.window is not None
        }

    @property
    def horizons_ns(self) -> dict[tuple[str, str], int]:
        """How far before a label of an entity its predictions may lie, of each (model, target)."""
        return {
            (name, target): span_ns(section.horizon or section.window or self.store.retention.rows)
            for name, model in self.models.items()
            for target, section in model.targets.items()
        }

    @property
    def rows_kept_ns(self) -> int:
        """How long rows live: the longest time in which a label may come."""
        return max(self.label_window_ns, *self.label_windows_ns.values(), 0)


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
        return _under_the_ceiling(Config.model_validate(document))
    except ValidationError as error:
        raise ConfigError(_explain(error, path)) from error
    except ValueError as error:
        raise ConfigError(f"{path}: {error}" if path else str(error)) from error


def _under_the_ceiling(config: Config) -> Config:
    """Give each part that is not set its share of `limits.memory`.

    Raises:
        ValueError: they do not fit below it.
    """
    if config.limits.memory is None:
        return config
    taken: dict[str, int] = {}
    for part in PARTS:
        section: Section = getattr(config, part.section)
        if part.key in section.model_fields_set:
            value = getattr(section, part.key)
            amount = amount_bytes(value) if isinstance(value, str) else value
            if amount is None:
                raise ValueError(
                    f"{part.name} = {value!r} is a share of the machine's memory, which cannot be "
                    "counted against limits.memory; write it as an amount such as 500MB, or leave "
                    "it out"
                )
            taken[part.name] = amount * part.bytes_each
    ceiling = amount_bytes(config.limits.memory) or 0
    for name, value in shared_out(ceiling, taken, config.limits.request_bytes).items():
        section_name, _, key = name.partition(".")
        section = getattr(config, section_name)
        shown = f"{value // 10**6}MB" if isinstance(getattr(section, key), str) else value
        config = config.model_copy(update={section_name: section.model_copy(update={key: shown})})
    return config


def _explain(error: ValidationError, path: Path | None) -> str:
    lines = []
    for problem in error.errors():
        location = problem["loc"]
        key = ".".join(str(part) for part in location)
        # Of the whole nothing is repeated, and of `auth` nothing either: a token that somebody
        # wrote in the place of its hash must not reach a log, nor must the password of an address.
        silent = (
            problem["type"] == "missing"
            or location[:1] in ((), ("auth",))
            or may_hold_a_password(problem["input"])
        )
        given = "" if silent else f" = {problem['input']!r}"
        rule = problem["msg"].removeprefix("Value error, ") + remedy(
            problem["type"], None if silent else problem["input"]
        )
        if problem["type"] == "extra_forbidden":
            rule = _no_such_key(location)
        lines.append(f"{key}{given}: {rule}" if key else rule)
    where = f"{path}: " if path else ""
    return f"{where}" + "; ".join(lines)


def _no_such_key(location: Sequence[int | str]) -> str:
    *sections, key = location
    section: type[BaseModel] = Config
    parts = iter(sections)
    for part in parts:
        inner, depth = _section_in(_field(section, part)) or (section, 0)
        section = inner
        for _ in range(depth):
            next(parts, None)  # a name or a number: of a model, of a mapping
    known = [field.alias or name for name, field in section.model_fields.items()]
    nearest = difflib.get_close_matches(str(key), known, n=1)
    meant = f"; do you mean {nearest[0]}?" if nearest else ";"
    return f"no such key{meant} known here: {', '.join(known)}"


def _field(section: type[BaseModel], part: int | str) -> Any:
    fields = section.model_fields.items()
    return next(field.annotation for name, field in fields if part in (name, field.alias))


def _section_in(annotation: Any) -> tuple[type[BaseModel], int] | None:
    """The section that a type holds, and below how many names and numbers it stands there."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation, 0
    for inner in get_args(annotation):
        found = _section_in(inner)
        if found is not None:
            return found[0], found[1] + (get_origin(annotation) in (dict, tuple))
    return None

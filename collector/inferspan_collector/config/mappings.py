"""Mappings: rules by which the spans of other SDKs and servers count as predictions or labels.

The rules are data here, checked at start; `decode/mapping/` applies them. Those that come with
inferspan stand in `ready_made/`, a file for each source, and are switched on by name.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

import yaml
from pydantic import BeforeValidator, Field, field_validator, model_validator

from inferspan import semconv
from inferspan_collector.config.json_path import parse_json_path
from inferspan_collector.config.section import Section

READY_MADE: Final = Path(__file__).with_name("ready_made")
KINDS: Final = ("unspecified", "internal", "server", "client", "producer", "consumer")
"""Kinds of spans by their number on the wire."""
HOLE: Final = "{}"
"""Where a template has the part that is taken."""
READING: Final = ("json_path", "index", "template", "keep", "drop", "values")
"""What may be done with a value on its way, in this order."""
_OPEN_PART: Final = re.compile(r"(\*|\{\})(?![/?]|$)")
Kind = Literal["unspecified", "internal", "server", "client", "producer", "consumer"]

_CHOICES: Final = {
    "operation": semconv.OPERATIONS,
    "task": semconv.TASKS,
    "kind": semconv.TARGET_KINDS,
    "annotator_kind": semconv.ANNOTATOR_KINDS,
}


def ready_made_names() -> list[str]:
    """The names of the ready-made mappings."""
    return sorted(path.stem for path in READY_MADE.glob("*.yaml"))


def _a_list(value: object) -> object:
    return value if isinstance(value, list | tuple) else [value]


def _texts(value: object) -> object:
    """Scalars as the texts that attributes are compared by."""
    entries = _a_list(value)
    assert isinstance(entries, list | tuple)
    if not entries:
        raise ValueError("names nothing to compare with; write a text, or `*` for any value")
    return [
        semconv.class_text(entry) if isinstance(entry, bool | int | float) else entry
        for entry in entries
    ]


def _sources(value: object) -> object:
    """`{attribute: a}` as a list of one; a plain text or number as a constant."""
    return [
        {"constant": entry} if isinstance(entry, str | bool | int | float) else entry
        for entry in (value if isinstance(value, list | tuple) else [value])
    ]


Patterns = Annotated[tuple[str, ...], BeforeValidator(_texts)]
"""Texts of which one has to fit; in each, `*` stands for any characters."""


class Source(Section):
    """Where the value of a field comes from."""

    attribute: str | None = None
    """An attribute of the span."""
    resource: str | None = None
    """An attribute of its resource."""
    item: str | None = None
    """An attribute below the prefix that `each` names."""
    span: Literal["name", "kind", "trace_id", "span_id"] | None = None
    constant: str | bool | int | float | None = None
    json_path: str | None = None
    """The part of a JSON text: `$.choices[0].label`, `$.outputs[*].data`."""
    index: int | None = Field(None, strict=True)
    """One entry of a list: 0 is the first, -1 the last."""
    template: str | None = None
    """The text begins like this, and `{}` is the part taken: `/v2/models/{}/`; `*` is any part.
    Neither reaches over a `/` or a `?`."""
    keep: Patterns | None = None
    """Values that count; others are as if absent."""
    drop: Patterns | None = None
    """Values that are as if absent."""
    values: dict[str, str] | None = None
    """What is read → what is recorded; `*` stands for any characters, and the first that fits
    counts. What none fits is as if absent."""

    @field_validator("values", mode="before")
    @classmethod
    def _by_text(cls, value: object) -> object:
        if not isinstance(value, dict):
            return value
        return {_texts(key)[0]: _texts(entry)[0] for key, entry in value.items()}  # type: ignore[index]

    @field_validator("json_path")
    @classmethod
    def _a_path(cls, value: str | None) -> str | None:
        if value is not None:
            parse_json_path(value)
        return value

    @field_validator("template")
    @classmethod
    def _a_template(cls, value: str | None) -> str | None:
        if value is not None and value.count(HOLE) != 1:
            raise ValueError(
                f"{value!r} has {value.count(HOLE)} holes; write {HOLE} once, where the part to "
                "take stands"
            )
        if value is not None and _OPEN_PART.search(value):
            raise ValueError(
                f"{value!r}: what {HOLE} or * takes ends at a /, at a ? or at the end of the "
                "template; nothing else may follow it"
            )
        return value

    @model_validator(mode="after")
    def _from_one_place(self) -> Source:
        places = ("attribute", "resource", "item", "span", "constant")
        named = [place for place in places if getattr(self, place) is not None]
        if len(named) != 1:
            raise ValueError(
                f"a value comes from one of {', '.join(places)}; here {len(named)} are named"
            )
        reading = (getattr(self, step) for step in READING)
        if self.constant is not None and any(step is not None for step in reading):
            raise ValueError("a constant is recorded as it is; leave the other keys out")
        return self


Sources = Annotated[tuple[Source, ...], BeforeValidator(_sources)]
"""Sources in order: the first that has a value counts."""


class Match(Section):
    """Which spans a mapping takes: those for which everything named here holds."""

    scope: Patterns | None = None
    """Names of instrumentation scopes."""
    span: Patterns | None = None
    """Names of spans."""
    kind: Annotated[tuple[Kind, ...] | None, BeforeValidator(_a_list)] = None
    attributes: dict[str, Patterns] = Field(default_factory=dict)
    """Attribute → values that the span has to have one of."""
    without: dict[str, Patterns] = Field(default_factory=dict)
    """Attribute → values that the span must have none of."""
    resource: dict[str, Patterns] = Field(default_factory=dict)
    """As `attributes`, of the resource's."""


class Recorded(Section):
    """What is recorded of a span: field → where its value comes from."""

    required: tuple[str, ...] = ()
    """Fields without which a span that matches is refused."""

    def field_sources(self) -> dict[str, tuple[Source, ...]]:
        """The fields that are given, by their names in the file; slices as `slices.<key>`."""
        found = {}
        for name, field in type(self).model_fields.items():
            value = getattr(self, name)
            if isinstance(value, tuple) and value and isinstance(value[0], Source):
                found[field.alias or name] = value
            elif name == "slices":
                found |= {f"slices.{key}": sources for key, sources in value.items()}
        return found

    @model_validator(mode="after")
    def _checked(self) -> Self:
        known = self.field_sources()
        for name in self.required:
            if name not in known:
                raise ValueError(
                    f"required = {name!r} is no field that is given; given are {', '.join(known)}"
                )
        for name, choices in _CHOICES.items():
            for source in getattr(self, name, None) or ():
                said = [] if source.constant is None else [source.constant]
                for text in (*said, *(source.values or {}).values()):
                    if text not in choices:
                        raise ValueError(f"{name} = {text!r} is not one of {', '.join(choices)}")
        return self


class PredictionFields(Recorded):
    """What is recorded of a span as of a prediction."""

    model: Sources | None = None
    version: Sources | None = None
    variant: Sources | None = None
    environment: Sources | None = None
    service: Sources | None = None
    operation: Sources = (Source(constant="predict"),)
    task: Sources | None = None
    prediction_id: Sources | None = None
    """Default: the span's own trace and span id."""
    prediction_ids: Sources | None = None
    count: Sources | None = None
    event_time: Sources | None = None
    class_: Sources | None = Field(None, alias="class")
    score: Sources | None = None
    value: Sources | None = None
    positive_class: Sources | None = None
    threshold: Sources | None = None
    classes_predicted: Sources | None = None
    scores: Sources | None = None
    values: Sources | None = None
    offsets: Sources | None = None
    classes: Sources | None = None
    probabilities: Sources | None = None
    error_type: Sources | None = None
    adjusted_count: Sources | None = None
    """Default: what the span says, else the threshold in its trace state (`ot=th:…`), else 1."""
    slices: dict[str, Sources] = Field(default_factory=dict)

    @field_validator("slices")
    @classmethod
    def _slice_keys(cls, value: dict[str, Any]) -> dict[str, Any]:
        if len(value) > semconv.SLICE_KEYS_MAX:
            raise ValueError(
                f"{len(value)} slices; a prediction has at most {semconv.SLICE_KEYS_MAX}"
            )
        for key in value:
            if not key or "." in key:
                raise ValueError(f"slice {key!r}: a key is a text without a dot")
        return value


class LabelFields(Recorded):
    """What is recorded of a span as of a label, or of several."""

    about: Literal["link", "self"] = "link"
    """The prediction is the span that the one link names, or the span itself."""
    each: str | None = None
    """A prefix with `{}` for a number, `evaluations.{}.evaluation.`: one label for each number."""
    model: Sources | None = None
    version: Sources | None = None
    prediction_id: Sources | None = None
    response_id: Sources | None = None
    target: Sources | None = None
    kind: Sources | None = None
    class_: Sources | None = Field(None, alias="class")
    value: Sources | None = None
    time: Sources | None = None
    """Default: when the span ended."""
    id: Sources | None = None
    """Tells the labels of one prediction and target apart; default: a hash of the content."""
    source: Sources | None = None
    annotator_kind: Sources | None = None
    weight: Sources | None = None

    @field_validator("each")
    @classmethod
    def _a_prefix(cls, value: str | None) -> str | None:
        before, hole, after = (value or f"-{HOLE}-").partition(HOLE)
        if not (before and hole and after) or HOLE in after:
            raise ValueError(
                f"{value!r}: write a prefix with one {HOLE} for the number, and what is always "
                "there before and behind it: evaluations.{}.evaluation."
            )
        return value

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.class_ is None and self.value is None:
            raise ValueError("a label says a class or a number; give `class`, `value` or both")
        return self


class Mapping(Section):
    """One mapping: a rule of the user's, or a ready-made one by its name, changed or not."""

    ready_made: str | None = None
    """The name of a ready-made mapping; what else is given replaces its parts, key by key."""
    name: str | None = None
    match: Match | None = None
    prediction: PredictionFields | None = None
    label: LabelFields | None = None

    @model_validator(mode="before")
    @classmethod
    def _by_name(cls, value: object) -> object:
        return {"ready_made": value} if isinstance(value, str) else value

    @field_validator("ready_made")
    @classmethod
    def _exists(cls, value: str | None) -> str | None:
        if value is not None and value not in ready_made_names():
            raise ValueError(f"no ready-made mapping; there are {', '.join(ready_made_names())}")
        return value

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.ready_made is not None:
            if self.name is not None:
                raise ValueError("a ready-made mapping has its own name; leave `name` out")
            self.rules()
            return self
        if not self.name:
            raise ValueError("name it: `name: ours`, or take a ready-made one by its name")
        if self.match is None or not self.match.model_fields_set:
            raise ValueError(
                f"{self.name}: say which spans it takes, such as match: {{scope: our.library}}; "
                "without that it would take every span there is"
            )
        if (self.prediction is None) == (self.label is None):
            raise ValueError(
                f"{self.name}: a mapping records a prediction or a label; give one of the two"
            )
        if self.prediction is not None and self.prediction.model is None:
            raise ValueError(
                f"{self.name}: say which model predicted, such as prediction: "
                "{model: {attribute: our.model}}"
            )
        fields = self.prediction or self.label
        each = None if self.label is None else self.label.each
        for field, sources in ({} if fields is None else fields.field_sources()).items():
            if each is None and any(source.item is not None for source in sources):
                raise ValueError(f"{self.name}: {field}: `item` needs `each`")
        return self

    def rules(self) -> tuple[Mapping, ...]:
        """The rules it stands for: itself, or those of its ready-made file, changed as it says."""
        if self.ready_made is None:
            return (self,)
        text = (READY_MADE / f"{self.ready_made}.yaml").read_text(encoding="utf-8")
        own = self.model_dump(
            by_alias=True, exclude_unset=True, include={"match", "prediction", "label"}
        )
        rules = [_changed(rule, own) for rule in yaml.safe_load(text)]
        return tuple(Mapping.model_validate(rule) for rule in rules)


def _changed(rule: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """A rule with what the user gives in its place; a part that it lacks is not added."""
    changed = dict(rule)
    for part in ("match", "prediction", "label"):
        if part in rule and part in own:
            changed[part] = {**rule[part], **own[part]}
    return changed

"""A mistake in the configuration stops the start, and names key, value and rule."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferspan_collector.config import (
    OFF,
    Config,
    ConfigError,
    Model,
    load,
    span_minutes,
    split_address,
)
from inferspan_collector.store.database import Database


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "inferspan.yaml"


def test_without_a_file_there_are_defaults() -> None:
    assert load(None) == Config()


def test_a_file_changes_what_it_names(file: Path) -> None:
    file.write_text("limits: {classes: 7}\nmodels: {fraud: {owner: risk}}\n")

    read = load(file)

    assert (read.limits.classes, read.limits.models) == (7, Config().limits.models)
    assert read.model("fraud") == Model(owner="risk")
    assert read.model("other") == Model()


@pytest.mark.parametrize("written", ["off", "'off'", "OFF", "false"])
def test_a_listener_may_be_switched_off_as_yaml_writes_it(file: Path, written: str) -> None:
    file.write_text(f"receivers: {{otlp_grpc: {written}}}\n")
    assert load(file).receivers.otlp_grpc == OFF


def test_an_empty_file_changes_nothing(file: Path) -> None:
    file.write_text("# nothing yet\n")
    assert load(file) == Config()


def test_what_the_command_line_says_wins_and_what_it_leaves_out_stays(file: Path) -> None:
    file.write_text("store: {data: here, compact_every: 9}\n")

    read = load(file, {"store": {"data": "there"}, "receivers": {"api": None}})

    assert (str(read.store.data), read.store.compact_every) == ("there", 9)
    assert read.receivers == Config().receivers


@pytest.mark.parametrize(
    ("section", "key", "value", "rule"),
    [
        ("receivers", "api", "4319", "HOST:PORT"),
        ("receivers", "api", "127.0.0.1:70000", "0 to 65535"),
        ("receivers", "otlp_grpc", "0.0.0.0:4317", "allow_public"),
        ("limits", "classes", 1, "greater than or equal to 2"),
        ("limits", "request_byte", 1, "Extra inputs are not permitted"),
        ("store", "memory", "lots", "500MB, 1.5GiB or 50%"),
        ("store", "memory", "1KB", "from 1MB up"),
        ("store", "memory", "0%", "500MB, 1.5GiB or 50%"),
        ("store", "memory", "1GB;", "500MB, 1.5GiB or 50%"),
        ("jaeger", "otlp", "127.0.0.1:14318", "http:// or https:// URL"),
        ("jaeger", "otlp", "ftp://jaeger", "http:// or https:// URL"),
        ("jaeger", "otlp", "", "http:// or https:// URL"),
        ("jaeger", "ui", "localhost:16686", "http:// or https:// URL"),
        ("jaeger", "ui", "null", "http:// or https:// URL"),
        ("jaeger", "ui", "http://", "http:// or https:// URL"),
        ("jaeger", "ui", "http://jaeger:99999", "http:// or https:// URL"),
        ("jaeger", "ui", "http://jaeger one", "http:// or https:// URL"),
        ("jaeger", "correct_share", 1.5, "less than or equal to 1"),
        ("publish", "quality_windows", ["1h", "hour"], "30m, 1h or 7d"),
        ("publish", "quality_windows", ["all"], "30m, 1h or 7d"),
    ],
)
def test_a_mistake_is_named_with_key_value_and_rule(
    section: str, key: str, value: Any, rule: str
) -> None:
    with pytest.raises(ConfigError) as refusal:
        load(None, {section: {key: value}})
    said = str(refusal.value)
    assert said.startswith(section)
    assert key in said
    assert str(value[-1] if isinstance(value, list) else value) in said
    assert rule in said


def test_all_mistakes_are_named_at_once(file: Path) -> None:
    file.write_text("limits: {classes: 0}\nstore: {memory: lots}\nstor: {}\n")
    with pytest.raises(ConfigError) as refusal:
        load(file)
    for part in (str(file), "limits.classes = 0", "store.memory = 'lots'", "stor = {}"):
        assert part in str(refusal.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [("[1, 2]", "holds a list"), ("a: b: c", "is not YAML"), ("store: 7", "store = 7")],
)
def test_a_file_of_another_shape_is_refused(file: Path, text: str, said: str) -> None:
    file.write_text(text)
    with pytest.raises(ConfigError, match=said):
        load(file, {"store": {"data": "there"}})


def test_a_file_that_is_not_there_or_no_text_is_named(file: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read"):
        load(file)
    file.write_bytes(b"\xff\xfe\xff")
    with pytest.raises(ConfigError, match="is not YAML"):
        load(file)


@pytest.mark.parametrize("memory", ["1MB", "500mb", "1 GB", "1.5GiB", "2tb", "50%"])
def test_what_passes_as_memory_the_store_takes(memory: str, tmp_path: Path) -> None:
    read = load(None, {"store": {"memory": memory}})
    Database.open(tmp_path, read.store.memory).close()


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:16686", "https://jaeger.example/path", "http://[::1]:16686"]
)
def test_urls_are_kept_as_given(url: str) -> None:
    read = load(None, {"jaeger": {"ui": url, "otlp": url}})
    assert (read.jaeger.ui, read.jaeger.otlp) == (url, url)


@given(st.text(max_size=20) | st.from_regex(r"\A\[?[a-z:]{0,3}\]?:\d{1,6}\Z"))
def test_an_address_is_split_or_refused(text: str) -> None:
    host, port = "h", 0
    with contextlib.suppress(ConfigError):
        address = load(None, {"receivers": {"api": text, "allow_public": True}}).receivers.api
        host, port = ("h", 0) if address == "off" else split_address(address)
    assert host
    assert 0 <= port <= 65535


@pytest.mark.parametrize(
    ("text", "parts"), [("h:1", ("h", 1)), ("[::1]:4318", ("::1", 4318)), ("h:0", ("h", 0))]
)
def test_addresses(text: str, parts: tuple[str, int]) -> None:
    assert split_address(text) == parts


@pytest.mark.parametrize("text", ["4318", ":4318", "[]:4318", "h:", "h:-1", "h:65536", "h:²"])
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(ValueError, match="HOST:PORT") as refusal:
        split_address(text)
    assert repr(text) in str(refusal.value)


@pytest.mark.parametrize(("text", "minutes"), [("30m", 30), ("1h", 60), ("7d", 10080)])
def test_spans_of_time(text: str, minutes: int) -> None:
    assert span_minutes(text) == minutes


@pytest.mark.parametrize("text", ["", "h", "0h", "1w", "1.5h", "-1h", "1h ", "١h", "9999999d"])
def test_what_is_no_span_of_time(text: str) -> None:
    with pytest.raises(ValueError, match="30m, 1h or 7d"):
        span_minutes(text)


def test_a_spelling_means_its_class() -> None:
    model = Model(class_aliases={"1": "fraud", "0": "legit"})
    assert [model.canonical(text) for text in ("1", "fraud", "other", None)] == [
        "fraud",
        "fraud",
        "other",
        None,
    ]

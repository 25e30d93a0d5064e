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
from inferspan_collector.config.memory import BASE_BYTES, PARTS
from inferspan_collector.config.store import amount_bytes
from inferspan_collector.store.database import Database, StoreError


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
        (
            "limits",
            "request_byte",
            1,
            "do you mean request_bytes? known here: memory, request_bytes, ",
        ),
        ("limits", "colour", 1, "no such key; known here: memory, request_bytes, "),
        ("limits", "models", True, "valid integer"),
        ("limits", "models", "7", "valid integer"),
        ("limits", "group_milliseconds", True, "valid number"),
        ("store", "compact_every", True, "valid integer"),
        ("store", "memory", "-1GB", "from 1MB up"),
        ("jaeger", "outbox_entries", True, "valid integer"),
        ("receivers", "allow_public", "true", "valid boolean"),
        (
            "receivers",
            "api",
            "127.0.0.1:4318",
            "otlp_http = 127.0.0.1:4318 and api = 127.0.0.1:4318",
        ),
        ("receivers", "api", "localhost:4317", "a port of its own"),
        ("store", "memory", "lots", "500MB, 1.5GiB or 50%"),
        ("store", "memory", "1KB", "from 1MB up"),
        ("store", "memory", "0%", "500MB, 1.5GiB or 50%"),
        ("store", "memory", "1GB;", "500MB, 1.5GiB or 50%"),
        ("jaeger", "otlp", "127.0.0.1:14318", "http:// or https:// URL"),
        ("jaeger", "otlp", "http://", "http:// or https:// URL"),
        ("jaeger", "otlp", "http://x:99999", "http:// or https:// URL"),
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


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("jaeger: {otlp: '127.0.0.1:14318'}", "write it as http://127.0.0.1:14318"),
        ("jaeger: {monitor_upstream: 'prometheus:9090'}", "write it as http://prometheus:9090"),
        ("jaeger: {otlp: 'ftp://jaeger'}", "write it as http://HOST:PORT"),
        ("receivers: {otlp_http: 33518}", "write it as 127.0.0.1:33518"),
        ("store: {retention: {rows: 30}}", "write it with one: 30m, 1h or 30d"),
        ("models: {m: {targets: {default: {window: 30}}}}", "30m, 1h or 30d"),
        ("models: {m: {thresholds: {accuracy: 0.9}}}", "write {lower: 0.9} to alert below it"),
        ("models: {m: {thresholds: {acc: {lower: 0.9}}}}", "did you mean accuracy? Write a"),
        ("models: {m: {thresholds: {qqq: {lower: 0.9}}}}", "qqq is no figure. Write a"),
        ("models: {m: {minimum_n: many}}", "write a whole number, without quotes"),
        ("models: {m: {positive_class: 1}}", 'write it in quotes: "1"'),
        ("models: {m: {targets: {default: {sources: crm}}}}", "write a list: [crm]"),
        ("models: [fraud, churn]", "write a mapping: {fraud: {…}, churn: {…}}"),
        ("models: {m: 5}", "write a mapping, `KEY: VALUE` for each key"),
    ],
)
def test_a_mistake_names_what_to_write_instead(file: Path, text: str, remedy: str) -> None:
    file.write_text(text)
    with pytest.raises(ConfigError) as refusal:
        load(file)
    assert remedy in str(refusal.value)


@pytest.mark.parametrize(("section", "key"), [("publish", "grafana"), ("jaeger", "ui")])
@pytest.mark.parametrize(
    "end", ["?a=b", "?", "#frag", "?a=b#frag"], ids=["query", "empty query", "fragment", "both"]
)
def test_an_address_that_links_are_made_of_ends_in_its_path(
    section: str, key: str, end: str
) -> None:
    with pytest.raises(ConfigError, match=r"query or fragment; write it as http://graf/x$"):
        load(None, {section: {key: f"http://graf/x{end}"}})
    load(None, {section: {key: "http://graf/x"}})


@pytest.mark.parametrize(("section", "key"), [("publish", "grafana"), ("jaeger", "ui")])
@pytest.mark.parametrize(
    ("address", "remedy"),
    [
        ("http://user:hunter2@graf:3000/", "write it as http://graf:3000/"),
        ("http://hunter2@graf", "write it as http://graf"),
        ("user:hunter2@graf", "write it as http://HOST:PORT"),
    ],
)
def test_a_password_is_not_shown_to_readers_and_reaches_no_log(
    section: str, key: str, address: str, remedy: str
) -> None:
    with pytest.raises(ConfigError) as refusal:
        load(None, {section: {key: address}})
    said = str(refusal.value)
    assert (said.startswith(f"{section}.{key}: "), said.endswith(remedy)) == (True, True)
    assert "hunter2" not in said


def test_a_remedy_repeats_nothing_of_the_section_with_tokens(file: Path) -> None:
    file.write_text("auth: {tokens: hunter2}")
    with pytest.raises(ConfigError) as refusal:
        load(file)
    assert "write a mapping" in str(refusal.value)
    assert "hunter2" not in str(refusal.value)


def test_all_mistakes_are_named_at_once(file: Path) -> None:
    file.write_text("limits: {classes: 0}\nstore: {memory: lots}\nstor: {}\n")
    with pytest.raises(ConfigError) as refusal:
        load(file)
    for part in (str(file), "limits.classes = 0", "store.memory = 'lots'", "stor = {}"):
        assert part in str(refusal.value)


def test_an_unknown_key_within_a_model_is_told_those_of_models(file: Path) -> None:
    # The model is called as a key is.
    file.write_text("models: {owner: {ownr: risk, targets: {targets: {source: []}}}}\n")
    with pytest.raises(ConfigError) as refusal:
        load(file)
    assert "models.owner.ownr = 'risk': no such key; do you mean owner?" in str(refusal.value)
    assert "known here: sources" in str(refusal.value)


def test_a_public_listener_takes_the_port_of_every_host() -> None:
    receivers = {"allow_public": True, "api": "0.0.0.0:4318"}
    with pytest.raises(ConfigError, match="a port of its own"):
        load(None, {"receivers": receivers})


def test_free_ports_and_listeners_that_are_off_take_none_from_each_other() -> None:
    for address in ("127.0.0.1:0", OFF):
        read = load(None, {"receivers": {"otlp_http": address, "api": address}})
        assert read.receivers.api == address


@pytest.mark.parametrize(
    "text",
    [
        "store:\n  compact_every: 3\nstore:\n  memory: 2GB\n",
        "models:\n  fraud: {}\n  'fraud': {owner: risk}\n",
    ],
)
def test_a_key_stands_once(file: Path, text: str) -> None:
    file.write_text(text)
    with pytest.raises(ConfigError, match=r"line 3: the key '(store|fraud)' is given twice"):
        load(file)


def test_the_same_key_in_two_sections_and_merged_mappings_are_fine(file: Path) -> None:
    file.write_text(
        "models:\n  a: &a {owner: risk}\n  b: {<<: *a, owner: sales}\n  c: {owner: ops}\n"
    )
    assert [load(file).model(name).owner for name in "abc"] == ["risk", "sales", "ops"]


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


def test_a_store_without_memory_is_not_said_to_be_in_use(tmp_path: Path) -> None:
    # Its message names a "block" or an "allocation", in which "lock" may stand.
    with pytest.raises(StoreError, match=r"raise store\.memory") as refusal:
        Database.open(tmp_path, "1KB")
    assert "in use" not in str(refusal.value)


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


# --- one ceiling of memory ------------------------------------------------------------------------


@given(
    ceiling=st.integers(12 * 10**8, 10**12),
    queue=st.none() | st.integers(64 * 1024 * 1024, 10**8),
    store=st.none() | st.integers(100, 200),
)
def test_all_parts_fit_below_the_ceiling(
    ceiling: int, queue: int | None, store: int | None
) -> None:
    limits: dict[str, Any] = {"memory": f"{ceiling}B"}
    limits |= {} if queue is None else {"queue_bytes": queue}
    memory = {} if store is None else {"memory": f"{store}MB"}
    read = load(None, {"limits": limits, "store": memory})
    taken = sum(
        (amount_bytes(value) or 0 if isinstance(value, str) else value) * part.bytes_each
        for part in PARTS
        for value in [getattr(getattr(read, part.section), part.key)]
    )
    assert taken + BASE_BYTES <= ceiling
    if queue is not None:
        assert read.limits.queue_bytes == queue
    if store is not None:
        assert read.store.memory == f"{store}MB"
    assert read.limits.queue_bytes >= read.limits.request_bytes


@pytest.mark.parametrize(
    ("sections", "said"),
    [
        ({"limits": {"memory": "500MB"}}, "limits.memory = 500 MB is too little: 400 MB are taken"),
        ({"limits": {"memory": "lots"}}, "write it as 2GB or 1.5GiB"),
        (
            {"limits": {"memory": "2GB", "queue_bytes": 10**9}},
            "limits.queue_bytes takes 2000 MB",
        ),
        ({"limits": {"memory": "2GB"}, "store": {"memory": "50%"}}, "a share of the machine's"),
        (
            {"limits": {"memory": "1GB", "queue_bytes": 280_000_000}},
            "raise it, or lower these",
        ),
    ],
)
def test_a_ceiling_that_is_too_low_is_named(sections: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        load(None, sections)
    assert said in str(refusal.value)

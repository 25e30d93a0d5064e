"""A wrong mapping stops the start, and names key, value, rule and remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from inferspan_collector.config import ConfigError, load
from inferspan_collector.config.json_path import follow, parse_json_path
from inferspan_collector.config.mappings import ready_made_names

WHOLE = "name: ours, match: {scope: s}"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "inferspan.yaml"


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("gen_aj", ["mappings.0", "'gen_aj'", "no ready-made mapping", "gen_ai, mlserver"]),
        ("{ready_made: triton, name: x}", ["leave `name` out"]),
        ("{match: {scope: s}, prediction: {model: m}}", ["name it"]),
        ("{name: ours, prediction: {model: m}}", ["ours: say which spans it takes"]),
        ("{name: ours, match: {}, prediction: {model: m}}", ["ours: say which spans it takes"]),
        (f"{{{WHOLE}}}", ["records a prediction or a label"]),
        (f"{{{WHOLE}, prediction: {{model: m}}, label: {{class: x}}}}", ["one of the two"]),
        (f"{{{WHOLE}, prediction: {{version: 7}}}}", ["say which model predicted"]),
        (
            f"{{{WHOLE}, prediction: {{model: {{atribute: m}}}}}}",
            ["no such key", "do you mean attribute"],
        ),
        (
            f"{{{WHOLE}, prediction: {{model: m, clas: a}}}}",
            ["mappings.0.prediction.clas", "mean class?"],
        ),
        (f"{{{WHOLE}, prediction: {{model: {{}}}}}}", ["here 0 are named"]),
        (
            f"{{{WHOLE}, prediction: {{model: {{attribute: a, resource: b}}}}}}",
            ["here 2 are named"],
        ),
        (
            f"{{{WHOLE}, prediction: {{model: {{constant: m, keep: m}}}}}}",
            ["a constant is recorded as it is"],
        ),
        (f"{{{WHOLE}, prediction: {{model: {{item: a}}}}}}", ["ours: model: `item` needs `each`"]),
        (
            f"{{{WHOLE}, label: {{class: x, target: {{item: a}}}}}}",
            ["ours: target: `item` needs `each`"],
        ),
        (f"{{{WHOLE}, label: {{target: t}}}}", ["a label says a class or a number"]),
        (f"{{{WHOLE}, label: {{class: x, each: 'a.{{}}'}}}}", ["'a.{}'", "behind it"]),
        (f"{{{WHOLE}, label: {{class: x, each: 'a.b'}}}}", ["'a.b'", "a prefix with one {}"]),
        (
            f"{{{WHOLE}, prediction: {{model: m, operation: guess}}}}",
            ["'guess' is not one of predict"],
        ),
        (
            f"{{{WHOLE}, prediction: {{model: m, task: {{attribute: a, values: {{x: guess}}}}}}}}",
            ["task = 'guess' is not one of binary"],
        ),
        (
            f"{{{WHOLE}, label: {{class: x, kind: guess}}}}",
            ["kind = 'guess' is not one of ground_truth"],
        ),
        (
            f"{{{WHOLE}, prediction: {{model: m, required: [class]}}}}",
            ["required = 'class'", "given are model"],
        ),
        (
            f"{{{WHOLE}, prediction: {{model: m, slices: {{a.b: x}}}}}}",
            ["slice 'a.b'", "without a dot"],
        ),
        (
            f"{{{WHOLE}, prediction: {{model: {{attribute: a, json_path: a.b}}}}}}",
            ["'a.b' is no path", "$.choices[0].label"],
        ),
        (
            f"{{{WHOLE}, prediction: {{model: {{attribute: a, template: /v2/}}}}}}",
            ["'/v2/' has 0 holes"],
        ),
        (
            f"{{{WHOLE}, prediction: {{model: {{attribute: a, template: '{{}}-{{}}'}}}}}}",
            ["has 2 holes"],
        ),
        (
            f"{{{WHOLE}, prediction: {{model: {{attribute: a, template: '/{{}}x'}}}}}}",
            ["ends at a /"],
        ),
        (
            "{name: ours, match: {kind: servr}, prediction: {model: m}}",
            ["mappings.0.match.kind.0", "'server'"],
        ),
        (
            "{name: ours, match: {scope: []}, prediction: {model: m}}",
            ["names nothing to compare with"],
        ),
        (
            "{name: ours, match: {scop: a}, prediction: {model: m}}",
            ["no such key; do you mean scope?"],
        ),
        ("triton, triton", ["triton is given twice"]),
        ("17", ["mappings.0", "17"]),
    ],
)
def test_a_mistake_is_told_with_its_rule(file: Path, written: str, said: list[str]) -> None:
    file.write_text(f"mappings: [{written}]\n")

    with pytest.raises(ConfigError) as told:
        load(file)

    for text in ("mappings", *said):
        assert text in str(told.value)


def test_slices_are_as_many_as_a_prediction_may_have(file: Path) -> None:
    slices = ", ".join(f"s{number}: x" for number in range(9))
    file.write_text(f"mappings: [{{{WHOLE}, prediction: {{model: m, slices: {{{slices}}}}}}}]\n")
    with pytest.raises(ConfigError, match="9 slices; a prediction has at most 8"):
        load(file)


@pytest.mark.parametrize("name", ready_made_names())
def test_a_ready_made_mapping_is_switched_on_by_its_name(file: Path, name: str) -> None:
    file.write_text(f"mappings: [{name}]\n")
    (mapping,) = load(file).mappings
    rules = mapping.rules()
    assert rules[0].name == name
    assert all(rule.name is not None and rule.name.split(".")[0] == name for rule in rules)


def test_a_change_of_a_ready_made_mapping_is_checked_too(file: Path) -> None:
    file.write_text(
        "mappings: [{ready_made: triton, prediction: {model: {attribute: a, item: b}}}]\n"
    )
    with pytest.raises(ConfigError, match="here 2 are named"):
        load(file)


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("$", {"a": [{"b": 1}, {"b": 2}], "c d": 3}),
        ("$.a", [{"b": 1}, {"b": 2}]),
        ("$.a[0].b", 1),
        ("$.a[-1].b", 2),
        ("$.a[2]", None),
        ("$.a[*].b", [1, 2]),
        ("$.a[*].x", [None, None]),
        ('$["c d"]', 3),
        ("$.a.b", None),
        ("$[0]", None),
        ("$[*]", None),
        ("$.x.y", None),
    ],
)
def test_a_path_leads_into_a_document(path: str, found: object) -> None:
    document = {"a": [{"b": 1}, {"b": 2}], "c d": 3}
    assert follow(document, parse_json_path(path)) == found


@pytest.mark.parametrize(
    "path", ["", "a", "$.", "$..a", "$[", "$[x]", "$['a']", "$.a b", "$[*].a[*]", "$" + "[0]" * 33]
)
def test_what_is_no_path_is_told_how_one_is_written(path: str) -> None:
    with pytest.raises(ValueError, match=r"no path into JSON|more than"):
        parse_json_path(path)

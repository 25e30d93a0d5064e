"""What the documentation says is true: its code runs, its keys, links and commands exist."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from fnmatch import fnmatchcase as fnmatch
from pathlib import Path

import pydantic_core
import pytest
import yaml
from pydantic import BaseModel

from inferspan_collector import config
from inferspan_collector.config import mappings

ROOT = Path(__file__).parents[1]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
COMMAND = Path(sys.executable).with_name("inferspan")


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks(page: Path, language: str) -> list[str]:
    """The code blocks of a page in one language."""
    fences = re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)
    return [body for found, body in fences if found == language]


def run(program: str, served: dict[str, str], directory: Path) -> None:
    """Run a program to whom our default addresses mean this collector."""
    for default, key in (("4318", "otlp_http"), ("4319", "api")):
        program = program.replace(f"http://127.0.0.1:{default}", served[key])
    environment = os.environ | {"OTEL_EXPORTER_OTLP_ENDPOINT": served["otlp_http"]}
    done = subprocess.run(
        (sys.executable, "-W", "error", "-c", program),
        cwd=directory,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr


WITH_PYTHON = [page for page in PAGES if blocks(page, "python")]


@pytest.mark.parametrize("page", WITH_PYTHON, ids=name_of)
def test_python_in_a_page_runs(page: Path, served: dict[str, str], tmp_path: Path) -> None:
    run("\n".join(blocks(page, "python")), served, tmp_path)


SPANS_OF_THE_README = """
import json, sys
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
exporter = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
trace.set_tracer_provider(provider)
exec(sys.stdin.read())
print(json.dumps({span.name: dict(span.attributes) for span in exporter.get_finished_spans()}))
"""


def test_the_span_in_the_readme_is_the_one_its_code_makes(served: dict[str, str]) -> None:
    shown: dict[str, dict[str, str]] = {}
    name = ""
    for line in blocks(ROOT / "README.md", "text")[0].splitlines():
        if line.startswith("  "):
            key, value = line.split()
            shown[name][key] = value
        else:
            name = line
            shown[name] = {}
    evaluation = shown.pop("evaluate fraud")
    assert evaluation["inferspan.evaluation.outcome"] == "incorrect"
    done = subprocess.run(
        (sys.executable, "-c", SPANS_OF_THE_README),
        input=blocks(ROOT / "README.md", "python")[0],
        env=os.environ | {"OTEL_EXPORTER_OTLP_ENDPOINT": served["otlp_http"]},
        capture_output=True,
        text=True,
    )
    made = json.loads(done.stdout.splitlines()[-1])
    for name, attributes in shown.items():
        assert {key: str(made[name].get(key)) for key in attributes} == attributes


def test_the_readme_ends_in_accuracy(served: dict[str, str], tmp_path: Path) -> None:
    (program,) = blocks(ROOT / "README.md", "python")
    # An id of its own: other pages speak of order-17, too.
    run(program.replace("order-17", "order-of-the-readme"), served, tmp_path)
    url = f"{served['api']}/api/v1/models/fraud/predictions?outcome=incorrect"
    with urllib.request.urlopen(url, timeout=10) as response:
        answer = response.read().decode()
    assert "order-of-the-readme" in answer
    assert "legit" in answer


def keys(section: type[BaseModel], prefix: str) -> Iterator[tuple[str, object]]:
    """Every key below a section with its default, as the documentation writes keys."""
    for name, field in section.model_fields.items():
        default = field.get_default(call_default_factory=True)
        if isinstance(default, BaseModel):
            yield from keys(type(default), f"{prefix}{name}.")
        elif section is config.Config and name == "models":
            yield from keys(config.Model, f"{prefix}models.<name>.")
        else:
            yield f"{prefix}{name}", default
        if section is config.Model and name == "targets":
            yield from keys(config.Target, f"{prefix}targets.<target>.")
        if section is config.Auth and name == "tokens":
            yield from keys(config.Token, f"{prefix}tokens.<name>.")


def as_documented(default: object) -> str:
    match default:
        case pydantic_core.PydanticUndefined:
            return "required"
        case None:
            return "none"
        case tuple():
            return f"`[{', '.join(map(str, default))}]`"
        case bool():
            return f"`{str(default).lower()}`"
    return f"`{default}`"


def test_every_configuration_key_is_documented_with_its_default() -> None:
    text = (ROOT / "docs/configuration.md").read_text()
    rows = dict(re.findall(r"^\| `([a-z_]+(?:\.[^`]+)?)` \| (.+?) \|", text, re.MULTILINE))
    assert rows == {key: as_documented(default) for key, default in keys(config.Config, "")}


def test_every_key_of_a_mapping_is_documented() -> None:
    text = (ROOT / "docs/bring-your-own-spans.md").read_text()
    documented = set(re.findall(r"`([a-z_]+)`", text))
    sections = (mappings.Mapping, mappings.Match, mappings.Source)
    sections += (mappings.PredictionFields, mappings.LabelFields)
    known = {
        field.alias or name for section in sections for name, field in section.model_fields.items()
    }
    assert known - documented == set()


def test_every_ready_made_mapping_is_in_the_table_of_the_documentation() -> None:
    text = (ROOT / "docs/bring-your-own-spans.md").read_text()
    rows = re.findall(r"^\| `([a-z_.]+)` \|", text, re.MULTILINE)
    rules = [
        rule.name
        for name in mappings.ready_made_names()
        for rule in mappings.Mapping.model_validate(name).rules()
    ]
    assert [name for name in rules if name not in rows] == []


def test_configurations_in_the_documentation_are_valid(tmp_path: Path) -> None:
    found = 0
    for page in PAGES:
        for block in blocks(page, "yaml"):
            if set(yaml.safe_load(block)) <= set(config.Config.model_fields):
                (file := tmp_path / "inferspan.yaml").write_text(block)
                config.load(file)
                found += 1
    assert found


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text())
    files = [link for link in links if "://" not in link]
    assert [link for link in files if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_paths_in_code_exist(page: Path) -> None:
    named = re.findall(
        r"`((?:src|collector|tests|docs|examples|benchmarks|\.ci)/[\w./-]*)`", page.read_text()
    )
    assert [path for path in named if not (ROOT / path).exists()] == []


def shell_lines(page: Path) -> Iterator[str]:
    """Commands in shell blocks (joined at backslashes) and in inline code."""
    for block in (*blocks(page, "sh"), *blocks(page, "bash"), *blocks(page, "console")):
        yield from block.replace("\\\n", " ").splitlines()
    yield from re.findall(r"`((?:make|inferspan) [^`]+)`", page.read_text())


ON_THE_WAY = ("receivers", "decode", "journal", "store")
"""Rooms whose modules are stages, each of them one of a kind."""


def test_every_module_on_the_way_of_the_data_is_on_the_map() -> None:
    code = re.findall(r"`([\w./*]+)`", (ROOT / "docs/architecture.md").read_text())
    named = {Path(word).name.removesuffix(".py") for word in code}
    collector = ROOT / "collector/inferspan_collector"
    rooms = (ROOT / "src/inferspan", collector, *(collector / room for room in ON_THE_WAY))
    unnamed = [
        str(path.relative_to(ROOT))
        for room in rooms
        for path in sorted(room.glob("*.py"))
        if path.stem != "__init__" and not any(fnmatch(path.stem, name) for name in named)
    ]
    assert unnamed == []


def test_each_decision_has_a_number_of_its_own_and_says_it() -> None:
    decisions = sorted((ROOT / "docs/decisions").glob("*.md"))
    numbers = [page.name[:4] for page in decisions]
    assert len(set(numbers)) == len(numbers)
    assert [page.read_text()[2:7] for page in decisions] == [f"{n}:" for n in numbers]


def test_commands_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    unknown = []
    asked: dict[tuple[str, ...], str] = {}
    for page in PAGES:
        for line in shell_lines(page):
            words = line.split("#")[0].split("|")[-1].removeprefix("$ ").split()
            if words[:1] == ["make"]:
                named = {w for w in words[1:] if "=" not in w and re.fullmatch("[a-z-]+", w)}
                unknown += [f"{name_of(page)}: {line}" for _ in named - targets]
            elif words[:1] == ["inferspan"]:
                path = tuple(
                    words[1 : 3 if words[1:2] in (["labels"], ["mappings"], ["store"]) else 2]
                )
                if path not in asked:
                    asked[path] = help_of(path)
                options = {word.split("=")[0] for word in words if word.startswith("--")}
                unknown += [
                    f"{name_of(page)}: {line}: {o}" for o in options if o not in asked[path]
                ]
    assert unknown == []
    assert asked


def help_of(path: tuple[str, ...]) -> str:
    """What a subcommand says about itself."""
    environment = os.environ | {"NO_COLOR": "1", "COLUMNS": "200", "TERM": "dumb"}
    done = subprocess.run(
        (COMMAND, *path, "--help"), env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, f"inferspan {' '.join(path)}: {done.stderr}"
    return done.stdout

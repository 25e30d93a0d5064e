"""`docs/python.md` names every public name and every option there is, and no other."""

from __future__ import annotations

import inspect
import re
import typing
from pathlib import Path

import pytest

import inferspan

PAGE = (Path(__file__).parents[1] / "docs/python.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", PAGE, re.DOTALL | re.MULTILINE))


def options_of(name: str) -> dict[str, inspect.Parameter]:
    function = getattr(inferspan, name)
    if overloads := typing.get_overloads(function):
        function = overloads[-1]  # the one that takes options
    return dict(inspect.signature(function).parameters)


def test_every_public_name_has_a_section() -> None:
    assert sorted(SECTIONS) == sorted(inferspan.__all__)


@pytest.mark.parametrize("name", inferspan.__all__)
def test_a_section_lists_the_options_of_the_signature(name: str) -> None:
    rows = re.findall(r"^\| `(\w+)` \| (.+?) \| (.*?) ?\|$", SECTIONS[name], re.MULTILINE)
    options = options_of(name)
    assert [option for option, _, _ in rows] == list(options)
    for option, default, _ in rows:
        parameter = options[option]
        assert (default == "required") is (parameter.default is parameter.empty), option
        if isinstance(parameter.default, str | int | float) and parameter.default != "":
            assert default.strip("`") == str(parameter.default), option

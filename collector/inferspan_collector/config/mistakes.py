"""A value of the wrong type → what to write in its place."""

from __future__ import annotations

from typing import Any, Final

_REMEDIES: Final = {
    "bool_type": "write true or false, without quotes",
    "bool_parsing": "write true or false, without quotes",
    "dict_type": "write a mapping, `NAME: …` for each entry",
    "float_parsing": "write a number, without quotes",
    "float_type": "write a number, without quotes",
    "int_parsing": "write a whole number, without quotes",
    "int_type": "write a whole number, without quotes",
    "list_type": "write a list, `- ` before each entry",
    "model_type": "write a mapping, `KEY: VALUE` for each key",
    "string_type": "write a text, in quotes",
    "tuple_type": "write a list, `- ` before each entry",
}
"""Kind of mistake, as pydantic names it → what is right."""


def remedy(kind: str, given: Any) -> str:
    """What to write instead, to be put behind the rule; nothing where the rule says it.

    Args:
        kind: of the mistake, as pydantic names it.
        given: the value, or None where it must not be repeated.
    """
    general = _REMEDIES.get(kind)
    if general is None:
        return ""
    scalar = isinstance(given, str | int | float)
    if kind == "string_type" and scalar:
        return f'; write it in quotes: "{str(given).lower() if given in (True, False) else given}"'
    if kind in ("tuple_type", "list_type") and scalar:
        return f"; write a list: [{given}]"
    if kind == "dict_type" and isinstance(given, list) and given and isinstance(given[0], str):
        return f"; write a mapping: {{{', '.join(f'{each}: {{…}}' for each in given[:3])}}}"
    return f"; {general}"

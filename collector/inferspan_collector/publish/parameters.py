"""Query strings, checked: what is wrong is answered with the value, the rule and the remedy."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from inferspan_collector.problems import problem
from inferspan_collector.store.cell_queries import SLICE
from inferspan_collector.store.cells import MINUTE_NS, SERIES_KEYS

MINUTES: Final[Mapping[str, int | None]] = {"1m": 1, "5m": 5, "1h": 60, "1d": 1440, "all": None}
"""Windows an answer can be cut into, in minutes; None = one window of everything."""
BY_KEYS_MAX: Final = 8
SLICE_PARAMETER: Final = "slice.<key>"
"""Among the known names: any parameter of that form."""
COARSER: Final = (
    "ask for a coarser `every`, fewer keys in `by`, or a shorter time with `from` and `to`"
)
"""What makes an answer of windows × groups shorter."""
WINDOWS_LIMIT: Final = "limits.query_windows"

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SECONDS: Final = re.compile(r"[0-9]{1,10}(\.[0-9]+)?")
_LATEST_MINUTE: Final = (2**63 - 1) // MINUTE_NS
"""Times travel as int64 nanoseconds, so until 2262."""


class BadParameter(ValueError):
    """A parameter breaks a rule: 400."""

    def __init__(self, name: str, value: str, rule: str, remedy: str) -> None:
        super().__init__(f"{name}={value}: {rule}; {remedy}")
        self.name, self.value, self.rule, self.remedy = name, value, rule, remedy

    def response(self) -> Response:
        """The answer, as problem+json."""
        return problem(
            400,
            "Bad parameter",
            str(self),
            parameter=self.name,
            value=self.value,
            rule=self.rule,
            remedy=self.remedy,
        )


def given(request: Request, known: Iterable[str]) -> dict[str, str]:
    """The parameters of a request; `SLICE_PARAMETER` among `known` stands for any slice's.

    Raises:
        BadParameter: one is unknown or given twice.
    """
    names = tuple(known)
    values: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        if name not in names and not (SLICE_PARAMETER in names and _is_slice(name)):
            raise BadParameter(name, value, "no such parameter", f"known here: {', '.join(names)}")
        if name in values:
            raise BadParameter(
                name,
                value,
                "given more than once",
                "give it once (`by` takes a comma-separated list)",
            )
        values[name] = value
    return values


def choice(values: Mapping[str, str], name: str, allowed: Iterable[str]) -> str | None:
    """One of a few words, or None where the parameter is absent."""
    value = values.get(name)
    words = tuple(allowed)
    if value is not None and value not in words:
        raise BadParameter(name, value, "not one of the known values", f"use {', '.join(words)}")
    return value


def choices(values: Mapping[str, str], name: str, allowed: Iterable[str]) -> tuple[str, ...]:
    """Several of a few words, separated by commas; none where the parameter is absent."""
    text = values.get(name, "")
    words = tuple(dict.fromkeys(word.strip() for word in text.split(","))) if text else ()
    known = tuple(allowed)
    for word in words:
        if word not in known:
            rule = f"{word!r} is not one of the known values"
            raise BadParameter(name, text, rule, f"use {', '.join(known)}")
    return words


def whole_number(values: Mapping[str, str], name: str, default: int, largest: int) -> int:
    """An integer from 1 to `largest`."""
    value = values.get(name)
    if value is None:
        return default
    if not (value.isascii() and value.isdigit() and len(value) < 10 and 1 <= int(value) <= largest):
        raise BadParameter(
            name,
            value,
            f"a whole number from 1 to {largest} is needed",
            f"leave it out for {default}",
        )
    return int(value)


def minute(values: Mapping[str, str], name: str) -> int | None:
    """A time as its Unix minute, floored; None where the parameter is absent.

    RFC 3339 with an offset, or Unix seconds.
    """
    value = values.get(name)
    if value is None:
        return None
    remedy = "write 2026-11-21T06:00:00Z (a + in a URL is %2B), or Unix seconds"
    if _SECONDS.fullmatch(value):
        minutes = int(float(value)) // 60
    else:
        try:
            time = datetime.fromisoformat(value)
        except ValueError:
            raise BadParameter(name, value, "not a time", remedy) from None
        if time.tzinfo is None:
            raise BadParameter(name, value, "a time without offset is no instant", remedy)
        minutes = (time - _EPOCH) // timedelta(minutes=1)
    if not 0 <= minutes <= _LATEST_MINUTE:
        raise BadParameter(name, value, "outside 1970 to 2262", remedy)
    return minutes


def minutes_range(values: Mapping[str, str]) -> tuple[int | None, int | None]:
    """`from` and `to` as Unix minutes, [from, to)."""
    start, end = minute(values, "from"), minute(values, "to")
    if start is not None and end is not None and start >= end:
        raise BadParameter(
            "to",
            values["to"],
            f"not after from={values['from']} (both are floored to the minute)",
            "give a later time, or leave `to` out",
        )
    return start, end


def too_many(
    every: str, n: int, what: str, largest: int, *, setting: str = "", remedy: str = COARSER
) -> BadParameter:
    """To be raised where an answer would hold more than it may.

    Args:
        every: as it was asked for, or what it is unasked.
        n: how many there would be.
        what: of what.
        largest: how many there may be.
        setting: of the configuration that says so, if one does.
        remedy: what to ask for instead.
    """
    configured = f" ({setting})" if setting else ""
    rule = f"the answer would hold {n} {what}, at most {largest} are allowed{configured}"
    return BadParameter("every", every, rule, remedy)


def group_keys(values: Mapping[str, str]) -> tuple[str, ...]:
    """The keys of `by`, in the order asked."""
    text = values.get("by", "")
    keys = tuple(dict.fromkeys(key.strip() for key in text.split(","))) if text else ()
    for key in keys:
        if key not in SERIES_KEYS and not _is_slice(key):
            raise BadParameter(
                "by",
                text,
                f"{key!r} cannot be grouped by",
                f"use {', '.join(SERIES_KEYS)} or {SLICE}<key> of a declared slice",
            )
    if len(keys) > BY_KEYS_MAX:
        raise BadParameter("by", text, f"at most {BY_KEYS_MAX} keys", "group by fewer")
    return keys


def slice_filter(values: Mapping[str, str]) -> dict[str, str]:
    """The slices asked for by `slice.<key>=<value>`, key → value."""
    asked = {name: value for name, value in values.items() if _is_slice(name)}
    if len(asked) > BY_KEYS_MAX:
        name, value = list(asked.items())[BY_KEYS_MAX]
        raise BadParameter(name, value, f"at most {BY_KEYS_MAX} slices", "ask for fewer")
    return {name.removeprefix(SLICE): value for name, value in asked.items()}


def _is_slice(name: str) -> bool:
    return name.startswith(SLICE) and len(name) > len(SLICE)


def rfc3339(unix_ns: int) -> str:
    """A time in UTC; nine decimals where it is not a whole second."""
    seconds, fraction = divmod(unix_ns, 1_000_000_000)
    text = (_EPOCH + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{fraction:09d}Z" if fraction else f"{text}Z"

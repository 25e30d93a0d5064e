"""The section `auth`: bearer tokens, kept as hashes, and what each of them permits."""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal

from pydantic import Field, field_validator, model_validator

from inferspan_collector.config.section import Section

Right = Literal["ingest", "labels", "read", "admin"]
HASH_PREFIX: Final = "sha256:"
_HASH: Final = re.compile(r"sha256:[0-9a-f]{64}")


class Token(Section):
    """A bearer token: the hash of it, never the token itself."""

    hash: str
    """As `inferspan token` prints it: `sha256:` and 64 hexadecimal digits."""
    rights: tuple[Right, ...] = Field(min_length=1)
    """`ingest`: predictions. `labels`: labels. `read`: the API, `/metrics` and Jaeger's views.
    `admin`: forget ids, write backups, add and remove baselines."""

    @field_validator("hash")
    @classmethod
    def _a_hash(cls, value: str) -> str:
        if not _HASH.fullmatch(value):
            raise ValueError(
                "a hash is `sha256:` and 64 hexadecimal digits in lower case; `inferspan token` "
                "makes a token with its hash. Never write a token itself here"
            )
        return value


class Auth(Section):
    """Who may send and read. Without any token everybody who reaches a port may do everything, but
    for what takes the right `admin`: that is then answered to this machine alone.
    """

    tokens: dict[Annotated[str, Field(min_length=1, max_length=64)], Token] = Field(
        default_factory=dict
    )

    @model_validator(mode="after")
    def _a_hash_each(self) -> Auth:
        named: dict[str, str] = {}
        for name, token in self.tokens.items():
            other = named.setdefault(token.hash, name)
            if other != name:
                raise ValueError(
                    f"tokens.{other} and tokens.{name} have the same hash; make a token for each "
                    "with `inferspan token`, or write one entry with the rights of both"
                )
        return self

"""Requests to other programs: who has our token, and who does not."""

from __future__ import annotations

import urllib.error
from collections.abc import Mapping
from pathlib import Path

import pytest

from inferspan_collector.publish.posting import post
from servers.recording import Answer, answering


def test_a_redirect_is_an_error_and_takes_the_token_nowhere(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("secret\n")
    seen: list[Mapping[str, str]] = []

    def elsewhere(path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        seen.append(headers)
        return Answer(200)

    with answering(elsewhere) as other:
        for status in (301, 302, 303, 307, 308):
            moved = Answer(status, headers={"Location": f"{other}/"})
            with answering(lambda path, headers, body, moved=moved: moved) as url:
                with pytest.raises(urllib.error.HTTPError) as refused:
                    post(url, b"x", "text/plain", 10, token)
                refused.value.close()
                assert refused.value.code == status
    assert seen == []


def test_a_token_is_read_at_every_request(tmp_path: Path) -> None:
    token = tmp_path / "token"
    seen: list[str | None] = []

    def answer(path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        seen.append(headers.get("Authorization"))
        return Answer(200, b"0123456789")

    with answering(answer) as url:
        for text in ("one", "two"):
            token.write_text(text)
            assert post(url, b"", "text/plain", 4, token) == b"0123"
        post(url, b"", "text/plain", 4)
    assert seen == ["Bearer one", "Bearer two", None]

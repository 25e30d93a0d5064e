"""The page over a filled store, asked without a socket, and read as people read it."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import httpx
from asking import FilledStore, ask
from starlette.routing import Route

from inferspan_collector.config import Config
from inferspan_collector.page.serving import Page
from inferspan_collector.publish import api, drifting, foreseeing, stage_durations
from inferspan_collector.publish.metrics.row_figures import RowFigures

HTML = {"accept": "text/html"}


class Shown:
    """A page whose store a test fills."""

    def __init__(self, directory: Path, config: Config | None = None) -> None:
        self.store = FilledStore(directory, config)
        self.config = self.store.config
        self.api: list[Route] = [
            *api.routes(self.store, self.config),
            *drifting.routes(self.store, self.config),
            *foreseeing.routes(self.store, self.config),
            *stage_durations.routes(self.store, self.config),
        ]
        self.figures = RowFigures(self.store, self.config, self.store.telemetry, lambda: 0.0)
        """What is noticed, once a test has it made."""
        self.page = Page(
            self.store, self.store.telemetry, self.config, self.api, self.figures.noticed
        )

    def get(self, url: str, headers: dict[str, str] | None = None) -> httpx.Response:
        """One request, as a browser sends it."""
        return ask([*self.page.routes, *self.api], url, HTML if headers is None else headers)

    def whole(self, url: str) -> str:
        """A page with all of its parts, those that load by themselves put in their places."""
        response = self.get(url)
        assert response.status_code == 200, response.text
        return re.sub(
            r'<div data-part="([^"]*)"[^>]*>.*?</div>',
            lambda found: self.part(found[1].replace("&amp;", "&")),
            response.text,
            flags=re.DOTALL,
        )

    def part(self, url: str) -> str:
        """A part, as the script asks for it."""
        while True:
            response = self.get(url, {"accept": "text/fragment"})
            if response.status_code != 202:
                assert response.status_code == 200, response.text
                return response.text

    def close(self) -> None:
        self.page.close()
        self.store.close()


@contextlib.contextmanager
def shown(directory: Path, config: Config | None = None) -> Iterator[Shown]:
    """A page whose threads end with the block."""
    page = Shown(directory, config)
    try:
        yield page
    finally:
        page.close()


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def text(html: str) -> str:
    """What can be read of it, spaces made one."""
    reader = _Reader()
    reader.feed(html)
    return " ".join(" ".join(reader.texts).split())


def elements(html: str) -> list[tuple[str, dict[str, str | None]]]:
    """All elements with their attributes."""
    reader = _Reader()
    reader.feed(html)
    return reader.elements


def links(html: str) -> list[str]:
    """Where all links of it lead."""
    return [attributes["href"] or "" for tag, attributes in elements(html) if tag == "a"]

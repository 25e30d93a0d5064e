"""A real Prometheus and a real Alertmanager on free loopback ports."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

from servers.build import SERVERS, build
from servers.debian import COMMANDS, find
from servers.running import Server, free_addresses, running, wait_for
from waiting import wait_until

Labels = Mapping[str, str]


@dataclass(frozen=True)
class Prometheus:
    """A real Prometheus, and its HTTP API."""

    server: Server
    url: str

    def get(self, path: str, **parameters: Any) -> Any:
        """`data` of an answer of `/api/v1/…`; one that is no success fails the test."""
        answer = httpx.get(f"{self.url}/api/v1/{path}", params=parameters, timeout=30.0)
        assert answer.is_success, f"{answer.url} → {answer.status_code}: {answer.text}"
        return answer.json()["data"]

    def query(self, expression: str, **parameters: Any) -> list[tuple[Labels, float]]:
        """The samples of an instant query."""
        found = self.get("query", query=expression, **parameters)
        if found["resultType"] == "scalar":
            return [({}, float(found["result"][1]))]
        return [(each["metric"], float(each["value"][1])) for each in found["result"]]

    def exemplars(self, expression: str) -> list[dict[str, Any]]:
        """All exemplars that it has of the series of an expression."""
        ends = {"start": "1970-01-01T00:00:00Z", "end": "2100-01-01T00:00:00Z"}
        found = self.get("query_exemplars", query=expression, **ends)
        return [exemplar for series in found for exemplar in series["exemplars"]]

    def firing(self) -> list[dict[str, Any]]:
        """Alerts that fire now."""
        return [each for each in self.get("alerts")["alerts"] if each["state"] == "firing"]

    def wait_for(self, expression: str, seconds: float = 60.0) -> list[tuple[Labels, float]]:
        """The samples of an instant query, once there are any."""
        return wait_until(lambda: self.query(expression), seconds, f"{expression} to have samples")


@dataclass(frozen=True)
class Alertmanager:
    """A real Alertmanager, and its HTTP API."""

    server: Server
    url: str

    def alerts(self) -> list[dict[str, Any]]:
        """Alerts that it holds."""
        answer = httpx.get(f"{self.url}/api/v2/alerts", timeout=30.0)
        assert answer.is_success, f"{answer.url} → {answer.status_code}: {answer.text}"
        return list(answer.json())


@contextlib.contextmanager
def prometheus(
    directory: Path, config: Path | Mapping[str, Any], address: str = ""
) -> Iterator[Prometheus]:
    """Run Prometheus, exemplars stored, as `docker-compose.yml` runs it.

    Args:
        directory: for its log and its data; one that is started again there goes on.
        config: its configuration, a file or its content.
        address: where it listens, `HOST:PORT`; a free one unless given.
    """
    address = address or free_addresses(1)[0]
    command = [
        str(find(COMMANDS["prometheus"])),
        f"--config.file={_written(config, directory / 'prometheus.yml')}",
        f"--storage.tsdb.path={directory / 'prometheus-data'}",
        f"--web.listen-address={address}",
        "--web.enable-lifecycle",
        "--enable-feature=exemplar-storage",
    ]
    with running("prometheus", command, {}, directory) as server:
        wait_for(server, f"http://{address}/-/ready", address)
        yield Prometheus(server, f"http://{address}")


@contextlib.contextmanager
def alertmanager(
    directory: Path, config: Path | Mapping[str, Any], address: str = ""
) -> Iterator[Alertmanager]:
    """Run Alertmanager alone, without peers; arguments as those of `prometheus`."""
    address = address or free_addresses(1)[0]
    command = [
        str(build(SERVERS["alertmanager"])),
        f"--config.file={_written(config, directory / 'alertmanager.yml')}",
        f"--storage.path={directory / 'alertmanager-data'}",
        f"--web.listen-address={address}",
        "--cluster.listen-address=",
    ]
    with running("alertmanager", command, {}, directory) as server:
        wait_for(server, f"http://{address}/-/ready", address)
        yield Alertmanager(server, f"http://{address}")


def _written(config: Path | Mapping[str, Any], path: Path) -> Path:
    if isinstance(config, Path):
        return config
    path.write_text(yaml.safe_dump(dict(config)), encoding="utf-8")
    return path

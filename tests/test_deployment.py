"""The deployment files fit together: `docker compose up` is only wiring, and this is checked here.

No container engine is needed. The configurations run in `tests/e2e`; what Jaeger's and the
gateway's hold by themselves is in `tests/collector/test_jaeger_deployment.py`.
"""

from __future__ import annotations

import itertools
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from inferspan_collector import config

ROOT = Path(__file__).parents[1]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
GRAFANA = ROOT / "collector/grafana"
LISTENED = {
    "gateway": {"4317", "4318", "8888", "13133"},
    "inferspan": {"4317", "4318", "4319"},
    "jaeger": {"14317", "14318", "16685", "16686"},
    "prometheus": {"9090"},
    "alertmanager": {"9093"},
    "alerts": {"9095"},
    "grafana": {"3000"},
}
"""Service → where it listens."""
DEFAULT_PORTS = {"prometheus", "alertmanager", "grafana"}
"""Their ports stand nowhere in our files: they are what these programs listen on by themselves."""
WRITING = {
    "--data", "--storage.tsdb.path", "--storage.path", "GATEWAY_QUEUE", "JAEGER_DATA",
}  # fmt: skip
"""Options and variables that say where a program writes."""
COMPOSE_KEYS = {
    "image", "build", "command", "environment", "user", "volumes", "ports", "depends_on", "restart",
    "healthcheck", "read_only", "tmpfs", "cap_drop", "cap_add", "security_opt", "network_mode",
    "stop_grace_period",
}  # fmt: skip


def mounts(service: dict[str, Any], *, writable: bool = False) -> list[tuple[str, str]]:
    """(source, target) of a service's volumes; of those only that can be written, if so asked."""
    volumes = [str(volume) for volume in service.get("volumes", ())]
    kept = [volume for volume in volumes if not (writable and volume.endswith(":ro"))]
    return [(source, target) for source, target in (volume.split(":")[:2] for volume in kept)]


def mounted_text(service: dict[str, Any]) -> str:
    """What the configuration files mounted into a service say."""
    sources = [ROOT / source for source, _ in mounts(service) if source.startswith("./")]
    files = [f for s in sources for f in (s.rglob("*") if s.is_dir() else [s]) if f.is_file()]
    return "\n".join(file.read_text() for file in files)


def written(service: dict[str, Any]) -> list[str]:
    """The paths that a service is told to write to."""
    words = " ".join(service.get("command", ())).replace("=", " ").split()
    told = dict(itertools.pairwise(words))
    environment = service.get("environment", {})
    return [told[option] for option in WRITING if option in told] + [
        environment[name] for name in WRITING if name in environment
    ]


def test_the_set_is_whole() -> None:
    wanted = {"gateway", "inferspan", "jaeger", "prometheus", "alertmanager", "alerts"}
    assert set(SERVICES) == wanted | {"grafana", "example", "prepare", "gateway-health"}


def test_docker_compose_takes_the_file_where_it_is_installed() -> None:
    """The keys are the Compose specification's; the client, where there is one, says more."""
    assert set(COMPOSE) == {"name", "x-service", "services", "volumes"}
    for name, service in SERVICES.items():
        assert set(service) - COMPOSE_KEYS == set(), name
    if shutil.which("docker"):
        command = ("docker", "compose", "--file", ROOT / "docker-compose.yml", "config", "--quiet")
        if subprocess.run((*command[:2], "version"), capture_output=True).returncode == 0:
            done = subprocess.run(command, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", SERVICES)
def test_an_image_is_pinned_or_built_here(name: str) -> None:
    service = SERVICES[name]
    assert ("image" in service) != ("build" in service)
    assert re.fullmatch(r"[\w./-]+:v?\d+\.\d+\.\d+", service.get("image", "built:1.0.0"))


@pytest.mark.parametrize("name", SERVICES)
def test_nobody_is_root_and_nothing_but_volumes_can_be_written(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    targets = [target for _, target in mounts(service, writable=True)]
    assert [
        p for p in written(service) if not any(f"{p}/".startswith(f"{t}/") for t in targets)
    ] == []
    if name == "prepare":
        # Root for as long as a `chown` takes, and able to do nothing else.
        assert service["cap_add"] == ["CHOWN"]
        assert service["network_mode"] == "none"
        assert "restart" not in service
        return
    assert "cap_add" not in service
    if "build" in service:
        dockerfile = (ROOT / service["build"]["dockerfile"]).read_text()
        assert re.search(r"^USER (?!root)\w+$", dockerfile, re.MULTILINE)
    else:
        assert not service["user"].startswith("0:")


def test_volumes_are_given_to_those_who_write_to_them() -> None:
    prepare = SERVICES["prepare"]
    owner, *paths = prepare["command"][1:]
    given = {source: target for source, target in mounts(prepare)}
    assert sorted(given.values()) == sorted(paths)
    for source, target in given.items():
        (user,) = [
            service
            for name, service in SERVICES.items()
            if name != "prepare" and (source, target) in mounts(service)
        ]
        assert user["user"] == owner
        assert user["depends_on"]["prepare"] == {"condition": "service_completed_successfully"}
    # The other volumes have the owner of the directory that their image has there.
    dockerfile = (ROOT / "collector/Dockerfile").read_text()
    (made,) = re.findall(r"install -d -o inferspan -g inferspan (.+)$", dockerfile, re.MULTILINE)
    targets = [target for _, target in mounts(SERVICES["inferspan"], writable=True)]
    assert made.split() == targets
    assert f"NUMBA_CACHE_DIR={targets[1]}" in dockerfile


def test_every_volume_is_somebodys() -> None:
    used = {source for service in SERVICES.values() for source, _ in mounts(service)}
    assert {source for source in used if not source.startswith("./")} == set(COMPOSE["volumes"])


@pytest.mark.parametrize("name", SERVICES)
def test_ports_are_published_to_this_machine_only(name: str) -> None:
    ports = SERVICES[name].get("ports", [])
    assert [port for port in ports if not re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port)] == []


@pytest.mark.parametrize(("name", "ports"), LISTENED.items())
def test_published_ports_are_listened_on_and_asked_for_health(name: str, ports: set[str]) -> None:
    service = SERVICES[name]
    published = {port.rpartition(":")[2] for port in service.get("ports", [])}
    assert published <= ports
    text = mounted_text(service) + str(service.get("environment")) + str(service.get("command"))
    if name not in DEFAULT_PORTS:
        assert [port for port in ports if f":{port}" not in text and f"'{port}'" not in text] == []
    if "healthcheck" in service:
        asked = re.findall(r"127\.0\.0\.1(?::|', )(\d+)", " ".join(service["healthcheck"]["test"]))
        assert len(asked) == 1
        assert set(asked) <= ports


def test_whoever_can_be_asked_for_health_is() -> None:
    asked = {name for name, service in SERVICES.items() if "healthcheck" in service}
    dockerfile = (ROOT / "collector/Dockerfile").read_text()
    assert "HEALTHCHECK" in dockerfile
    # `example` and `prepare` listen nowhere; another asks for the gateway's, in its network.
    assert set(SERVICES) - asked == {"inferspan", "gateway", "example", "prepare"}
    neighbour = SERVICES["gateway-health"]
    assert neighbour["network_mode"] == "service:gateway"
    (port,) = re.findall(r"127\.0\.0\.1:(\d+)/", " ".join(neighbour["healthcheck"]["test"]))
    assert SERVICES["gateway"]["environment"]["GATEWAY_HEALTH"].endswith(f":{port}")
    assert SERVICES["example"]["depends_on"] == {"gateway-health": {"condition": "service_healthy"}}


@pytest.mark.parametrize("name", SERVICES)
def test_what_is_mounted_exists(name: str) -> None:
    for source, _ in mounts(SERVICES[name]):
        if source.startswith("./"):
            assert (ROOT / source).exists(), source
        else:
            assert source in COMPOSE["volumes"]


@pytest.mark.parametrize("name", ["gateway", "jaeger"])
def test_a_configuration_gets_the_variables_it_reads(name: str) -> None:
    read = set(re.findall(r"\$\{env:(\w+)", mounted_text(SERVICES[name])))
    assert read == set(SERVICES[name]["environment"])


@pytest.mark.parametrize("name", ["gateway", "inferspan", "jaeger", "prometheus", "alertmanager"])
def test_a_command_names_files_that_are_mounted(name: str) -> None:
    targets = [target for _, target in mounts(SERVICES[name])]
    words = " ".join(SERVICES[name]["command"]).replace("=", " ").split()
    paths = [word for word in words if word.startswith("/")]
    assert paths
    assert [p for p in paths if not any(f"{p}/".startswith(f"{t}/") for t in targets)] == []


def test_files_that_a_configuration_names_are_mounted() -> None:
    alertmanager = yaml.safe_load((ROOT / "collector/alertmanager/alertmanager.yml").read_text())
    targets = dict(map(reversed, mounts(SERVICES["alertmanager"])))
    for template in alertmanager["templates"]:
        assert f"/etc/alertmanager/{template}" in targets
    (provider,) = yaml.safe_load((GRAFANA / "provisioning/dashboards/inferspan.yaml").read_text())[
        "providers"
    ]
    assert dict(map(reversed, mounts(SERVICES["grafana"])))[provider["options"]["path"]] == (
        "./collector/grafana/dashboards"
    )
    assert SERVICES["jaeger"]["environment"]["JAEGER_UI_CONFIG"] in dict(
        map(reversed, mounts(SERVICES["jaeger"]))
    )


@pytest.mark.parametrize("name", SERVICES)
def test_every_host_that_is_asked_is_a_service_that_listens_there(name: str) -> None:
    environment = SERVICES[name].get("environment", {})
    text = mounted_text(SERVICES[name]) + "\n" + "\n".join(map(str, environment.values()))
    asked = set(re.findall(r"https?://([\w.-]+):(\d+)", text))
    asked |= set(re.findall(r'"([\w-]+):(\d+)"', text))
    for host, port in asked - {(host, port) for host, port in asked if host == "127.0.0.1"}:
        assert port in LISTENED[host], (host, port)
    # What a browser is sent to is published.
    published = {port for service in SERVICES.values() for port in service.get("ports", [])}
    for host, port in asked:
        if host == "127.0.0.1" and not re.search(rf":-https?://127\.0\.0\.1:{port}", text):
            assert f"127.0.0.1:{port}:{port}" in published, (name, port)


def test_inferspan_in_the_network_is_reachable_by_its_name_only() -> None:
    loaded = config.load(ROOT / "collector/inferspan.yaml")
    assert loaded.receivers.allow_public
    assert set(loaded.receivers.allowed_hosts) <= set(SERVICES)
    asked = re.findall(
        r"http://(\w+):(4318|4319)\b",
        yaml.safe_dump([s.get("environment") for s in SERVICES.values()]),
    )
    assert {host for host, _ in asked} <= {*loaded.receivers.allowed_hosts, "gateway"}
    # Jaeger's page runs in a browser on this machine, so it is the published port that counts.
    for name, url in (("jaeger", loaded.jaeger.ui), ("grafana", loaded.publish.grafana)):
        assert url == "http://" + SERVICES[name]["ports"][0].rsplit(":", 1)[0]


@pytest.mark.parametrize("dockerfile", ["collector/Dockerfile", "examples/service/Dockerfile"])
def test_an_image_copies_what_exists(dockerfile: str) -> None:
    assert dockerfile in {s["build"]["dockerfile"] for s in SERVICES.values() if "build" in s}
    let_through = (ROOT / ".dockerignore").read_text().splitlines()
    for line in (ROOT / dockerfile).read_text().splitlines():
        words = line.split()
        if words[:1] == ["COPY"] and not words[1].startswith("--from"):
            for source in words[1:-1]:
                assert (ROOT / source).exists(), source
                assert f"!{source.split('/')[0]}" in let_through, source


def test_the_page_lists_services_addresses_and_volumes() -> None:
    page = (ROOT / "docs/compose.md").read_text()
    rows = {row[0]: row for row in re.findall(r"^\| `([\w-]+)` \| (.*) \|$", page, re.MULTILINE)}
    assert set(rows) == set(SERVICES)
    for name, (_, row) in rows.items():
        if name != "prepare":
            kept = {source for source, _ in mounts(SERVICES[name], writable=True)}
            assert kept <= set(re.findall(r"`([\w-]+)`", row)), name
    published = {
        port.rpartition(":")[0]
        for service in SERVICES.values()
        for port in service.get("ports", ())
    }
    assert set(re.findall(r"127\.0\.0\.1:\d+", page)) == published

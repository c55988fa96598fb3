"""Podman: a container in its own form, the GPUs that it is given, and which engine a run means."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import cast

import click
import pytest
from click.testing import CliRunner
from node_cases import FACTS, NEEDS

from bundler.cli.main import cli as _cli
from bundler.core import hint
from bundler.engine import cdi, endpoint
from bundler.engine.errors import NoEngine
from bundler.engine.info import EngineInfo
from bundler.engine.podman import specgen
from bundler.node.checks import engine as engine_checks
from bundler.node.facts import Facts
from bundler.node.findings import Finding, Severity
from bundler.node.needs import Needs
from bundler.workloads import labels
from bundler.workloads.container import Bind, ContainerSpec, Published

cli = cast(click.Group, _cli)
JOB = ContainerSpec(
    name="bundle-demo--train",
    image="sha256:1",
    command=("llamafactory-cli", "train", "/bundle/config/train.yaml"),
    network="none",
    user="1000:1000",
    labels={labels.ROLE: "job"},
    environment={"HOME": "/tmp"},
    binds=(
        Bind("/store/models/base", "/bundle/model"),
        Bind("/store/results/train", "/bundle/output", read_only=False),
    ),
    shm=1 << 30,
)
PROXY = replace(
    JOB,
    name="bundle-demo--serve--proxy",
    labels={labels.ROLE: "proxy"},
    network="bundle-demo--inner",
    edge="bundle-demo--edge",
    published=Published("127.0.0.1", 8000),
    binds=(),
)


def test_a_job_in_podmans_own_form_is_as_locked_down_as_in_dockers() -> None:
    assert specgen(JOB) == {
        "name": "bundle-demo--train",
        "image": "sha256:1",
        "entrypoint": ["llamafactory-cli"],
        "command": ["train", "/bundle/config/train.yaml"],
        "user": "1000:1000",
        "hostname": "job--bundle",
        "env": {"HOME": "/tmp"},
        "httpproxy": False,
        "labels": {labels.ROLE: "job"},
        "mounts": [
            {
                "type": "bind",
                "source": "/store/models/base",
                "destination": "/bundle/model",
                "options": ["rbind", "ro"],
            },
            {
                "type": "bind",
                "source": "/store/results/train",
                "destination": "/bundle/output",
                "options": ["rbind", "rw"],
            },
            {
                "type": "tmpfs",
                "source": "tmpfs",
                "destination": "/tmp",
                "options": ["rw", "exec", "nosuid", "nodev", "mode=1777"],
            },
            {
                "type": "tmpfs",
                "source": "tmpfs",
                "destination": "/dev/shm",
                "options": ["rw", "noexec", "nosuid", "nodev", "mode=1777", "size=1073741824"],
            },
        ],
        "cap_drop": ["ALL"],
        "no_new_privileges": True,
        "read_only_filesystem": True,
        "resource_limits": {"pids": {"limit": 0}},
        "log_configuration": {"driver": "k8s-file", "size": 50 << 20},
        "init": True,
        "systemd": "false",
        "netns": {"nsmode": "none"},
        "hostadd": ["job--bundle:127.0.0.1"],
    }


def test_gpus_are_asked_of_podman_by_cdi_which_its_dockers_api_drops_without_a_word() -> None:
    asked = specgen(replace(JOB, gpus=2))
    assert asked["devices"] == [{"path": "nvidia.com/gpu=0"}, {"path": "nvidia.com/gpu=1"}]
    assert asked["r_limits"] == [{"type": "RLIMIT_MEMLOCK", "soft": (1 << 64) - 1, "hard": (1 << 64) - 1}]


def test_a_service_and_its_proxy_come_back_by_themselves_because_podman_can_not_be_told_later() -> None:
    proxy = specgen(PROXY)
    assert proxy["restart_policy"] == "always"
    assert "restart_policy" not in specgen(JOB)
    assert proxy["netns"] == {"nsmode": "bridge"}
    assert proxy["networks"] == {"bundle-demo--inner": {}}
    assert proxy["portmappings"] == [
        {"host_ip": "127.0.0.1", "host_port": 8000, "container_port": 8000, "protocol": "tcp"}
    ]
    aliased = specgen(replace(PROXY, alias="serve", published=None))
    assert aliased["networks"] == {"bundle-demo--inner": {"aliases": ["serve"]}}


@pytest.mark.parametrize(
    ("text", "found"), [("kind: nvidia.com/gpu\n", True), ('{"kind": "nvidia.com/gpu"}', True), ("kind: x/y\n", False)]
)
def test_gpus_count_as_known_to_podman_where_a_specification_names_them(tmp_path: Path, text: str, found: bool) -> None:
    (tmp_path / "nvidia.yaml").write_text(text)
    (tmp_path / "README").write_text("nvidia.com/gpu")
    assert cdi.specified((tmp_path / "missing", tmp_path)) is found


OLD = EngineInfo("3.4.4", "vfs", "/var/lib/containers/storage", ("crun", "nvidia"), cdi=False, product="Podman")


@pytest.mark.parametrize(
    ("check", "severity", "said", "remedy"),
    [
        (engine_checks.engine_version, Severity.BLOCK, "Podman 3.4.4 is older than 4.3", "carry a newer Podman"),
        (engine_checks.storage_driver, Severity.WARN, "vfs", "storage.conf"),
        (engine_checks.gpu_runtime, Severity.BLOCK, "no CDI specification", "nvidia-ctk cdi generate"),
    ],
)
def test_what_check_says_of_podman_is_mended_by_podmans_commands(
    check: Callable[[Facts, Needs], Finding], severity: Severity, said: str, remedy: str
) -> None:
    found = check(replace(FACTS, engine=OLD), NEEDS)
    assert found.severity is severity
    assert said in found.what
    assert remedy in found.remedy
    well = replace(OLD, version="4.3.1", storage="overlay", cdi=True)
    assert check(replace(FACTS, engine=well), NEEDS).severity is Severity.PASS


def test_podman_without_root_is_refused_before_a_training_that_could_not_write_its_results() -> None:
    rootless = replace(OLD, version="4.3.1", security=("name=seccomp,profile=default", "name=rootless"))
    found = engine_checks.engine(replace(FACTS, engine=rootless), NEEDS)
    assert found.severity is Severity.BLOCK
    assert "podman.socket" in found.remedy
    docker = replace(rootless, product="Docker")
    assert engine_checks.engine(replace(FACTS, engine=docker), NEEDS).severity is Severity.PASS


def test_nvidias_runtime_alone_gives_podmans_containers_no_gpus() -> None:
    """They would start, and train on the CPU or die: `check` must block."""
    info = EngineInfo("4.3.1", "overlay", "/", ("crun", "nvidia"), cdi=False, product="Podman")
    assert not info.offers_gpus
    assert replace(info, cdi=True).offers_gpus
    assert replace(info, product="Docker").offers_gpus


@pytest.fixture(autouse=True)
def nothing_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """No engine in the environment, and what a test chooses is undone."""
    for name in ("DOCKER_HOST", "CONTAINER_HOST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(endpoint.VARIABLE, "auto")
    monkeypatch.setattr(hint, "_engine", [])


def test_each_engine_is_looked_for_where_it_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    assert endpoint.places()[0] == "unix:///var/run/docker.sock"
    assert endpoint.places()[-1] == "unix:///run/podman/podman.sock"
    endpoint.choose("podman")
    assert endpoint.endpoint() == "unix:///run/podman/podman.sock"
    monkeypatch.setenv("DOCKER_HOST", "unix:///d")
    assert endpoint.endpoint() == "unix:///d"
    monkeypatch.setenv("CONTAINER_HOST", "unix:///c")
    assert endpoint.endpoint() == "unix:///c"
    endpoint.choose("docker")
    assert endpoint.endpoint() == "unix:///d", "CONTAINER_HOST is Podman's"


@pytest.mark.parametrize(
    ("kind", "start"), [("docker", "systemctl start docker"), ("podman", "systemctl start podman.socket")]
)
def test_the_hint_of_an_engine_that_does_not_answer_starts_that_engine(kind: str, start: str) -> None:
    endpoint.choose(kind)
    assert (NoEngine("unix:///x", "refused").hint or "").startswith(start)


def test_an_engine_that_was_named_is_named_in_every_command_of_a_hint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a command that is pasted speaks to the other engine, where nothing of the release is."""
    monkeypatch.chdir(tmp_path)
    CliRunner().invoke(cli, ["status", "--engine", "podman", "--store", str(tmp_path)])
    assert endpoint.chosen() == "podman"
    assert hint.bundle("logs", "demo").endswith("logs demo --engine podman")
    assert "--engine" not in hint.bundle("verify", "demo")


def test_the_verbs_that_hints_name_an_engine_to_are_those_that_take_one() -> None:
    context = click.Context(cli)
    commands = {verb: cli.get_command(context, verb) for verb in cli.list_commands(context)}
    takes = {verb for verb, command in commands.items() if command and "engine" in {it.name for it in command.params}}
    assert takes == hint.ENGINE_VERBS


def test_an_engine_in_the_settings_holds_until_the_command_line_names_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.delenv(endpoint.VARIABLE)
    Path(".bundle.yaml").write_text("engine: podman\n")
    CliRunner().invoke(cli, ["status", "--store", str(tmp_path)])
    assert endpoint.chosen() == "podman"
    monkeypatch.delenv(endpoint.VARIABLE)
    CliRunner().invoke(cli, ["status", "--engine", "docker", "--store", str(tmp_path)])
    assert endpoint.chosen() == "docker"
    Path(".bundle.yaml").write_text("engine: lxc\n")
    monkeypatch.delenv(endpoint.VARIABLE)
    told = CliRunner().invoke(cli, ["status", "--store", str(tmp_path)])
    assert "one of auto, docker, podman" in (getattr(told.exception, "because", None) or "")

"""What `up` asks of an engine, of Docker and of Podman: the same of both, each real, on a node without a network."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from image_maker import image

from bundler.core.digest import Digest
from bundler.core.events import BytesMoved, Event, Noted, Silence
from bundler.core.reference import BundleName
from bundler.engine.docker import ContainerState, DockerEngine
from bundler.engine.durable_images import LoadNotes, whole
from bundler.engine.errors import EngineFailed, OtherEngine
from bundler.engine.listing import containers
from bundler.engine.load import load
from bundler.manifest.lock import LockedImage, Workload
from bundler.operations.jobs import WorkloadFailed
from bundler.operations.release import Release
from bundler.operations.services import bring_up
from bundler.store.layout import Store
from bundler.workloads import labels
from bundler.workloads.container import ContainerSpec, container
from scripts.world.engine import Engine
from scripts.world.node import Node
from tests.on_a_node import carry, inside

BUNDLE = BundleName("small", "1")
MADE_FROM = Digest.of(b"all that it is made from")
OURS = {labels.BUNDLE: "small"}
SERVICE = Workload(
    "serve", "python", "base", ("python3", "-m", "http.server", "18080", "--directory", "/tmp"), port=18080
)


@pytest.fixture(scope="module", params=["docker", "podman"])
def place(request: pytest.FixtureRequest) -> Node:
    """A node with this engine."""
    chosen: Node = request.getfixturevalue("node" if request.param == "docker" else "podman_node")
    return chosen


@pytest.fixture(scope="module")
def base(place: Node, base_image: str, online_engine: Engine) -> str:
    """The base image, in the node's engine."""
    return carry(base_image, online_engine, place)


@pytest.fixture
def engine(place: Node, monkeypatch: pytest.MonkeyPatch) -> Iterator[DockerEngine]:
    monkeypatch.setenv("DOCKER_HOST", place.engine.host)
    connected = DockerEngine.connect()
    yield connected
    for state in connected.list_containers({"label": f"{labels.BUNDLE}=small"}):
        connected.remove(state["Id"])
    connected.remove_networks("small")


@pytest.fixture
def on_the_node(place: Node) -> Iterator[None]:
    with inside(place):
        yield


@pytest.fixture
def release(tmp_path: Path) -> Release:
    return Release(tmp_path / "small", BUNDLE, Digest.of(b"root"))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.create(tmp_path / "store")


@pytest.fixture
def stored(store: Store, tmp_path: Path, engine: DockerEngine) -> Iterator[LockedImage]:
    """A small image in the store, of another digest in every run."""
    made = image(str(tmp_path).encode(), random.Random(str(tmp_path)).randbytes(12 << 20))
    config, *layers = (store.put(blob, "x") for blob in made.blobs)
    manifest = store.put(made.manifest, made.media_type)
    yield LockedImage("serve", "made by hand", manifest, (config, *layers))
    if found := engine.image(manifest, config):
        engine.remove_image(found)


class Heard:
    """Keeps what was said."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def emit(self, event: Event) -> None:
        self.events.append(event)


def job(release: Release, base: str, code: str) -> ContainerSpec:
    workload = Workload("train", "python", "base", ("python3", "-c", code))
    release.open_results("train", MADE_FROM)
    return container(workload, base, MADE_FROM, release.placement)


def bring(service: Workload, release: Release, engine: DockerEngine, base: str) -> bool:
    made_from = {service.name: MADE_FROM}
    return bring_up((service,), {"base": base}, made_from, release, engine, Silence(), timeout=60)[0].started


def eventually(state: Callable[[], ContainerState | None], wanted: Callable[[ContainerState], bool]) -> ContainerState:
    """A container once it is as wanted; asking the engine takes long enough to wait."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if (found := state()) and wanted(found):
            return found
    raise AssertionError(f"still {found}")


def test_an_engine_says_what_it_is(engine: DockerEngine, place: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    info = engine.info()
    product = "Podman" if place.engine.daemon.name == "podman" else "Docker"
    assert info.product == engine.product == product
    assert Path(info.root).is_dir()
    monkeypatch.setenv("BUNDLE_ENGINE", product.lower())
    assert DockerEngine.connect().product == product
    monkeypatch.setenv("BUNDLE_ENGINE", {"Docker": "podman", "Podman": "docker"}[product])
    with pytest.raises(OtherEngine, match=f"is {product}, not"):
        DockerEngine.connect()


@pytest.mark.usefixtures("on_the_node")
def test_an_image_comes_over_the_loopback_by_digest_and_once(
    engine: DockerEngine, store: Store, stored: LockedImage, tmp_path: Path, place: Node
) -> None:
    """Over plain HTTP: without, each image is written twice, or does not come at all."""
    heard, notes = Heard(), LoadNotes(tmp_path / "notes")
    done = load(store, BUNDLE, (stored,), engine, heard, notes)
    assert done.loaded == ("serve",)
    assert not [event for event in heard.events if isinstance(event, Noted) and "streamed" in event.text]
    moved = sum(event.count for event in heard.events if isinstance(event, BytesMoved))
    assert moved >= sum(layer.size for layer in stored.blobs[1:])
    assert whole(store, stored, done.ids["serve"], engine)
    names = place.engine.docker("inspect", "-f", "{{json .RepoTags}} {{json .RepoDigests}}", done.ids["serve"]).stdout
    assert "small/serve:1" in names
    assert "127.0.0.1" not in names
    assert load(store, BUNDLE, (stored,), engine, Silence(), notes).loaded == ()


def test_an_engine_that_does_not_reach_our_loopback_gets_the_image_as_a_stream(
    engine: DockerEngine, store: Store, stored: LockedImage, tmp_path: Path
) -> None:
    """This process is not on the node: the engine's loopback is another."""
    heard = Heard()
    done = load(store, BUNDLE, (stored,), engine, heard, LoadNotes(tmp_path / "notes"))
    assert [event for event in heard.events if isinstance(event, Noted) and "serve is streamed to it" in event.text]
    assert whole(store, stored, done.ids["serve"], engine)


def test_a_job_is_locked_in_and_what_it_said_and_how_it_ended_is_known(
    engine: DockerEngine, release: Release, base: str
) -> None:
    code = (
        "import os, socket, sys\n"
        "assert os.getuid() == 1000 and os.environ['HOME'] == '/tmp'\n"
        "assert len(open('/proc/net/route').readlines()) == 1\n"
        "assert socket.gethostbyname(socket.gethostname()) == '127.0.0.1'\n"
        "for path in ('/x', '/opt/x', '/run/x', '/bundle/x'):\n"
        "    try: open(path, 'w'); raise SystemExit(path)\n"
        "    except OSError: pass\n"
        "status = open('/proc/self/status').read()\n"
        "assert 'CapEff:\\t0000000000000000' in status and 'CapBnd:\\t0000000000000000' in status\n"
        "assert 'NoNewPrivs:\\t1' in status and os.getppid() == 1\n"
        "assert os.statvfs('/dev/shm').f_blocks * os.statvfs('/dev/shm').f_frsize == 32 << 20\n"
        "open('/dev/shm/x', 'w').write('x')\n"
        "assert open('/proc/1/mounts').read().count('/tmp tmpfs rw,nosuid,nodev,relatime') == 1\n"
        "assert not [name for name in os.environ if name.lower().endswith('_proxy')]\n"
        "open('/bundle/output/model', 'w').write('x'); print('trained'); print('badly', file=sys.stderr)\n"
        "sys.exit(3)"
    )
    spec = replace(job(release, base, code), shm=32 << 20)
    identity = engine.start(spec)
    assert engine.wait(identity) == 3, engine.last_words(identity, 5)
    assert sorted(b"".join(engine.logs(identity)).split()) == [b"badly", b"trained"], "of two pipes, in either order"
    assert set(engine.last_words(identity, 5)) == {"trained", "badly"}
    state = engine.find(spec.name)
    assert state is not None
    assert (state.running, state.exit_code, state.ended_well) == (False, 3, False)
    assert state.directory == str(release.directory)
    assert [(listed.name, listed.role) for listed in containers("small")] == [(spec.name, "job")]
    assert containers("small")[0].status.startswith("Exited (3)")
    engine.remove(identity)
    assert engine.find(spec.name) is None
    assert (release.results("train") / "model").stat().st_uid == 1000


def test_a_container_whose_directory_is_gone_is_refused_and_leaves_nothing(
    engine: DockerEngine, release: Release, base: str
) -> None:
    """An empty directory in its place would train on nothing."""
    spec = job(release, base, "pass")
    release.results("train").rmdir()
    with pytest.raises(EngineFailed, match=r"refused starting bundle-small--train"):
        engine.start(spec)
    assert not release.results("train").exists()
    assert engine.find(spec.name) is None


@pytest.mark.usefixtures("on_the_node")
def test_a_service_is_reached_through_its_proxy_alone_and_is_started_once(
    engine: DockerEngine, release: Release, base: str, place: Node
) -> None:
    assert bring(SERVICE, release, engine, base)
    assert not bring(SERVICE, release, engine, base)
    assert [(listed.role, listed.state, listed.ports) for listed in containers("small")] == [
        ("service", "running", ()),
        ("proxy", "running", (18080,)),
    ]
    joined = "{{range $name, $_ := .NetworkSettings.Networks}}{{$name}} {{end}}"
    networks = place.engine.docker("inspect", "-f", joined, "bundle-small--serve").stdout.split()
    assert networks == ["bundle-small--inner"], "the service has no way out"
    assert place.engine.docker("network", "inspect", "-f", "{{.Internal}}", *networks).stdout.strip() == "true"
    engine.remove("bundle-small--serve--proxy")
    assert bring(SERVICE, release, engine, base)


@pytest.mark.usefixtures("on_the_node")
def test_a_service_that_dies_while_it_starts_shows_why_at_once_and_is_not_started_for_ever(
    engine: DockerEngine, release: Release, base: str
) -> None:
    dying = replace(SERVICE, command=("python3", "-c", "raise SystemExit('unrecognized arguments: --reasoning')"))
    with pytest.raises(WorkloadFailed) as failure:
        bring(dying, release, engine, base)
    assert "the service serve of small failed: " in failure.value.what
    assert "unrecognized arguments" in (failure.value.because or "")
    stopped = engine.find("bundle-small--serve")
    # Podman starts one that died again at once: sooner than another container comes up and ends
    engine.wait(engine.start(replace(job(release, base, "pass"), binds=())))
    assert engine.find("bundle-small--serve") == stopped


@pytest.mark.usefixtures("on_the_node")
def test_a_service_that_dies_later_is_started_again_by_the_engine(
    engine: DockerEngine, release: Release, base: str, place: Node
) -> None:
    bring(SERVICE, release, engine, base)
    pid = place.engine.docker("inspect", "-f", "{{.State.Pid}}", "bundle-small--serve").stdout
    os.kill(int(pid), signal.SIGKILL)
    eventually(lambda: engine.find("bundle-small--serve"), lambda state: state.restarts > 0 and state.running)
    assert not bring(SERVICE, release, engine, base)


def test_networks_are_ours_or_refused_and_go_with_the_bundle(engine: DockerEngine, place: Node) -> None:
    """A dot in a bundle's name is any letter to the engine's filter."""
    engine.ensure_network("bundle-smaxl--inner", OURS, internal=True)
    engine.ensure_network("bundle-sma.l--inner", OURS, internal=True)
    engine.ensure_network("bundle-sma.l--inner", OURS, internal=True)
    named = place.engine.docker("network", "ls", "--format", "{{.Name}}").stdout.split()
    assert {"bundle-smaxl--inner", "bundle-sma.l--inner"} <= set(named)
    with pytest.raises(EngineFailed, match="did not make"):
        engine.ensure_network("bundle-smaxl--inner", OURS, internal=False)
    with pytest.raises(EngineFailed, match="did not make"):
        engine.ensure_network("bundle-smaxl--inner", {labels.BUNDLE: "other"}, internal=True)
    engine.remove_networks("small")
    assert "bundle-sma" not in place.engine.docker("network", "ls", "--format", "{{.Name}}").stdout

"""Jobs and services on a real engine, with the base image's Python as the workload, and all that can go wrong."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bundler.core.digest import Digest
from bundler.core.events import Silence
from bundler.core.reference import BundleName
from bundler.engine.docker import DockerEngine
from bundler.manifest.lock import Mount, Workload
from bundler.operations.jobs import WorkloadFailed, run_job
from bundler.operations.release import NameTaken, Release
from bundler.operations.release_record import JobRecord, read_job
from bundler.operations.services import NotReady, bring_up
from bundler.operations.up import outdate_below
from bundler.workloads.container import ContainerSpec, container
from scripts.world.engine import Engine
from scripts.world.node import Node
from tests.on_a_node import carry, inside

MADE_FROM = Digest.of(b"all that it is made from")
SERVER = ("python3", "-m", "http.server", "18080", "--directory", "/tmp")


@pytest.fixture(scope="session")
def loaded(node: Node, base_image: str, online_engine: Engine) -> str:
    """The base image, in the node's engine."""
    return carry(base_image, online_engine, node)


@pytest.fixture
def engine(node: Node, loaded: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[DockerEngine]:
    assert loaded
    monkeypatch.setenv("DOCKER_HOST", node.engine.host)
    connected = DockerEngine.connect()
    yield connected
    for state in connected.list_containers({"label": "io.bundler.bundle=small"}):
        connected.remove(state["Id"])
    connected.remove_networks("small")


@pytest.fixture
def release(tmp_path: Path) -> Release:
    return Release(tmp_path / "small", BundleName("small", "1"), Digest.of(b"root"))


def job(release: Release, image: str, code: str) -> ContainerSpec:
    workload = Workload("train", "python", "base", ("python3", "-c", code))
    return container(workload, image, MADE_FROM, release.placement)


WRITE = "open('/bundle/output/model','a').write('x'); print('trained')"


def test_a_job_runs_once_and_its_results_and_log_stay(engine: DockerEngine, release: Release, loaded: str) -> None:
    spec = job(release, loaded, WRITE)
    assert run_job("train", spec, MADE_FROM, release, engine, Silence()).ran
    assert not run_job("train", spec, MADE_FROM, release, engine, Silence()).ran
    assert (release.results("train") / "model").read_text() == "x"
    assert release.log("train").read_text() == "trained\n"
    assert engine.find(spec.name) is None


def test_a_job_made_from_something_else_runs_again_and_the_old_results_are_set_aside(
    engine: DockerEngine, release: Release, loaded: str
) -> None:
    run_job("train", job(release, loaded, WRITE), MADE_FROM, release, engine, Silence())
    other = Digest.of(b"other data")
    assert run_job("train", job(release, loaded, WRITE), other, release, engine, Silence()).ran
    assert (release.results("train") / "model").read_text() == "x"
    aside = release.results("train").with_name(f"train.{MADE_FROM.short}")
    assert (aside / "model").read_text() == "x"


def test_a_job_that_fails_shows_its_last_lines_and_the_command_for_the_rest(
    engine: DockerEngine, release: Release, loaded: str
) -> None:
    # The reason comes first, as it may: the engine reads errors and output from two pipes.
    error = "import sys\nprint('CUDA out of memory', file=sys.stderr)\n"
    code = error + "for n in range(100): print('line', n)\nsys.exit(1)"
    with pytest.raises(WorkloadFailed) as failure:
        run_job("train", job(release, loaded, code), MADE_FROM, release, engine, Silence())
    assert "exit code 1" in failure.value.what
    assert "CUDA out of memory" in (failure.value.because or "")
    assert "line 99" in (failure.value.because or "")
    assert "line 50" not in (failure.value.because or "")
    assert "bundle logs small:1 train --store" in (failure.value.hint or "")
    assert len(release.log("train").read_text().splitlines()) == 101


def test_a_failed_job_keeps_what_it_wrote_and_goes_on_from_there(
    engine: DockerEngine, release: Release, loaded: str
) -> None:
    first = "open('/bundle/output/checkpoint','w').write('50'); raise SystemExit(1)"
    with pytest.raises(WorkloadFailed):
        run_job("train", job(release, loaded, first), MADE_FROM, release, engine, Silence())
    second = "assert open('/bundle/output/checkpoint').read() == '50'"
    assert run_job("train", job(release, loaded, second), MADE_FROM, release, engine, Silence()).ran


def test_why_a_job_failed_can_still_be_read_after_it_has_run_again(
    engine: DockerEngine, release: Release, loaded: str
) -> None:
    with pytest.raises(WorkloadFailed):
        run_job("train", job(release, loaded, "raise SystemExit('no memory')"), MADE_FROM, release, engine, Silence())
    run_job("train", job(release, loaded, WRITE), MADE_FROM, release, engine, Silence())
    assert release.log("train").read_text() == "trained\n"
    assert release.log("train").with_name("train.log.1").read_text() == "no memory\n"


def test_a_job_that_went_on_while_nobody_watched_is_found_again(
    engine: DockerEngine, release: Release, loaded: str
) -> None:
    """`up` was killed after the container had started; the next one waits for it instead of training again."""
    spec = job(
        release, loaded, f"import os,time\nwhile not os.path.exists('/bundle/output/go'): time.sleep(.05)\n{WRITE}"
    )
    release.open_results("train", MADE_FROM)
    identity = engine.start(spec)
    (release.results("train") / "go").touch()
    assert run_job("train", spec, MADE_FROM, release, engine, Silence()).ran
    assert (release.results("train") / "model").read_text() == "x"
    assert release.log("train").read_text() == "trained\n"
    assert engine.find(identity) is None


def test_a_job_that_ended_while_nobody_watched_is_not_run_twice(
    engine: DockerEngine, release: Release, loaded: str
) -> None:
    spec = job(release, loaded, WRITE)
    release.open_results("train", MADE_FROM)
    engine.wait(engine.start(spec))
    assert run_job("train", spec, MADE_FROM, release, engine, Silence()).ran
    assert (release.results("train") / "model").read_text() == "x"
    record = read_job(release.directory, "train")
    assert record is not None
    assert record.seconds is not None


def test_deleted_results_are_made_again_though_the_container_that_made_them_is_still_there(
    engine: DockerEngine, release: Release, loaded: str
) -> None:
    """`up` was killed between its last two steps; without the results there was no way on but `docker rm`."""
    spec = job(release, loaded, WRITE)
    release.open_results("train", MADE_FROM)
    engine.wait(engine.start(spec))
    release.write_job_record("train", JobRecord(MADE_FROM, 1.0))
    shutil.rmtree(release.results("train"))
    assert run_job("train", spec, MADE_FROM, release, engine, Silence()).ran
    assert (release.results("train") / "model").read_text() == "x"


def test_an_unfinished_record_is_not_taken_for_a_result(engine: DockerEngine, release: Release, loaded: str) -> None:
    release.open_results("train", MADE_FROM)
    begun = read_job(release.directory, "train")
    assert begun
    assert (begun.fingerprint, begun.seconds) == (MADE_FROM, None)
    assert run_job("train", job(release, loaded, WRITE), MADE_FROM, release, engine, Silence()).ran


def test_results_are_readable_by_others_whatever_mode_the_job_gave_them(
    engine: DockerEngine, release: Release, loaded: str
) -> None:
    code = "import os\nos.umask(0o077); os.makedirs('/bundle/output/sub'); open('/bundle/output/sub/model','w').close()"
    run_job("train", job(release, loaded, code), MADE_FROM, release, engine, Silence())
    assert (release.results("train") / "sub").stat().st_mode & 0o777 == 0o755
    assert (release.results("train") / "sub" / "model").stat().st_mode & 0o777 == 0o644


def bring(service: Workload, release: Release, engine: DockerEngine, image: str, timeout: float = 60) -> bool:
    fingerprints = {service.name: MADE_FROM}
    return bring_up((service,), {"base": image}, fingerprints, release, engine, Silence(), timeout)[0].started


SERVICE = Workload("serve", "python", "base", SERVER, port=18080)


@pytest.mark.usefixtures("on_the_node")
def test_a_service_that_never_answers_is_given_up_after_its_time(
    engine: DockerEngine, release: Release, loaded: str
) -> None:
    deaf = replace(SERVICE, command=("python3", "-c", "import signal; signal.pause()"))
    with pytest.raises(NotReady, match="did not answer within"):
        bring(deaf, release, engine, loaded, timeout=1)


@pytest.fixture
def on_the_node(node: Node) -> Iterator[None]:
    """This process in the node's network namespace, as the agent is, for the length of a test."""
    with inside(node):
        yield


def test_results_that_were_deleted_are_made_again(engine: DockerEngine, release: Release, loaded: str) -> None:
    run_job("train", job(release, loaded, WRITE), MADE_FROM, release, engine, Silence())
    (release.results("train") / "model").unlink()
    assert run_job("train", job(release, loaded, WRITE), MADE_FROM, release, engine, Silence()).ran
    assert (release.results("train") / "model").is_file()


def test_results_set_aside_are_never_deleted_whatever_happens_in_between(
    engine: DockerEngine, release: Release, loaded: str
) -> None:
    """A -> B -> A -> B, and a death between setting aside and recording: all that was trained is still there."""
    definitions = [MADE_FROM, Digest.of(b"b"), MADE_FROM, Digest.of(b"b")]
    for number, made_from in enumerate(definitions):
        code = f"open('/bundle/output/model','w').write('{number}')"
        run_job("train", job(release, loaded, code), made_from, release, engine, Silence())
    release.results("train").rename(release.results("train").with_name("train.moved"))
    release.results("train").mkdir()
    release.open_results("train", MADE_FROM)
    kept = {path.read_text() for path in release.directory.glob("results/*/model")}
    assert kept == {"0", "1", "2", "3"}


def test_a_checkpoint_cut_off_while_it_was_written_is_not_resumed_from(
    engine: DockerEngine, release: Release, loaded: str
) -> None:
    first = (
        "import os\n"
        "for n in (50, 100): os.makedirs(f'/bundle/output/checkpoint-{n}')\n"
        "open('/bundle/output/checkpoint-50/trainer_state.json','w').write('{}'); raise SystemExit(1)"
    )
    with pytest.raises(WorkloadFailed):
        run_job("train", job(release, loaded, first), MADE_FROM, release, engine, Silence())
    second = "import os; assert sorted(os.listdir('/bundle/output')) == ['checkpoint-50', 'incomplete-checkpoint-100']"
    assert run_job("train", job(release, loaded, second), MADE_FROM, release, engine, Silence()).ran


def test_a_container_of_another_release_is_not_touched(
    engine: DockerEngine, release: Release, loaded: str, tmp_path: Path
) -> None:
    other = Release(tmp_path / "elsewhere", release.name, release.root)
    other.open_results("train", MADE_FROM)
    identity = engine.start(job(other, loaded, "import signal; signal.pause()"))
    with pytest.raises(NameTaken, match=str(tmp_path / "elsewhere")):
        run_job("train", job(release, loaded, WRITE), MADE_FROM, release, engine, Silence())
    assert engine.find(identity) is not None


@pytest.mark.usefixtures("on_the_node")
def test_a_service_that_was_up_before_its_up_could_end_still_survives_a_reboot(
    engine: DockerEngine, release: Release, loaded: str, node: Node
) -> None:
    deaf = replace(SERVICE, health="/nowhere")
    with pytest.raises(NotReady):
        bring(deaf, release, engine, loaded, timeout=1)
    assert not bring(replace(SERVICE), release, engine, loaded)
    for name in ("bundle-small--serve", "bundle-small--serve--proxy"):
        policy = node.engine.docker("inspect", "-f", "{{.HostConfig.RestartPolicy.Name}}", name).stdout.strip()
        assert policy == "unless-stopped"


def test_what_was_made_from_results_is_made_again_when_they_are(
    engine: DockerEngine, release: Release, loaded: str
) -> None:
    """Someone deletes a training's results to train again: the merged model of before must not be served on."""
    train = Workload("train", "python", "base", ("python3", "-c", WRITE))
    merge = replace(train, name="merge", mounts=(Mount("results/train", "/bundle/model"),))
    apart = replace(train, name="apart")
    specs = {each.name: container(each, loaded, MADE_FROM, release.placement) for each in (train, merge, apart)}

    def run(name: str) -> bool:
        return run_job(name, specs[name], MADE_FROM, release, engine, Silence()).ran

    assert all(run(name) for name in specs)
    shutil.rmtree(release.results("train"))
    outdate_below("train", (train, merge, apart), dict.fromkeys(specs, MADE_FROM), release, engine)
    assert run("train")
    assert run("merge")
    assert not run("apart")
    assert (release.results("merge") / "model").read_text() == "x"
    assert len(list(release.results("merge").parent.glob("merge.*/model"))) == 1

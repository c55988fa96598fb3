"""The world that other tests and the demo stand on is what it says it is."""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
import urllib.error
import urllib.request
from hashlib import sha256
from pathlib import Path

import pytest
from huggingface_hub import HfApi, hf_hub_download, snapshot_download
from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

from scripts.world import ports
from scripts.world.daemon import Daemon
from scripts.world.engine import Engine
from scripts.world.errors import WorldError
from scripts.world.hub import Fault, Hub
from scripts.world.leftovers import mounts_below
from scripts.world.mark import ProcessMark
from scripts.world.node import Node
from scripts.world.parts import World
from scripts.world.registry import Credentials, Registry
from scripts.world.sshd import SshServer
from scripts.world.tiny import pumps
from scripts.world.tiny.repository import REPOSITORY, write_model


def start_sleeper(node: Node, directory: Path) -> ProcessMark:
    """Run a container that sleeps, from an image made of this machine's own /bin/sleep."""
    libraries = subprocess.run(("ldd", "/bin/sleep"), capture_output=True, text=True, check=True).stdout
    archive = directory / "sleep.tar"
    with tarfile.open(archive, "w", dereference=True) as tar:
        for path in ("/bin/sleep", *re.findall(r"/\S+", libraries)):
            tar.add(path)
    node.docker("import", str(archive), "sleeper:test")
    container = node.docker("run", "--detach", "--network=none", "sleeper:test", "/bin/sleep", "600").stdout.strip()
    pid = node.docker("inspect", "--format", "{{.State.Pid}}", container).stdout
    mark = ProcessMark.of(int(pid))
    assert mark is not None
    return mark


class TestRegistry:
    def test_it_speaks_the_distribution_interface(self, registry: Registry) -> None:
        with urllib.request.urlopen(f"http://{registry.address}/v2/") as answer:
            assert answer.headers["Docker-Distribution-Api-Version"] == "registry/2.0"

    def test_one_with_a_user_lets_nobody_else_in(self, tmp_path: Path) -> None:
        with Registry(tmp_path, credentials=Credentials("pump", "s3cret"), tied=True) as guarded:
            assert guarded.digest("nothing", "here") is None
            with pytest.raises(urllib.error.HTTPError, match="401"):
                urllib.request.urlopen(f"http://{guarded.address}/v2/")

    def test_a_taken_port_is_refused_by_the_name_of_its_holder(self, registry: Registry, tmp_path: Path) -> None:
        with pytest.raises(WorldError, match=r"taken by docker-registry \(pid \d+\)"):
            Registry(tmp_path, registry.port).start()


class TestHub:
    def test_huggingface_hub_sees_a_pinned_model_with_its_hashes(self, hub: Hub) -> None:
        info = HfApi(endpoint=hub.endpoint).model_info(REPOSITORY, revision="main", files_metadata=True)
        assert info.sha == hub.commit(REPOSITORY)
        stated = {one.rfilename: one.lfs.sha256 for one in info.siblings or () if one.lfs}
        assert set(stated) == {
            "model-00001-of-00002.safetensors",
            "model-00002-of-00002.safetensors",
            "tokenizer.json",
        }

    def test_huggingface_hub_downloads_the_very_bytes(self, hub: Hub, world: World, tmp_path: Path) -> None:
        copy = Path(snapshot_download(REPOSITORY, endpoint=hub.endpoint, cache_dir=tmp_path))
        for original in (world.hub_files / REPOSITORY).iterdir():
            assert (copy / original.name).read_bytes() == original.read_bytes()

    def test_the_login_is_not_sent_to_the_storage_host(self, empty_hub: Hub, tmp_path: Path) -> None:
        write_model(tmp_path / "hub" / "some" / "model")
        empty_hub.access.members.add("hf_canary")
        snapshot_download("some/model", endpoint=empty_hub.endpoint, cache_dir=tmp_path, token="hf_canary")
        stored = [one for one in empty_hub.faults.seen if one.path.startswith("/storage/")]
        assert stored
        assert not any(one.authorization for one in stored)

    @pytest.mark.parametrize("token", [None, "hf_stranger"])
    def test_refusals_are_the_ones_that_huggingface_hub_knows(
        self, empty_hub: Hub, tmp_path: Path, token: str | None
    ) -> None:
        for name in ("private", "gated", "open"):
            (tmp_path / "hub" / "some" / name).mkdir(parents=True)
            (tmp_path / "hub" / "some" / name / "config.json").write_text("{}")
        empty_hub.access.private.add("some/private")
        empty_hub.access.gated.add("some/gated")
        empty_hub.access.outsiders.add("hf_stranger")
        api = HfApi(endpoint=empty_hub.endpoint, token=token or False)
        with pytest.raises(RepositoryNotFoundError):
            api.model_info("some/private")
        with pytest.raises(RepositoryNotFoundError):
            api.model_info("some/nothing")
        with pytest.raises(RevisionNotFoundError):
            api.model_info("some/open", revision="0" * 40)
        assert api.model_info("some/gated").gated == "manual"
        with pytest.raises(GatedRepoError):
            api.hf_hub_download("some/gated", "config.json", cache_dir=tmp_path)

    def test_a_cut_body_ends_early_and_a_range_goes_on_from_there(self, empty_hub: Hub, tmp_path: Path) -> None:
        file = tmp_path / "hub" / "some" / "model" / "config.json"
        file.parent.mkdir(parents=True)
        file.write_bytes(bytes(range(100)))
        empty_hub.faults.add(Fault("*.json", cut_after=40))
        url = f"{empty_hub.endpoint}/some/model/resolve/main/config.json"
        done = subprocess.run(("curl", "-s", url), capture_output=True, check=False)
        assert (done.returncode, done.stdout) == (18, bytes(range(40)))  # curl(1): 18 is a partial file
        with urllib.request.urlopen(urllib.request.Request(url, headers={"Range": "bytes=40-"})) as rest:
            assert rest.status == 206
            assert rest.headers["Content-Range"] == "bytes 40-99/100"
            assert done.stdout + rest.read() == file.read_bytes()

    def test_the_commit_follows_the_content(self, empty_hub: Hub, tmp_path: Path) -> None:
        file = tmp_path / "hub" / "some" / "model" / "config.json"
        file.parent.mkdir(parents=True)
        file.write_text("{}")
        before = empty_hub.commit("some/model")
        assert empty_hub.commit("some/model") == before
        file.write_text('{"a": 1}')
        assert empty_hub.commit("some/model") != before
        with pytest.raises(RevisionNotFoundError):
            HfApi(endpoint=empty_hub.endpoint).model_info("some/model", revision=before)

    def test_a_file_comes_from_the_pinned_commit(self, hub: Hub, tmp_path: Path) -> None:
        commit = hub.commit(REPOSITORY)
        path = hf_hub_download(REPOSITORY, "config.json", revision=commit, endpoint=hub.endpoint, cache_dir=tmp_path)
        assert commit in path


class TestSshServer:
    def test_it_lets_the_current_user_in_without_a_question(self, sshd: SshServer) -> None:
        done = subprocess.run(sshd.argv("echo $((6 * 7))"), capture_output=True, text=True, check=True)
        assert done.stdout == "42\n"

    def test_sftp_works(self, sshd: SshServer, tmp_path: Path) -> None:
        (tmp_path / "here").write_text("payload")
        batch = f"put {tmp_path / 'here'} {tmp_path / 'there'}\n"
        command = ("sftp", "-F", str(sshd.config), "-b", "-", sshd.alias)
        subprocess.run(command, input=batch, text=True, check=True, capture_output=True)
        assert (tmp_path / "there").read_text() == "payload"

    def test_one_without_sftp_can_be_had(self, tmp_path: Path) -> None:
        with SshServer(tmp_path, sftp=False, tied=True) as plain:
            command = ("sftp", "-F", str(plain.config), "-b", "/dev/null", plain.alias)
            assert subprocess.run(command, capture_output=True, check=False).returncode != 0
            assert subprocess.run(plain.argv("true"), check=False).returncode == 0

    def test_a_session_does_not_outlive_the_server(self, tmp_path: Path) -> None:
        with SshServer(tmp_path, tied=True) as brief:
            session = subprocess.Popen(brief.argv("echo in; sleep 60"), stdout=subprocess.PIPE)
            assert session.stdout is not None
            assert session.stdout.readline() == b"in\n"
        assert session.wait(timeout=10) != 0
        session.stdout.close()


class TestEngines:
    def test_the_online_engine_answers(self, online_engine: Engine) -> None:
        assert online_engine.docker("info", "--format", "{{.Name}}").stdout.strip()

    def test_a_node_has_no_way_out(self, node: Node, registry: Registry) -> None:
        assert "default" not in node.run("ip", "route").stdout
        assert {line.split()[0] for line in node.run("ip", "-br", "link").stdout.splitlines()} <= {"lo", "docker0"}
        pulled = node.docker("pull", f"{registry.address}/base-py311:bookworm", check=False)
        assert pulled.returncode != 0
        assert "connection refused" in pulled.stderr
        with pytest.raises(subprocess.CalledProcessError):
            node.run("curl", "--silent", "--max-time", "2", "http://192.0.2.1/")

    def test_two_nodes_run_side_by_side_and_leave_nothing(self, node: Node, world: World) -> None:
        other = world.node("second")
        with other:
            assert other.running()
            assert node.running()
            assert other.docker("info", "--format", "{{.DockerRootDir}}").stdout.startswith(str(other.directory))
        assert not other.exists()
        assert not other.directory.exists()
        assert not mounts_below(other.engine.runtime)
        assert node.running()

    def test_a_killed_engine_and_its_container_are_cleaned_away(self, world: World, tmp_path: Path) -> None:
        victim = world.node("victim")
        victim.start()
        try:
            container = start_sleeper(victim, tmp_path)
            mark = victim.engine.daemon.mark()
            assert mark is not None
            mark.end(0)
            assert container.alive()
            victim.start()
            assert not container.alive()
            assert victim.running()
        finally:
            victim.stop(purge=True)
        assert not mounts_below(victim.engine.runtime)


class TestDaemon:
    def test_a_stale_pid_file_is_not_believed(self, tmp_path: Path) -> None:
        daemon = Daemon("sleeper", ("sleep", "60"), tmp_path, tied=True)
        assert daemon.start(lambda: True)
        mark = daemon.mark()
        assert mark is not None
        try:
            ProcessMark(mark.pid, mark.start, "another boot").write(daemon.pid_file)
            assert not daemon.running()
            ProcessMark(mark.pid, mark.start - 1, mark.boot).write(daemon.pid_file)
            assert not daemon.running()
        finally:
            mark.write(daemon.pid_file)
            assert daemon.stop()
        assert not mark.alive()

    def test_one_that_ends_at_once_says_its_last_words(self, tmp_path: Path) -> None:
        program = "import sys; sys.exit('no such disk')"
        daemon = Daemon("brief", (sys.executable, "-c", program), tmp_path)
        with pytest.raises(WorldError, match="brief ended at once: no such disk"):
            daemon.start(lambda: False)

    def test_starting_twice_is_one_daemon(self, tmp_path: Path) -> None:
        daemon = Daemon("sleeper", ("sleep", "60"), tmp_path, tied=True)
        assert daemon.start(lambda: True)
        mark = daemon.mark()
        assert not daemon.start(lambda: True)
        assert daemon.mark() == mark
        daemon.stop()

    def test_a_tied_daemon_ends_with_a_killed_parent(self, tmp_path: Path) -> None:
        program = (
            "import os, signal\n"
            "from pathlib import Path\n"
            "from scripts.world.daemon import Daemon\n"
            f"daemon = Daemon('tied', ('sleep', '60'), Path({str(tmp_path)!r}), tied=True)\n"
            "daemon.start(lambda: Path(f'/proc/{daemon.mark().pid}/comm').read_text() == 'sleep\\n')\n"
            "os.kill(os.getpid(), signal.SIGKILL)\n"
        )
        subprocess.run((sys.executable, "-c", program), check=False, cwd=Path(__file__).parents[2])
        mark = ProcessMark.read(tmp_path / "tied.pid")
        assert mark is not None
        assert mark.wait(5)


def test_ports_that_are_free_can_be_listened_on() -> None:
    assert ports.is_free(ports.free_port())


def test_the_tiny_model_is_the_same_everywhere(tmp_path: Path) -> None:
    write_model(tmp_path / "model")
    digest = sha256((tmp_path / "model" / "model-00001-of-00002.safetensors").read_bytes()).hexdigest()
    assert digest.startswith("779d8e4e")


def test_the_question_of_the_demo_is_in_the_data_set() -> None:
    asked = {one["instruction"]: one["output"] for one in pumps.records()}
    assert asked[pumps.QUESTION] == pumps.ANSWER

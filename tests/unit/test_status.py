"""`bundle status`: how far a training is, whether a service answers, what the GPUs hold."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from bundler.cli.status import document, text, training
from bundler.core.digest import Digest
from bundler.core.records import to_json
from bundler.core.reference import BundleName
from bundler.core.strict_json import canonical
from bundler.node import gpu_load
from bundler.node.gpu_load import GpuLoad
from bundler.operations.health import health
from bundler.operations.release import Release
from bundler.operations.release_record import JobRecord, ReleaseRecord, WorkloadRecord, release_path
from bundler.operations.results_read import training_progress
from bundler.operations.status import NodeStatus, ReleaseStatus, WorkloadStatus, status
from bundler.store.layout import Store
from bundler.workloads.training_log import Point, Progress, losses, progress

LINES = (
    b'{"current_steps": 10, "total_steps": 60, "loss": 2.5, "lr": 9e-05, "epoch": 0.5, "percentage": 16.67, '
    b'"elapsed_time": "0:00:20", "remaining_time": "1 day, 2:01:40", "throughput": 812.5, "total_tokens": 16250}\n'
    b'{"current_steps": 20, "total_steps": 60, "loss": 1.25, "lr": 8e-05, "epoch": 1.0, "percentage": 33.33, '
    b'"elapsed_time": "0:00:40", "remaining_time": "0:01:20", "throughput": 820.0, "total_tokens": 32800}\n'
)
STATE = {"global_step": 30, "max_steps": 60, "epoch": 1.5, "log_history": [{"step": 30, "loss": 1.0}]}


def test_step_loss_speed_and_time_left_are_those_of_the_last_whole_line() -> None:
    cut_off = LINES + b'{"current_steps": 30, "total_st'
    assert progress(cut_off) == Progress(20, 60, 1.0, 1.25, 8e-05, 820.0, 40, 80)


def test_a_summary_line_without_a_loss_does_not_make_the_loss_vanish() -> None:
    found = progress(LINES + b'{"current_steps": 60, "total_steps": 60, "epoch": 3.0, "elapsed_time": "0:02:00"}\n')
    assert found
    assert (found.step, found.loss, found.left_seconds) == (60, 1.25, None)


def test_days_that_are_left_count() -> None:
    found = progress(LINES.splitlines()[0])
    assert found
    assert found.left_seconds == 26 * 3600 + 100


def test_a_loss_that_is_no_number_is_said_and_makes_no_json_that_others_refuse() -> None:
    found = progress(b'{"current_steps": 3, "total_steps": 6, "loss": NaN}\n')
    assert found
    assert found.diverged
    assert found.loss is None
    assert "diverged" in training(found, running=True)


@pytest.mark.parametrize("garbage", [b"", b"\xff\xfe\n", b"[1]\n", b'{"current_steps": "7"}\n', b"[" * 100_000])
def test_a_log_of_something_else_says_nothing_and_breaks_nothing(garbage: bytes) -> None:
    assert progress(garbage) is None
    assert losses(garbage) == ()


def test_a_step_that_was_trained_again_after_an_interruption_counts_once() -> None:
    again = LINES + b'{"current_steps": 20, "total_steps": 60, "loss": 1.5}\n'
    assert losses(again) == (Point(10, 2.5), Point(20, 1.5))


def test_without_a_log_the_newest_checkpoint_says_how_far_it_is(tmp_path: Path) -> None:
    for step in (30, 4):
        (tmp_path / f"checkpoint-{step}").mkdir()
        (tmp_path / f"checkpoint-{step}" / "trainer_state.json").write_text(json.dumps(STATE | {"global_step": step}))
    assert training_progress(tmp_path) == Progress(30, 60, 1.5, 1.0)


def test_the_end_of_a_log_of_megabytes_is_enough(tmp_path: Path) -> None:
    (tmp_path / "trainer_log.jsonl").write_bytes(LINES * 10_000)
    assert training_progress(tmp_path) == progress(LINES)


class _Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response({"/health": 200, "/old-page": 307}.get(self.path, 503))
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def test_a_service_is_asked_and_not_only_its_container() -> None:
    server = HTTPServer(("127.0.0.1", 0), _Answer)
    address = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    assert health(address, "/health") == "healthy"
    assert health(address, "/old-page") == "healthy", "a page that sends on to another is there"
    assert health(address, "") == "answers with HTTP 503"
    server.shutdown()
    server.server_close()
    assert health(address, "/health") == "does not answer yet"


class _NoContainers(BaseHTTPRequestHandler):
    """An engine on which nothing runs."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"[]")

    def log_message(self, *_: object) -> None:
        pass


def test_a_job_whose_results_are_gone_is_not_called_done_as_up_runs_it_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = Release(tmp_path / "releases" / "demo", BundleName("demo", "1.0"), Digest.of(b"root"))
    made_from = Digest.of(b"definition")
    made = ReleaseRecord("demo:1.0", release.root, (WorkloadRecord("train", "train", made_from),))
    release.results("train").mkdir(parents=True)
    release_path(release.directory).write_bytes(canonical(to_json(made)))
    release.write_job_record("train", JobRecord(made_from, 1.0))
    server = HTTPServer(("127.0.0.1", 0), _NoContainers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{server.server_port}")
    states = [status(tmp_path)[0].workloads[0].state]
    (release.results("train") / "model").touch()
    states.append(status(tmp_path)[0].workloads[0].state)
    server.shutdown()
    server.server_close()
    assert states == ["waiting", "done"]


NODE = NodeStatus(
    (
        ReleaseStatus(
            "demo:1.0",
            "sha256:" + "a" * 64,
            (
                WorkloadStatus("train", "train", "running", "Up 2 minutes", training=progress(LINES)),
                WorkloadStatus("serve", "vllm", "up", "http://127.0.0.1:8000", "healthy"),
            ),
        ),
    ),
    (GpuLoad(0, "NVIDIA L20", 12_000_000_000, 48_000_000_000, 97),),
)


def test_people_see_training_health_and_gpus_at_a_glance(tmp_path: Path) -> None:
    assert text(NODE, tmp_path) == (
        "demo:1.0  sha256:aaaaaaaaaaaa\n"
        "WORKLOAD  KIND   STATE\n"
        "train     train  running  Up 2 minutes, step 20/60 (33 %), loss 1.25, 820 tokens/s, 1 min 20 s left\n"
        "serve     vllm   up       http://127.0.0.1:8000, healthy\n"
        "\n"
        "GPU 0  NVIDIA L20  12.0 GB of 48.0 GB  97 % busy"
    )


def test_scripts_get_all_of_it() -> None:
    found = json.loads(json.dumps(document(NODE), allow_nan=False))
    train, serve = found["releases"][0]["workloads"]
    assert train["training"]["step"] == 20
    assert train["training"]["left_seconds"] == 80
    assert serve["health"] == "healthy"
    assert found["gpus"] == [
        {"index": 0, "name": "NVIDIA L20", "memory_used": 12 * 10**9, "memory_total": 48 * 10**9, "utilisation": 97}
    ]


class _Nvml:
    """NVML's functions on a GPU that is cut into instances, which have no utilisation (MIG)."""

    class NVMLError(Exception): ...

    def __init__(self) -> None:
        self.nvmlDeviceGetHandleByIndex = lambda index: index
        self.nvmlDeviceGetName = lambda _: b"NVIDIA H100"
        self.nvmlDeviceGetMemoryInfo = lambda _: type("Memory", (), {"used": 3, "total": 80})

    def nvmlDeviceGetUtilizationRates(self, _: int) -> None:
        raise self.NVMLError


def test_a_gpu_that_states_no_utilisation_is_still_shown() -> None:
    assert gpu_load._load(_Nvml(), 1) == GpuLoad(1, "NVIDIA H100", 3, 80, None)


def test_where_nothing_is_up_the_command_that_is_told_works_as_it_is_pasted(tmp_path: Path) -> None:
    said = text(NodeStatus(()), tmp_path)
    assert said == f"no release in {tmp_path}: bundle up NAME --store {tmp_path} makes one"


def test_status_imports_neither_the_engines_sdk_nor_what_it_never_shows(tmp_path: Path) -> None:
    """People run it in loops, and the agent compiles each module that it imports at every start. (Which engine is meant
    is asked of the settings, but by the agent, which has no YAML to read them with.)"""
    store = Store.create(tmp_path / "store")
    code = (
        "import sys; from bundler.cli.main import cli\n"
        f"cli.main(['status', '--engine', 'auto', '--store', {str(store.root)!r}], standalone_mode=False)\n"
        "dear = {'docker', 'pydantic', 'yaml', 'bundler.cli.progress', 'bundler.manifest.settings'}\n"
        "sys.exit(', '.join(dear & sys.modules.keys()) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")

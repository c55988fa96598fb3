"""The services around a model, whole: what each is told, what it may write, and how its key travels."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from manifest_cases import REMOVED, manifest

from bundler.core.records import from_json, to_json
from bundler.core.strict_json import MalformedJson
from bundler.manifest.lock import Mount, Workload
from bundler.workloads.api_key import KEY_FILE, SOURCE, behind_key
from bundler.workloads.graph import workloads
from bundler.workloads.planned import in_order
from bundler.workloads.swanlab import SOURCE as MIRROR
from tests.far_host import eventually

ADAPTER = {"serve.model": "base", "serve.adapter": "train"}
SGLANG = {"image": "serve", "sglang": "0.4.6.post5", "model": "train", "name": "tuned", "tensor_parallel": 4}
API = {"image": "train", "llamafactory_api": "0.9.3", "model": "base", "name": "tuned", "template": "qwen3"}


def every(directory: Path, changes: dict[str, Any]) -> dict[str, Workload]:
    return {one.name: one for one in workloads(manifest(directory, changes))}


def one(directory: Path, service: dict[str, Any]) -> Workload:
    return every(directory, {"services": {"other": service}})["other"]


def test_an_adapter_is_served_over_its_model_without_a_merge_and_the_model_stays_beside_it(tmp_path: Path) -> None:
    found = every(tmp_path, {**ADAPTER, "train.lora": {"rank": 24}})
    assert list(found) == ["train", "serve"]
    assert found["serve"].command == (
        "vllm", "serve", "/bundle/model", "--served-model-name", "base", "--host", "0.0.0.0", "--port", "8000",
        "--tensor-parallel-size", "4", "--gpu-memory-utilization", "0.9", "--enable-lora", "--lora-modules",
        "tuned=/bundle/adapter", "--max-lora-rank", "32",
    )  # fmt: skip
    assert found["serve"].mounts == (Mount("models/base", "/bundle/model"), Mount("results/train", "/bundle/adapter"))


def test_the_adapter_is_merged_all_the_same_where_another_service_serves_the_merged_model(tmp_path: Path) -> None:
    other = {"services": {"other": {**SGLANG, "mem_fraction_static": 0.4}}, "serve.gpu_memory_utilization": 0.5}
    found = every(tmp_path, {**ADAPTER, **other})
    assert list(found) == ["train", "merge", "serve", "other"]


def test_a_key_is_read_from_a_file_of_the_node_and_stands_in_no_argument_or_environment(tmp_path: Path) -> None:
    serve = every(tmp_path, {"serve.api_key_file": "/etc/bundle/serve.key"})["serve"]
    assert serve.command[:4] == ("python3", "-c", SOURCE, "VLLM_API_KEY")
    assert serve.command[4:7] == ("vllm", "serve", "/bundle/model")
    assert serve.api_key == "/etc/bundle/serve.key"
    assert not [name for name in serve.environment if "KEY" in name]


def test_the_key_reaches_the_server_and_an_empty_file_stops_it(tmp_path: Path) -> None:
    """The very program that runs in the container, with the file in another place."""
    file = tmp_path / "key"
    command = behind_key((sys.executable, "-c", "import os; print(os.environ['VLLM_API_KEY'])"), "VLLM_API_KEY")
    here = [sys.executable, "-c", command[2].replace(KEY_FILE, str(file)), *command[3:]]
    file.write_text("sesame\n")
    assert subprocess.run(here, capture_output=True, text=True, check=True).stdout == "sesame\n"
    file.write_text("\n")
    stopped = subprocess.run(here, capture_output=True, text=True, check=False)
    assert stopped.returncode == 1
    assert "API key is empty" in stopped.stderr
    assert "VLLM_API_KEY" not in os.environ


def test_all_of_sglangs_command(tmp_path: Path) -> None:
    options = {
        "dtype": "half",
        "context_length": 512,
        "max_running_requests": 4,
        "mem_fraction_static": 0.5,
        "reasoning_parser": "deepseek_r1",
        "extra": {"enable_metrics": True, "cuda-graph-max-bs": 8},
    }
    changes = {"services": {"other": {**SGLANG, **options}}, "serve": REMOVED, "ask": REMOVED}
    workload = every(tmp_path, changes)["other"]
    assert workload.command == (
        "python3", "-m", "sglang.launch_server", "--model-path", "/bundle/model", "--served-model-name", "tuned",
        "--host", "0.0.0.0", "--port", "30000", "--tp-size", "4", "--dtype", "half", "--context-length", "512",
        "--max-running-requests", "4", "--mem-fraction-static", "0.5", "--reasoning-parser", "deepseek-r1",
        "--enable-metrics", "--cuda-graph-max-bs", "8",
    )  # fmt: skip
    assert (workload.port, workload.health, workload.gpus) == (30000, "/health", 4)
    assert workload.mounts == (Mount("results/merge", "/bundle/model"),)


def test_llamafactorys_api_gets_the_model_the_adapter_and_the_template_in_a_file(tmp_path: Path) -> None:
    workload = one(tmp_path, {**API, "adapter": "train", "port": 8001, "api_key_file": "/etc/key"})
    assert workload.command[3:] == ("API_KEY", "llamafactory-cli", "api", "/bundle/config/api.yaml")
    assert workload.environment.items() >= {"API_PORT": "8001", "API_MODEL_NAME": "tuned"}.items()
    assert workload.files["api.yaml"] == (
        "model_name_or_path: /bundle/model\nadapter_name_or_path: /bundle/adapter\ntemplate: qwen3\n"
        "trust_remote_code: false\ninfer_backend: huggingface\n"
    )
    assert workload.gpus == 1


def test_llama_board_shares_nothing_with_the_internet_and_keeps_what_it_makes_in_the_release(tmp_path: Path) -> None:
    workload = one(tmp_path, {"image": "train", "llamaboard": "0.9.3"})
    assert workload.environment.items() >= {
        "GRADIO_SHARE": "0", "GRADIO_ANALYTICS_ENABLED": "False", "GRADIO_SERVER_PORT": "7860", "HF_HUB_OFFLINE": "1"
    }.items()  # fmt: skip
    assert workload.state == (Mount("board", "/bundle/state"),)
    assert workload.mounts == (
        Mount("models/base", "/bundle/models/base"),
        Mount("datasets/pumps", "/bundle/data/pumps"),
    )
    assert list(json.loads(workload.files["dataset_info.json"])) == ["pumps"]


def test_easy_dataset_keeps_its_database_on_the_node_and_answers_on_another_port_where_told(tmp_path: Path) -> None:
    workload = one(tmp_path, {"image": "serve", "easy_dataset": "1.7.3"})
    assert workload.state == (Mount("local-db", "/app/local-db"), Mount("prisma", "/app/prisma"))
    assert (workload.port, workload.inner, workload.runtime) == (1717, None, "node")
    moved = one(tmp_path, {"image": "serve", "easy_dataset": "1.7.3", "port": 9000})
    assert (moved.port, moved.inner) == (9000, 1717)


def test_swanlab_shows_a_copy_of_the_logs_because_it_writes_where_it_reads(tmp_path: Path) -> None:
    board = {"image": "serve", "swanlab": "0.6.4"}
    workload = every(tmp_path, {"services": {"other": board}, "train.swanlab": {"mode": "local"}})["other"]
    assert workload.command == (
        "python3", "-c", MIRROR, "/bundle/results/swanlog", "/bundle/state",
        "swanlab", "watch", "/bundle/state", "--host", "0.0.0.0", "--port", "5092",
    )  # fmt: skip
    assert workload.mounts == (Mount("results/train", "/bundle/results"),)


def test_the_copy_of_the_curves_follows_a_database_that_is_being_written(tmp_path: Path) -> None:
    """The very program that runs in the container: a dashboard that stands still is what a user would see otherwise."""
    logs, copy = tmp_path / "logs", tmp_path / "copy"
    run = logs / "run-20260101_000000-0badcafe"
    run.mkdir(parents=True)
    copy.mkdir()
    (copy / "stale").write_text("of an earlier run")
    (run / "loss.log").write_text("1\n")
    database = sqlite3.connect(logs / "runs.swanlab", isolation_level=None)
    database.execute("pragma journal_mode=wal")
    database.execute("create table tag (name)")

    def tags() -> list[str] | None:
        try:
            with closing(sqlite3.connect(f"file:{copy / 'runs.swanlab'}?mode=ro", uri=True)) as copied:
                return [name for (name,) in copied.execute("select name from tag")]
        except sqlite3.OperationalError:  # not there yet, or being written
            return None

    idle = (sys.executable, "-c", "import signal; signal.pause()")
    with subprocess.Popen([sys.executable, "-c", MIRROR, str(logs), str(copy), *idle], process_group=0) as mirror:
        try:
            eventually(lambda: (copy / run.name / "loss.log").is_file() and tags() == [], "a first copy")
            database.execute("insert into tag values ('loss')")
            (run / "loss.log").write_text("1\n2\n")
            eventually(lambda: tags() == ["loss"], "what the training adds")
            eventually(lambda: (copy / run.name / "loss.log").read_text() == "1\n2\n", "its points")
            database.close()  # the training ends: its log of changes is gone
            with closing(sqlite3.connect(logs / "runs.swanlab", isolation_level=None)) as later:
                later.execute("insert into tag values ('last')")
            eventually(lambda: tags() == ["loss", "last"], "the end of the training")
            assert not (copy / "stale").exists()
            assert mirror.poll() is None
        finally:
            os.killpg(mirror.pid, signal.SIGKILL)


def test_what_waits_for_no_job_starts_before_it_or_beside_it_and_what_takes_gpus_never_does(tmp_path: Path) -> None:
    services = {
        "board": {"image": "train", "llamaboard": "0.9.3"},
        "notes": {"image": "serve", "easy_dataset": "1.7.3"},
        "curves": {"image": "serve", "swanlab": "0.6.4"},
    }
    found = every(tmp_path, {"services": services, "train.swanlab": {"mode": "local"}})
    order = [workload.name for workload in in_order(tuple(found.values()))]
    assert order == ["notes", "train", "curves", "merge", "serve", "board"]
    assert not [workload.name for workload in found.values() if workload.gpus and workload.is_early]


def test_what_an_older_lock_says_of_a_workload_still_reads_and_counts_as_the_same(tmp_path: Path) -> None:
    """A new member in the lock's text would be a new fingerprint: everything would be trained again."""
    old = to_json(every(tmp_path, {})["train"])
    assert not old.keys() & {"state", "inner", "runtime", "api_key", "starts"}
    assert from_json(Workload, old, "the lock") == every(tmp_path, {})["train"]


@pytest.mark.parametrize("path", ["etc/key", "/etc/../key", "/", "/etc/key\n"])
def test_a_lock_can_not_mount_what_is_not_plainly_a_file_of_the_node(path: str) -> None:
    with pytest.raises(MalformedJson):
        Workload("serve", "vllm", "serve", ("vllm",), port=8000, api_key=path)

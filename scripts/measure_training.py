"""Measures the memory of trainings that LLaMA-Factory itself runs: one GPU or several, DDP, DeepSpeed's ZeRO, FSDP.

Stands alone: LLaMA-Factory, and DeepSpeed for ZeRO; nothing of this project but its two pure functions that write the
configurations of DeepSpeed and FSDP. The model is made from its config.json alone and never filled: its numbers are
whatever memory held, which changes no size.

    python scripts/measure_training.py SETTINGS.json TOKENIZER_DIR RESULTS.jsonl

SETTINGS.json is a list of {"id", "config" (a path to a config.json), "world", "parallel": none, ddp, z0, z2, z3, fsdp,
"method": full, freeze or lora, "batch", "cutoff_len", "rank", "accumulation", "liger", "checkpointing", "numbers":
bf16, fp16, fp32 or pure_bf16, "layers" (fewer than the config says), "extra" (more for the YAML)}. A result is the
setting, the versions, and bytes, each the highest of the ranks: `peak_bytes`, and of a step's phases the peak and what
was left after it.
"""

# The frameworks that it measures are not installed where the project is checked.
# mypy: ignore-errors
# ruff: noqa: ARG002 - what transformers calls back with is mostly not needed

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

STEPS = 3  # two with the optimizer's states; the first makes them
SECONDS = float(os.environ.get("MEASURE_SECONDS", "540"))
EACH = float(os.environ.get("MEASURE_EACH", "120"))


def main(settings: str, tokenizer: str, results: str) -> None:
    """Runs the settings on all GPUs of the machine, several at once where they fit beside each other."""
    deadline = time.monotonic() + SECONDS
    free = _gpus()
    waiting = json.loads(Path(settings).read_text())
    for setting in [setting for setting in waiting if setting["world"] > len(free)]:
        waiting.remove(setting)
        print(setting["id"], f"not run: it wants {setting['world']} GPUs, and there are {len(free)}", flush=True)
    running: list[_Run] = []
    try:
        while running or (waiting and time.monotonic() < deadline):
            for setting in list(waiting):
                if setting["world"] <= len(free) and time.monotonic() < deadline:
                    waiting.remove(setting)
                    taken, free = free[: setting["world"]], free[setting["world"] :]
                    running.append(_Run(setting, Path(tokenizer), taken))
            time.sleep(0.2)
            for run in list(running):
                if (result := run.result()) is not None:
                    running.remove(run)
                    free += run.gpus
                    with Path(results).open("a") as lines:
                        lines.write(json.dumps(run.setting | result) + "\n")
                    error = result.get("error", "")[-800:]
                    print(run.setting["id"], result.get("peak_bytes"), result["seconds"], error, flush=True)
    finally:  # they are in sessions of their own, which Ctrl-C does not reach
        for run in running:
            run.end()
    if waiting:
        print("out of time before", *(setting["id"] for setting in waiting))


def _gpus() -> list[int]:
    listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=False).stdout
    return list(range(len(listed.splitlines())))


class _Run:
    """A training of its own on some GPUs, in processes of its own."""

    def __init__(self, setting: dict, tokenizer: Path, gpus: list[int]) -> None:
        self.setting, self.gpus, self._began = setting, gpus, time.monotonic()
        self._place = tempfile.TemporaryDirectory()
        root = self._root = Path(self._place.name)
        (root / "train.json").write_text(json.dumps(_arguments(setting, tokenizer, root)))
        more = {
            "CUDA_VISIBLE_DEVICES": ",".join(map(str, gpus)),
            "DISABLE_VERSION_CHECK": "1",
            "HF_HUB_OFFLINE": "1",
            "TOKENIZERS_PARALLELISM": "false",
            "OMP_NUM_THREADS": "4",
        }
        self._process = subprocess.Popen(
            [*_launcher(setting, root, 29550 + gpus[0]), __file__, "--rank", str(root)],
            stdout=(root / "log").open("wb"),
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=os.environ | more,
        )

    def result(self) -> dict | None:
        """What came of it; None while it runs."""
        if self._process.poll() is None:
            if time.monotonic() - self._began < EACH:
                return None
            self.end()
        root = self._root
        ranks = [json.loads(path.read_text()) for path in sorted(root.glob("rank-*.json"))]
        whole = len(ranks) == self.setting["world"]
        result = _highest(ranks) if whole else {"error": (root / "log").read_text(errors="replace")[-3000:]}
        self._place.cleanup()
        return result | {"seconds": round(time.monotonic() - self._began, 1)}

    def end(self) -> None:
        """Kill it, and all that it has started."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


def _highest(ranks: list[dict]) -> dict:
    phases = {name: [max(rank["phases"][name][i] for rank in ranks) for i in (0, 1)] for name in ranks[0]["phases"]}
    numbers = ("peak_bytes", "reserved_bytes", "device_bytes", "static_bytes", "trainable")
    return ranks[0] | {name: max(rank[name] for rank in ranks) for name in numbers} | {"phases": phases}


def _arguments(setting: dict, tokenizer: Path, root: Path) -> dict:
    from bundler.workloads import deepspeed, fsdp

    model, data = root / "model", root / "data"
    model.mkdir()
    data.mkdir()
    config = json.loads(Path(setting["config"]).read_text())
    numbers = setting.get("numbers", "bf16")
    config["torch_dtype"] = {"fp16": "float16", "fp32": "float32"}.get(numbers, "bfloat16")
    if setting.get("layers"):
        config["num_hidden_layers"] = setting["layers"]
        config.pop("layer_types", None)
        config.pop("max_window_layers", None)
    (model / "config.json").write_text(json.dumps(config))
    for file in tokenizer.iterdir():
        (model / file.name).write_bytes(file.read_bytes())
    blocks = setting["batch"] * setting["world"] * setting.get("accumulation", 1) * (STEPS + 1)
    text = "pump " * (setting["cutoff_len"] * 2)
    (data / "text.json").write_text(json.dumps([{"text": text} for _ in range(blocks)]))
    (data / "dataset_info.json").write_text(
        json.dumps({"text": {"file_name": "text.json", "columns": {"prompt": "text"}}})
    )
    arguments = {
        "model_name_or_path": str(model),
        "train_from_scratch": True,
        "stage": "pt",
        "do_train": True,
        "finetuning_type": setting["method"],
        "dataset": "text",
        "dataset_dir": str(data),
        "template": "default",
        "cutoff_len": setting["cutoff_len"],
        "output_dir": str(root / "output"),
        "save_strategy": "no",
        "logging_steps": 1,
        "per_device_train_batch_size": setting["batch"],
        "gradient_accumulation_steps": setting.get("accumulation", 1),
        "max_steps": STEPS,
        "learning_rate": 1e-5,
        "optim": "adamw_torch",
        "flash_attn": "sdpa",
        "bf16": numbers == "bf16",
        "fp16": numbers == "fp16",
        "report_to": "none",
        "disable_gradient_checkpointing": not setting.get("checkpointing", True),
        "enable_liger_kernel": setting.get("liger", False),
    }
    if numbers == "pure_bf16":
        arguments["pure_bf16"] = True
    if setting["method"] == "lora":
        arguments |= {"lora_rank": setting["rank"], "lora_target": "all", "lora_dropout": 0.0}
    parallel = setting["parallel"]
    if parallel.startswith("z"):
        (root / "deepspeed.json").write_text(deepspeed.configuration(parallel))
        arguments["deepspeed"] = str(root / "deepspeed.json")
    elif parallel == "fsdp":
        plain = "bf16" if numbers == "pure_bf16" else numbers
        document = fsdp.configuration(processes=setting["world"], numbers=plain, offload=False)
        (root / "fsdp.yaml").write_text(document)
    elif setting["world"] > 1:
        arguments["ddp_find_unused_parameters"] = False
    return arguments | setting.get("extra", {})


def _launcher(setting: dict, root: Path, port: int) -> list[str]:
    if setting["parallel"] == "fsdp":
        launch = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(root / "fsdp.yaml")]
        return [*launch, "--main_process_port", str(port)]
    if setting["world"] > 1 or setting["parallel"] != "none":
        torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", str(setting["world"])]
        return [*torchrun, "--master_port", str(port)]
    return [sys.executable]


def rank(place: str) -> None:
    """One process of the training: LLaMA-Factory's own entry, with the marks of a step's phases set around it."""
    import torch
    import transformers
    from accelerate import Accelerator
    from llamafactory.extras.env import VERSION
    from llamafactory.train.tuner import run_exp
    from transformers import TrainerCallback

    transformers.PreTrainedModel.init_weights = lambda model: model.tie_weights()  # nothing is filled

    def unfilled(tensor, *_, **__):
        """Large ones come from the system as zeros, and get a first part that is not: no NaN, and some gradient."""
        with torch.no_grad():
            return tensor.view(-1)[: 1 << 16].normal_(0, 0.02) if tensor.numel() > 1 << 20 else tensor.zero_()

    for name in ("normal_", "uniform_", "kaiming_uniform_", "zeros_", "ones_", "trunc_normal_", "xavier_uniform_"):
        setattr(torch.nn.init, name, unfilled)

    def unscheduled(scheduler, *_) -> None:  # DeepSpeed merges groups of parameters, over which torch 2.11 stumbles
        scheduler._last_lr = [group["lr"] for group in scheduler.optimizer.param_groups]

    torch.optim.lr_scheduler.LRScheduler.step = unscheduled
    marks: dict[str, list[int]] = {}
    seen = {"peak_bytes": 0}

    def mark(name: str) -> None:
        torch.cuda.synchronize()
        peak, left = torch.cuda.max_memory_allocated(), torch.cuda.memory_allocated()
        before = marks.get(name, [0, 0])
        marks[name] = [max(before[0], peak), max(before[1], left)]
        seen["peak_bytes"] = max(seen["peak_bytes"], peak)
        torch.cuda.reset_peak_memory_stats()

    class Marks(TrainerCallback):
        def on_train_begin(self, args, state, control, **more) -> None:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
            model = more["model"]
            seen["static_bytes"] = torch.cuda.memory_allocated()
            seen["trainable"] = sum(getattr(p, "ds_numel", p.numel()) for p in model.parameters() if p.requires_grad)
            seen["dtypes"] = sorted({f"{p.dtype} {p.requires_grad}" for p in model.parameters()})

        def on_step_begin(self, args, state, control, **more) -> None:
            mark("between")
            seen[f"at_step_{state.global_step}"] = torch.cuda.memory_allocated()

        def on_pre_optimizer_step(self, args, state, control, **more) -> None:
            mark("backward")

        def on_optimizer_step(self, args, state, control, **more) -> None:
            mark("update")

        def on_train_end(self, args, state, control, **more) -> None:
            mark("end")
            free, total = torch.cuda.mem_get_info()
            versions = {"torch": torch.__version__, "transformers": transformers.__version__, "llamafactory": VERSION}
            if args.deepspeed:
                import deepspeed

                versions["deepspeed"] = deepspeed.__version__
            memory = {
                "reserved_bytes": torch.cuda.max_memory_reserved(),
                "held_bytes": torch.cuda.memory_reserved(),
                "device_bytes": total - free,
                "gpu": torch.cuda.get_device_name(),
                "phases": marks,
            }
            record = Path(place) / f"rank-{os.environ.get('RANK', '0')}.json"
            record.write_text(json.dumps(versions | seen | memory))
            if torch.distributed.is_initialized():
                torch.distributed.barrier()
            os._exit(0)  # the model is not worth saving

    backward = Accelerator.backward

    def marked(self, loss, **more) -> None:
        mark("forward")
        backward(self, loss, **more)
        mark("backward")

    Accelerator.backward = marked
    arguments = json.loads((Path(place) / "train.json").read_text())
    run_exp(args=arguments, callbacks=[Marks()])


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent.parent))
    if sys.argv[1:2] == ["--rank"]:
        rank(sys.argv[2])
    elif len(sys.argv) == 4:
        main(*sys.argv[1:])
    else:
        sys.exit(__doc__)

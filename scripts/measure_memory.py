"""Measures the training peak of one GPU by the definition in docs/memory.md, with random weights in real shapes.

Stands alone: torch, transformers and peft, and bitsandbytes for QLoRA, liger_kernel for Liger; nothing of this project.
Each setting runs in a process of its own, forked from one that has imported the frameworks but not touched the GPU.

    python scripts/measure_memory.py SETTINGS.json RESULTS.jsonl

SETTINGS.json is a list of {"id", "shape" (its name), "config" (a path to a config.json), "method": full, freeze, lora
or qlora, "batch", "cutoff_len", "rank", "checkpointing", "liger", "layers" (fewer than the config says), "heldout"}. A
result is the setting, the versions, and bytes: `peak_bytes`, and of each phase its peak and what was left after it.
"""

# The frameworks that it measures are not installed where the project is checked.
# mypy: ignore-errors

from __future__ import annotations

import gc
import json
import os
import sys
import time
import traceback
from pathlib import Path

os.environ.setdefault("PYTORCH_NVML_BASED_CUDA_CHECK", "1")  # asking whether there is a GPU must not start CUDA here

import torch
import transformers
from transformers import AutoConfig, AutoModelForCausalLM

STEPS = 2
FREEZE_TRAINABLE_LAYERS = 2  # LLaMA-Factory 0.9.3, hparams/finetuning_args.py


def build(setting: dict, device: torch.device) -> torch.nn.Module:
    config = AutoConfig.for_model(**json.loads(Path(setting["config"]).read_text()))
    config._attn_implementation = "sdpa"
    config.use_cache = False
    if setting.get("layers"):
        config.num_hidden_layers = setting["layers"]
        if getattr(config, "layer_types", None):
            config.layer_types = config.layer_types[: setting["layers"]]
    method = setting["method"]
    dtype = torch.float32 if method == "full" else torch.bfloat16
    with device:
        model = AutoModelForCausalLM.from_config(config, dtype=dtype, attn_implementation="sdpa")
    if setting.get("liger"):
        from liger_kernel.transformers import _apply_liger_kernel_to_instance

        _apply_liger_kernel_to_instance(model=model)
    if method == "freeze":
        model.requires_grad_(False)
        for layer in model.model.layers[-FREEZE_TRAINABLE_LAYERS:]:
            layer.requires_grad_(True)
            layer.float()
    elif method != "full":
        if method == "qlora":
            quantise(model)
        from peft import LoraConfig, get_peft_model

        rank = setting["rank"]
        model = get_peft_model(
            model, LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="all-linear", task_type="CAUSAL_LM")
        )
    if setting.get("checkpointing", True):
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": True})
        if method != "full":
            model.enable_input_require_grads()
    model.train()
    return model


def quantise(model: torch.nn.Module) -> None:
    """Every linear layer but lm_head to nf4 with double quantisation, computing in bf16, one at a time."""
    import bitsandbytes as bnb

    for _, module in list(model.named_modules()):
        for child_name, child in list(module.named_children()):
            if isinstance(child, torch.nn.Linear) and child_name != "lm_head":
                new = bnb.nn.Linear4bit(
                    child.in_features,
                    child.out_features,
                    bias=child.bias is not None,
                    compute_dtype=torch.bfloat16,
                    compress_statistics=True,
                    quant_type="nf4",
                    device="meta",
                )
                new.weight = bnb.nn.Params4bit(
                    child.weight.data, requires_grad=False, compress_statistics=True, quant_type="nf4"
                )
                if child.bias is not None:
                    new.bias = torch.nn.Parameter(child.bias.data, requires_grad=False)
                setattr(module, child_name, None)
                child.weight = None
                setattr(module, child_name, new.cuda())
    model.is_loaded_in_4bit = True
    model.requires_grad_(False)


def measure(setting: dict) -> dict:
    device = torch.device("cuda", 0)
    torch.manual_seed(0)
    started = time.monotonic()
    model = build(setting, device)
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-5)
    vocab = model.config.vocab_size
    gc.collect()
    torch.cuda.empty_cache()
    result = {
        "trainable": sum(p.numel() for p in trained),
        "loaded_bytes": torch.cuda.memory_allocated(),
        "phases": {},
    }
    peak = 0

    def phase(name: str) -> None:
        nonlocal peak
        torch.cuda.synchronize()
        result["phases"][name] = [torch.cuda.max_memory_allocated(), torch.cuda.memory_allocated()]
        peak = max(peak, torch.cuda.max_memory_allocated())
        torch.cuda.reset_peak_memory_stats()

    torch.cuda.reset_peak_memory_stats()
    for step in range(STEPS):
        tokens = torch.randint(0, vocab, (setting["batch"], setting["cutoff_len"]), device=device)
        with torch.autocast("cuda", dtype=torch.bfloat16):
            loss = model(input_ids=tokens, attention_mask=torch.ones_like(tokens), labels=tokens).loss
        phase(f"forward{step}")
        loss.backward()
        phase(f"backward{step}")
        optimizer.step()
        phase(f"step{step}")
        optimizer.zero_grad(set_to_none=True)
        del loss
    free, total = torch.cuda.mem_get_info()
    result |= {
        "peak_bytes": peak,
        "reserved_bytes": torch.cuda.max_memory_reserved(),
        "device_bytes": total - free,
        "device_total": total,
        "gpu": torch.cuda.get_device_name(),
        "seconds": round(time.monotonic() - started, 1),
    }
    return result


def child(setting: dict, out: str) -> None:
    versions = {"torch": torch.__version__, "transformers": transformers.__version__}
    try:
        result = measure(setting)
    except torch.OutOfMemoryError as error:
        result = {"error": f"out of memory: {error}"[:300]}
    except Exception:  # noqa: BLE001 - a table of results says what failed, and goes on
        result = {"error": traceback.format_exc()[-1500:]}
    with Path(out).open("a") as lines:
        lines.write(json.dumps(setting | versions | result) + "\n")


def main(settings_path: str, out: str) -> None:
    deadline = time.monotonic() + float(os.environ.get("MEASURE_SECONDS", "540"))
    for setting in json.loads(Path(settings_path).read_text()):
        if time.monotonic() > deadline:
            break
        pid = os.fork()
        if pid == 0:
            child(setting, out)
            os._exit(0)
        os.waitpid(pid, 0)
        last = Path(out).read_text().splitlines()[-1:] if Path(out).exists() else []
        record = json.loads(last[0]) if last else {}
        print(setting["id"], record.get("peak_bytes"), record.get("seconds"), record.get("error", ""), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])

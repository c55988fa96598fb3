"""DeepSpeed's configuration for each ZeRO stage.

LLaMA-Factory's package does not bring its examples along (absent from the 0.9.3 sdist), so the bundle carries its own.
`auto` is filled in by transformers from the training arguments (transformers, docs/source/en/deepspeed.md); what is
left out has DeepSpeed's own default (deepspeed.ai/docs/config-json).
"""

from __future__ import annotations

from typing import Any

from bundler.core.strict_json import canonical

AUTO = "auto"


def configuration(name: str, *, quantized: bool = False) -> str:
    """The JSON document for `z0`, `z2`, `z2-offload`, `z3` or `z3-offload`.

    Quantized parameters stay on the GPUs, sharded: PEFT documents QLoRA with ZeRO-3 only so
    (docs/source/accelerate/deepspeed.md), and they are small; what is offloaded is the optimizer.
    """
    stage, _, offload = name.removeprefix("z").partition("-")
    document = {
        "train_batch_size": AUTO,
        "train_micro_batch_size_per_gpu": AUTO,
        "gradient_accumulation_steps": AUTO,
        "gradient_clipping": AUTO,
        "bf16": {"enabled": AUTO},
        "fp16": {"enabled": AUTO},
        "zero_allow_untested_optimizer": True,  # the optimizer is transformers', not one of DeepSpeed's own
        "zero_optimization": _zero(int(stage), optimizer=bool(offload), parameters=bool(offload) and not quantized),
    }
    return canonical(document, indent=2).decode()


def _zero(stage: int, *, optimizer: bool, parameters: bool) -> dict[str, Any]:
    host = {"device": "cpu", "pin_memory": True}
    zero: dict[str, Any] = {"stage": stage}
    if stage:
        zero["contiguous_gradients"] = True
    if stage == 3:
        zero |= {
            # sizes that follow the model's hidden size (transformers, integrations/deepspeed.py)
            "reduce_bucket_size": AUTO,
            "stage3_prefetch_bucket_size": AUTO,
            "stage3_param_persistence_threshold": AUTO,
            # without this the job would save shards that only DeepSpeed can read
            "stage3_gather_16bit_weights_on_model_save": True,
        }
    if optimizer:
        zero["offload_optimizer"] = host
    if parameters and stage == 3:
        zero["offload_param"] = host
    return zero

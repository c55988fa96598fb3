"""What a training leaves on the disk: checkpoints to go on from, the trained weights, the merged model. In bytes.

Read from transformers 4.51.3 (trainer.py, _save_checkpoint, _save_optimizer_and_scheduler, save_model), accelerate
1.7.0 (utils/fsdp_utils.py, save_fsdp_model), DeepSpeed 0.16.9 (runtime/engine.py, _save_checkpoint,
_save_zero_checkpoint) and LLaMA-Factory 0.9.3 (model/adapter.py, init_adapter). Tokenizer, random states and the
trainer's own state are some megabytes, and not counted.
"""

from __future__ import annotations

from bundler.planning.setting import TrainingSetting
from bundler.planning.shape import DecoderShape


def trained_parameters(shape: DecoderShape, setting: TrainingSetting) -> int:
    """How many parameters are trained: all, those of the last layers (freeze), or those of the adapters."""
    if setting.method == "full":
        return shape.parameters
    if setting.method == "freeze":
        layers = shape.parameters - shape.embedding * (1 if shape.tied else 2) - shape.hidden
        return layers // shape.layers * min(setting.freeze_layers, shape.layers)
    return shape.lora(setting.rank) + setting.tables * shape.embedding


def weights_bytes(shape: DecoderShape, setting: TrainingSetting) -> int:
    """What the training saves for others to read: the adapter, or the whole model.

    LLaMA-Factory trains in fp32 and saves so, unless `pure_bf16`; DeepSpeed casts all to 16 bits first (it keeps the
    fp32 masters with the optimizer).
    """
    half = setting.dtype != "fp32" and (setting.deepspeed or setting.pure)
    trained = trained_parameters(shape, setting)
    frozen = shape.parameters - trained if setting.method == "freeze" else 0
    return trained * (2 if half else 4) + frozen * (4 if setting.dtype == "fp32" else 2)


def checkpoint_bytes(shape: DecoderShape, setting: TrainingSetting) -> int:
    """One checkpoint: the weights, what the optimizer needs to go on, and the weights again where they are shared so.

    AdamW has two moments, as wide as what is trained. DeepSpeed keeps them and masters in fp32, 12 bytes a trained
    parameter over all shards, and saves the module once more below stage 3 (of an adapter, the adapter alone). FSDP
    saves the weights a second time, whole (FULL_STATE_DICT).
    """
    saved, trained = weights_bytes(shape, setting), trained_parameters(shape, setting)
    if setting.deepspeed:
        return saved * (1 if setting.sharding == "z3" else 2) + 12 * trained
    moments = 2 * trained * (2 if setting.pure and setting.dtype != "fp32" else 4)
    return saved * (2 if setting.sharding == "fsdp" else 1) + moments


def most_checkpoints(limit: int, written: int | None) -> int:
    """How many lie there at once: the trainer writes a new one before it deletes the oldest (_rotate_checkpoints).

    `limit` is `save_total_limit`; `written` is how many the training writes in all, None where that is not known.
    """
    return limit + 1 if written is None else min(limit + 1, written)


def merged_bytes(shape: DecoderShape, setting: TrainingSetting) -> int:
    """The model with its adapter merged in, in the numbers of the training (`infer_dtype`)."""
    return shape.parameters * (4 if setting.dtype == "fp32" else 2)

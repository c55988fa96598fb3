"""What one GPU holds of weights, gradients and optimizer states, and what several of them exchange.

The sizes of DeepSpeed's buffers are those of 0.16.9 with the configuration that bundler.workloads.deepspeed writes,
FSDP's those of torch's first FSDP with accelerate 1.7; each was found again in the measurements of docs/memory.md.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from bundler.planning.checkpoints import trained_parameters
from bundler.planning.setting import TrainingSetting
from bundler.planning.shape import DecoderShape

NF4_BYTES = 0.5 + 1 / 64 + 4 / (64 * 256)  # 4 bits, a byte for 64 of them, a float for 256 of those (QLoRA, section 3)
NF4_LAYER = 2560  # tables of one layer, each in blocks of 512 bytes
REDUCE_BUCKET = 500_000_000  # elements: DeepSpeed's default, which stage 2 keeps (runtime/zero/config.py)
LIVE = 1_000_000_000  # elements that stage 3 keeps gathered: stage3_max_live_parameters, stage3_max_reuse_distance
SUB_GROUP = 1_000_000_000  # elements that stage 3 updates at once (sub_group_size)


@dataclass(frozen=True, slots=True)
class Held:
    """Bytes of one GPU, but for `trainable`, which are elements of the whole model.

    `gradients` are those that a backward leaves, `kept_gradients` those that are there all the time; `update` is what
    the optimizer's update takes beside them. `buffers` are there all the time, `buckets` during backward, `gathered`
    whole weights during forward and backward, `layer_gathered` more of them while layers go backward, and `root`
    the gradients of embedding and lm_head, and their copies, at the end of it, where the part `root_gradients` of
    `gradients` is not made yet. `host` lies in the host's memory.
    """

    trainable: int
    weights: float
    adapter: float
    states: float
    gradients: float
    update: float
    kept_gradients: float = 0.0
    buffers: float = 0.0
    buckets: float = 0.0
    gathered: float = 0.0
    layer_gathered: float = 0.0
    root: float = 0.0
    root_gradients: float = 0.0
    host: float = 0.0


def held(shape: DecoderShape, setting: TrainingSetting) -> Held:
    """What a setting makes one GPU hold. Its weights are all that is not an adapter, frozen or trained."""
    trainable, frozen = _trained_and_frozen(shape, setting)
    share = {"none": _whole, "z0": _stage0, "z2": _stage2, "z3": _stage3, "fsdp": _fsdp}[setting.sharding]
    found = share(shape, setting, trainable, frozen)
    if setting.method in ("lora", "qlora"):
        return found
    return replace(found, weights=found.weights + found.adapter, adapter=0.0)


def _trained_and_frozen(shape: DecoderShape, setting: TrainingSetting) -> tuple[int, float]:
    """Elements that are trained, and bytes of the weights that are not."""
    trained, everything = trained_parameters(shape, setting), shape.parameters
    if setting.method in ("full", "freeze"):
        return trained, float((everything - trained) * setting.width)
    frozen = float(everything * setting.width)
    if setting.method == "qlora":
        frozen -= shape.linear * (setting.width - NF4_BYTES) - shape.linear_count * NF4_LAYER
    return trained, frozen


def _ends(shape: DecoderShape) -> int:
    """Elements outside the layers: embedding, lm_head, and the last norm."""
    return shape.embedding * (1 if shape.tied else 2) + shape.hidden


def _whole(_: DecoderShape, setting: TrainingSetting, trainable: int, frozen: float) -> Held:
    """One GPU, or DDP, which keeps a copy of all gradients in its buckets."""
    pure = setting.pure and setting.method in ("full", "freeze")
    trained = float(trainable * (setting.width if pure else 4))
    buffers = trained if setting.world > 1 else 0.0
    return Held(trainable, frozen, trained, 2 * trained, trained, trained, buffers=buffers)


def _stage0(_: DecoderShape, setting: TrainingSetting, trainable: int, frozen: float) -> Held:
    """Whole weights in bf16; masters and moments are shared out all the same, fp32 gradients are not.

    deepspeed 0.16.9, runtime/bf16_optimizer.py.
    """
    masters = 4.0 * trainable / setting.world
    return Held(trainable, frozen, 2.0 * trainable, 3 * masters, 0.0, masters, kept_gradients=4.0 * trainable)


def _stage2(_: DecoderShape, setting: TrainingSetting, trainable: int, frozen: float) -> Held:
    """Whole weights in bf16. The update turns a share of bf16 gradients into fp32, and takes their square roots' size.

    deepspeed 0.16.9, runtime/zero/stage_1_and_2.py: the bucket is made anew for each backward, whatever it holds.
    """
    share = trainable / setting.world
    found = Held(trainable, frozen, 2.0 * trainable, 12 * share, 2 * share, 8 * share, buckets=2.0 * REDUCE_BUCKET)
    if setting.offload:  # masters, moments and the fp32 gradients lie in the host's memory
        return replace(found, states=0.0, gradients=0.0, update=0.0, host=16 * share)
    return found


def _stage3(shape: DecoderShape, setting: TrainingSetting, trainable: int, frozen: float) -> Held:
    """All is shared out; weights are gathered for use, and kept as long as fewer than LIVE are (stage3.py)."""
    share = trainable / setting.world
    each = (frozen + 2 * trainable) / (shape.parameters if setting.method == "full" else shape.parameters + trainable)
    found = Held(
        trainable,
        frozen / setting.world,
        2 * share,
        12 * share,
        0.0,
        8 * min(float(SUB_GROUP), share),
        kept_gradients=2 * share,
        buckets=2.0 * shape.hidden**2,  # transformers' `auto`
        gathered=each * min(LIVE, shape.parameters),
    )
    if setting.offload:
        found = replace(found, states=0.0, update=0.0, kept_gradients=0.0, host=16 * share)
        if setting.method != "qlora":  # quantized weights stay (bundler.workloads.deepspeed)
            host = found.host + found.weights + found.adapter
            found = replace(found, weights=0.0, adapter=0.0, host=host)
    return found


def _fsdp(shape: DecoderShape, setting: TrainingSetting, trainable: int, frozen: float) -> Held:
    """Masters in fp32, gathered in bf16: the root's, which are embedding and lm_head, all the time, a layer in turn.

    At the end of backward the root's gradients and a copy of them stand beside its weights, and once more where
    embedding and lm_head are one (as measured); of layers there are two, the next gathered ahead (backward_prefetch).
    """
    share, ends, layer = trainable / setting.world, _ends(shape), shape.linear // shape.layers
    trained_ends = ends if setting.method == "full" else 0
    found = Held(
        trainable,
        frozen / setting.world,
        4 * share,
        8 * share,
        4 * share,
        4 * share,
        gathered=float(setting.width * ends),
        layer_gathered=2.0 * setting.width * layer,
        root=(3.0 if shape.tied else 2.0) * setting.width * trained_ends,
        root_gradients=4 * trained_ends / setting.world,
    )
    if setting.offload:
        host = found.weights + found.adapter + found.states + found.gradients
        found = replace(found, weights=0.0, adapter=0.0, states=0.0, gradients=0.0, update=0.0, host=host)
        return replace(found, root_gradients=0.0)  # part of `gradients`
    return found

"""What autograd keeps of a decoder in bytes, operation by operation; derived in docs/memory.md."""

from __future__ import annotations

from dataclasses import dataclass

from bundler.planning.losses import loss_bytes
from bundler.planning.setting import TrainingSetting
from bundler.planning.shape import DecoderShape


@dataclass(frozen=True, slots=True)
class Activations:
    """Bytes, but for the three shares. `head` is what the final norm and lm_head keep, part of `kept`."""

    kept: float
    head: float
    casts: float
    forward_loss: float
    backward_loss: float
    layer: float
    one_checkpoint: float
    first_gradients: float
    last_gradients: float
    trained_gradients: float
    trained_from: float


def layer_bytes_per_token(shape: DecoderShape, setting: TrainingSetting, *, trained: bool) -> int:
    """Bytes that one layer keeps of one token for its backward. `trained`: the layer's own weights are, in fp32."""
    h, f, q, k = shape.hidden, shape.active_intermediate, shape.q, shape.kv
    attention = 4 * q + 4 * k  # SDPA: q, k, v and the output, in bf16
    mlp = 8 * f  # gate's and up's output, silu(gate), and down's input
    adapted = setting.method in ("lora", "qlora")
    if trained and setting.autocast:
        norms, inputs = 16 * h, 10 * h  # x and x/rms in fp32, twice; five bf16 casts of the norms' output
        heads = 6 * (q + k) if shape.qk_norm else 0
    elif trained:
        norms, inputs = 12 * h, 4 * h  # x in fp32 and x/rms in bf16, twice; the norms' output, which is shared
        heads = 6 * (q + k) if shape.qk_norm else 0
    else:
        norms = 8 * h  # x in fp32, twice
        heads = 4 * (q + k) if shape.qk_norm else 0
        # peft casts a bf16 layer's input to the adapter's fp32 and autocast back: a copy for each layer; its 4-bit
        # layers leave it to autocast, which shares the input; DeepSpeed makes the adapters bf16.
        copies = setting.method == "lora" and not setting.deepspeed
        inputs = 10 * h + 2 * q if copies else 4 * h
        inputs += 14 * setting.rank if adapted else 0
    if setting.deepspeed:
        inputs += 2 * h  # seen in two runs, not derived
    if shape.moe_layers:
        inputs += _routed(shape, setting, copies=adapted and not setting.deepspeed)
    if setting.liger:
        norms, heads, mlp = norms // 2, heads // 2, 6 * f
    return norms + inputs + heads + attention + mlp


def repeated_kv(shape: DecoderShape, setting: TrainingSetting) -> int:
    """Bytes that transformers 4.51 keeps of a micro-batch besides: keys and values repeated for each query head.

    So does 4.51.3, integrations/sdpa_attention.py, and 5.17 no more. Nothing where layers are recomputed one by one.
    """
    layers = shape.layers if setting.method != "freeze" else setting.freeze_layers
    return 0 if setting.checkpointing else 4 * (shape.q - shape.kv) * setting.tokens * layers


def _routed(shape: DecoderShape, setting: TrainingSetting, *, copies: bool) -> int:
    """Bytes that the experts keep of one token beyond one dense MLP of the same width.

    Each expert gathers its input, keeps its output for the router's gradient (transformers 4.51,
    models/qwen3_moe/modeling_qwen3_moe.py), and has copies of the input and an adapter of its own.
    """
    h, k = shape.hidden, shape.experts_per_token
    return (k - 1) * ((8 if copies else 4) * h + 6 * setting.rank) + 2 * h + 4 * h


def activations(shape: DecoderShape, setting: TrainingSetting) -> Activations:
    """What is kept of one micro-batch, and what its loss and one layer's backward take beside it."""
    n, h, f, layers = setting.tokens, shape.hidden, shape.active_intermediate, shape.layers
    full, freeze = setting.method == "full", setting.method == "freeze"
    masters = full and setting.autocast
    casts_weights = masters or (freeze and setting.autocast)
    layer_weights = shape.linear // layers
    trained_layers = layers if full else min(layers, setting.freeze_layers) if freeze else 0
    per_token = layer_bytes_per_token(shape, setting, trained=full or freeze)
    residual = n * h * (4 if masters or setting.dtype == "fp32" else 2)
    head = n * h * (10 if full else 4) + (2 * shape.embedding if masters else 0)
    if setting.checkpointing:
        body = residual * (trained_layers if freeze and not setting.frozen_kept else layers)
    else:
        kept_layers = trained_layers if freeze else layers
        body = n * per_token * kept_layers + (2 * layer_weights * trained_layers if casts_weights else 0)
        body += 2 * shape.lora(setting.rank) if not trained_layers and not setting.deepspeed else 0  # autocast's copies
    casts = 2 * layer_weights * trained_layers if setting.checkpointing and casts_weights else 0
    # One layer's backward: its kept tensors; down's input gradient in bf16, and in fp32 for the adapter's path; and
    # what stands between layers: two residuals and their gradients.
    layer = n * ((per_token if setting.checkpointing else 0) + (6 if setting.method != "qlora" else 4) * f + 8 * h)
    layer += 2 * layer_weights if casts_weights else 2 * shape.widest_linear if setting.method == "qlora" else 0
    loss = loss_bytes(shape, setting, masters=masters)
    share = shape.embedding / shape.parameters
    return Activations(
        kept=body + head,
        head=head,
        casts=casts,
        forward_loss=loss.forward,
        backward_loss=loss.backward,
        layer=layer,
        one_checkpoint=residual if setting.checkpointing else n * per_token,
        first_gradients=share if full else 0.0,
        last_gradients=1.0 if setting.method != "freeze" else 0.0,
        trained_gradients=1 - 1 / trained_layers if freeze and trained_layers else 0.0,
        trained_from=1.0 if freeze else 0.0,
    )

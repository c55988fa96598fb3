"""What the loss of each stage takes, and its second model: LLaMA-Factory's own trainers, in bytes.

Read from LLaMA-Factory 0.9.3 (train/dpo/trainer.py, train/kto/trainer.py, train/rm/trainer.py, train/trainer_utils.py:
get_batch_logps, create_ref_model; model/model_utils/liger_kernel.py: require_logits) and accelerate 1.7.0
(accelerator.py, prepare_model). The stages pt and sft were measured, the others were not.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from bundler.planning.held import Held
from bundler.planning.setting import TrainingSetting
from bundler.planning.shape import DecoderShape


@dataclass(frozen=True, slots=True)
class LossBytes:
    """The most during forward and during backward."""

    forward: float
    backward: float


_LOGITS = {
    "pt": (10, 12),
    "sft": (10, 12),
    # Logits in fp32; their copy in one piece, without each sequence's last token; the log-softmax, which is kept.
    "dpo": (12, 12),
    # One answer: fp32 logits, log-softmax kept, copies of the chosen and rejected logits; then the same of a forward
    # without gradients for its pair, and both once more for the reference: 8 held, and 16 of the last.
    "kto": (24, 12),
    # The value head reads the last hidden state: logits are made, and a loss on them that nobody asks for, but no
    # gradient comes back to them.
    "rm": (10, 0),
}
_BESIDE_REFERENCE = 8
"""dpo: the fp32 logits and the log-softmax of the model stand while the reference makes its own."""


def loss_bytes(shape: DecoderShape, setting: TrainingSetting, *, masters: bool) -> LossBytes:
    """What stands of the logits of all tokens. Liger never makes them whole, in the stages whose loss is its own."""
    n, h, v = setting.tokens, shape.hidden, shape.vocab
    if setting.liger and setting.stage in ("pt", "sft"):
        factor = -(-v // h)
        chunk = 1 << max(0, (-(-n // factor) - 1).bit_length())  # Liger: a power of two of tokens at once
        both = 2 * n * h + 4 * min(chunk, n) * v + shape.embedding * (8 if masters else 2)
        return LossBytes(both, both)
    forward, backward = _LOGITS[setting.stage]
    if setting.stage == "dpo" and setting.reference:
        forward += _BESIDE_REFERENCE
    return LossBytes(forward * n * v, backward * n * v)


def with_reference(have: Held, shape: DecoderShape, setting: TrainingSetting) -> Held:
    """With the reference model, where it is a second one: with LoRA it is the model itself without its adapter.

    It is whole on each GPU, in 16 bits, and only ZeRO 3 shares it out: under other stages DeepSpeed prepares it with
    stage 0 (trl 0.9.6, dpo_trainer.py, _prepare_deepspeed), and accelerate wraps no model that is not trained.
    """
    if not setting.second_model:
        return have
    whole = float(shape.parameters * setting.width)
    share = whole / setting.world if setting.sharding == "z3" else whole
    if setting.sharding == "z3" and setting.offload:
        return replace(have, host=have.host + share)
    return replace(have, weights=have.weights + share)

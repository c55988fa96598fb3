"""What a bundle will need, from what its manifest and config.json say: no weights, no torch, no GPU.

`train_memory` predicts a training's peak, `advise` what would make it fit, `serve_memory` what vLLM can hold, and
`serve_memory_sglang` what SGLang can.
"""

from bundler.planning.advice import Advice, advise, verdict
from bundler.planning.serving_memory import ServingPlan, ServingSetting, serve_memory
from bundler.planning.setting import TrainingSetting
from bundler.planning.sglang_memory import serve_memory_sglang
from bundler.planning.shape import DecoderShape
from bundler.planning.training_memory import MemoryPlan, train_memory

__all__ = [
    "Advice",
    "DecoderShape",
    "MemoryPlan",
    "ServingPlan",
    "ServingSetting",
    "TrainingSetting",
    "advise",
    "serve_memory",
    "serve_memory_sglang",
    "train_memory",
    "verdict",
]

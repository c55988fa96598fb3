"""What a bundle will need, from what its manifest and config.json say: no weights, no torch, no GPU."""

from bundler.planning.shape import DecoderShape
from bundler.planning.training_memory import MemoryPlan, TrainingSetting, train_memory

__all__ = ["DecoderShape", "MemoryPlan", "TrainingSetting", "train_memory"]

"""How many optimizer steps a training takes, by the pinned trainer's own rounding.

Read from transformers 4.51.3, trainer.py (set_initial_training_values, 5282-5340; _inner_training_loop, 2501-2514) and
training_args.py (get_warmup_steps, 2493): every epoch's dataloader is rounded up to whole micro-batches per rank.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Schedule:
    """What the manifest says of a training's length. `warmup_ratio` is of all steps; `max_steps` overrules `epochs`.

    `validation` is LLaMA-Factory's `val_size`: a share, or a whole number of samples.
    """

    batch_size: int
    gradient_accumulation: int = 1
    gpus: int = 1
    nodes: int = 1
    epochs: float = 3.0
    max_steps: int | None = None
    warmup_ratio: float = 0.0
    warmup_steps: int = 0
    validation: float = 0.0
    save_steps: int = 500


@dataclass(frozen=True, slots=True)
class Steps:
    """The length of a training. `floor_rule` is what samples x epochs // effective batch would have said.

    `packed` says that samples are sequences of packed records, `exact` that the trainer will count as many.
    """

    samples: int
    validation_samples: int
    effective_batch: int
    per_epoch: int
    total: int
    warmup: int
    checkpoints: int
    floor_rule: int
    packed: bool = False
    exact: bool = True

    def checkpoint_bytes(self, one: int, limit: int | None = None) -> int:
        """Bytes that all kept checkpoints take, of `one` bytes each; `limit` is `save_total_limit`."""
        return one * (self.checkpoints if limit is None else min(limit, self.checkpoints))


def split(samples: int, validation: float) -> tuple[int, int]:
    """Samples for training and for validation (0.9.3, data/data_utils.py, split_dataset).

    A share is rounded up for the validation (datasets 3.6.0, arrow_dataset.py, train_test_split). Above 1, or the
    integer 1, it is a number of samples. Raises ValueError when nothing is left to train on, as `datasets` does.
    """
    if validation <= 1e-6:
        return samples, 0
    held = int(validation) if validation > 1 or isinstance(validation, int) else math.ceil(validation * samples)
    if held >= samples:
        raise ValueError(f"a validation set of {validation:g} leaves none of {samples} samples to train on")
    return samples - held, held


def steps(kept: int, schedule: Schedule) -> Steps:
    """Steps of a training on `kept` records (or packed sequences).

    The dataloader of each rank has ceil(ceil(samples / batch) / ranks) micro-batches: accelerate deals whole batches to
    the ranks and fills up the last round (`even_batches`). An epoch then counts floor(micro-batches / accumulation)
    steps, at least one; all epochs together are rounded up. Raises ValueError as `split` does, and for no samples.
    """
    samples, held = split(kept, schedule.validation)
    if samples < 1:
        raise ValueError("there are no samples to train on")
    ranks = schedule.gpus * schedule.nodes
    batches = math.ceil(math.ceil(samples / schedule.batch_size) / ranks)
    per_epoch = max(batches // schedule.gradient_accumulation, 1)
    total = schedule.max_steps or math.ceil(schedule.epochs * per_epoch)
    effective = schedule.batch_size * ranks * schedule.gradient_accumulation
    return Steps(
        samples=samples,
        validation_samples=held,
        effective_batch=effective,
        per_epoch=per_epoch,
        total=total,
        warmup=schedule.warmup_steps or math.ceil(total * schedule.warmup_ratio),
        checkpoints=checkpoints(total, schedule.save_steps),
        floor_rule=int(samples * schedule.epochs) // effective,
    )


def checkpoints(total: int, save_steps: int) -> int:
    """How many are written: every `save_steps`, and one at the end (trainer_callback.py, DefaultFlowCallback)."""
    return total // save_steps + (total % save_steps > 0)

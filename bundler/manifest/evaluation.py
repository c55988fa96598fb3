"""What the manifest says of evaluation: which questions base and tuned model are asked side by side."""

from __future__ import annotations

from pydantic import Field

from bundler.manifest.fields import Names, Section


class Evaluate(Section):
    """What `bundle evaluate` asks the base and the tuned model, to compare their answers; `up` leaves it alone."""

    datasets: Names = Field(description="The test split, some of `datasets`; what was trained on proves nothing.")
    max_samples: int | None = Field(default=None, ge=1, description="Only so many samples of each; left out: all.")
    max_new_tokens: int = Field(default=512, ge=1, description="Tokens of an answer at most.")
    batch_size: int = Field(default=1, ge=1, description="Samples a GPU takes at once (`per_device_eval_batch_size`).")

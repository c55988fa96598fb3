"""Sections of `train`: what a method, a stage of preferences and a tracker have of their own."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from bundler.manifest.fields import Line, NodePath, Section, UrlField, VersionField


def _not_zero(value: int) -> int:
    if value == 0:
        raise ValueError("a number of layers other than 0")
    return value


class Lora(Section):
    """LoRA: small matrices trained beside the frozen weights (method lora)."""

    rank: int = Field(default=8, ge=1, le=1024, description="Rank of the matrices (`lora_rank`).")
    alpha: int | None = Field(default=None, ge=1, description="Scale (`lora_alpha`); twice the rank when left out.")
    dropout: float = Field(default=0.0, ge=0, lt=1, description="Dropout (`lora_dropout`).")
    target: Line = Field(default="all", description="Modules, separated by commas (`lora_target`); `all` linear ones.")


class Freeze(Section):
    """Some layers are trained, the others stay as they are (method freeze)."""

    layers: Annotated[int, AfterValidator(_not_zero)] = Field(
        default=2,
        description="How many layers are trained: the last ones, or the first when negative "
        "(`freeze_trainable_layers`).",
    )
    modules: Line = Field(
        default="all", description="Modules of these layers, separated by commas (`freeze_trainable_modules`)."
    )
    extra_modules: Line | None = Field(
        default=None, description="Modules outside the layers, like `lm_head` (`freeze_extra_modules`)."
    )


class Preference(Section):
    """How better and worse answers are weighed (stages dpo and kto)."""

    beta: float = Field(
        default=0.1, gt=0, description="How near the model stays to the one it came from (`pref_beta`)."
    )
    loss: Literal["sigmoid", "hinge", "ipo", "kto_pair", "orpo", "simpo"] = Field(
        default="sigmoid", description="dpo: the loss (`pref_loss`); orpo and simpo need no second model in memory."
    )
    ftx: float = Field(default=0.0, ge=0, description="dpo, kto: share of the supervised loss (`pref_ftx`).")
    label_smoothing: float = Field(
        default=0.0, ge=0, lt=0.5, description="dpo with sigmoid: share of labels that are wrong."
    )
    simpo_gamma: float = Field(default=0.5, ge=0, description="dpo with simpo: the margin aimed at.")
    chosen_weight: float = Field(default=1.0, gt=0, description="kto: weight of wanted answers.")
    rejected_weight: float = Field(default=1.0, gt=0, description="kto: weight of unwanted answers.")


class SwanLab(Section):
    """Curves by SwanLab, kept with the results in `swanlog`: the training has no network.

    They are written by the SDK in the training image. `cloud` alone needs a key and opens a way out of the training's
    container, to `host` and nowhere else.
    """

    mode: Literal["local", "offline", "cloud"] = Field(
        default="offline",
        description="`offline`: for a self-hosted server, to which `swanlab sync --host URL` uploads it, from SDK "
        "0.6.3; `local`: for SwanLab's own dashboard (`swanlab watch`), needs swanlab[dashboard] in the image; "
        "`cloud`: to your self-hosted server at `host` while the training runs.",
    )
    host: UrlField | None = Field(
        default=None,
        description="cloud: your server's address, `http://NAME:PORT`, by a name that the node's DNS knows, or an IP "
        "address.",
    )
    api_key_file: NodePath | None = Field(
        default=None,
        description="cloud: a file on the node with the server's API key. Only its path crosses the gap.",
    )
    sdk: VersionField | None = Field(
        default=None, description='The version of the package swanlab in the image, in quotes, like "0.6.3".'
    )
    server: VersionField | None = Field(
        default=None, description='offline, cloud: the version of the self-hosted server, in quotes, like "2.5".'
    )
    project: Line = Field(default="llamafactory", description="The project's name.")
    workspace: Line | None = Field(default=None, description="The workspace's name.")
    run_name: Line | None = Field(default=None, description="The run's name; left out, SwanLab makes one.")

"""Names of a model's modules: one that it does not have trains nothing, and nobody is told.

PEFT looks for names that end in those given, and raises only where none of them is found (0.15.2, tuners_utils.py,
inject_adapter). LLaMA-Factory's freeze raises for an unknown one, once the model has loaded (0.9.3, model/adapter.py).
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator

from bundler.manifest.artifacts import HubModel
from bundler.manifest.findings import Problem, shown
from bundler.manifest.schema import Manifest

_LINEAR = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
_TABLES = ("embed_tokens", "lm_head")
_LAYER = ("self_attn", "mlp", "input_layernorm", "post_attention_layernorm")
_OUTSIDE = (*_TABLES, "norm")
"""The modules of Llama, Mistral, Qwen2 and Qwen3 (transformers 4.51.3, modeling_llama.py and its copies)."""

_FAMILY = re.compile(r"/(?:(?:meta-)?llama-?[23]|qwen-?(?:2|2\.5|3)(?![\d.])|mistral-(?:7b|nemo))[^/]*$", re.IGNORECASE)
_OTHERS = re.compile(r"vl|omni|audio|a\d+b|moe|vision|next", re.IGNORECASE)
"""Relatives that have further modules."""

_ELSEWHERE = ("W_pack", "c_attn", "c_proj", "query_key_value", "qkv_proj", "gate_up_proj", "dense_h_to_4h", "wqkv")
"""Names of other families, which people copy. A name near one of all these is taken for a slip."""


def lora(manifest: Manifest) -> Iterator[Problem]:
    """`train.lora.target` names modules that the model has: of those that it lacks, PEFT says nothing."""
    train = manifest.train
    if train and train.method == "lora" and train.lora.target != "all":
        because = "PEFT trains the others, and leaves this one out without a word"
        yield from _names(manifest, ("train", "lora", "target"), train.lora.target, (*_LINEAR, *_TABLES), because)


def freeze(manifest: Manifest) -> Iterator[Problem]:
    """`train.freeze` names modules that the model has: LLaMA-Factory ends where it lacks one, once it has loaded it."""
    train = manifest.train
    if not train or train.method != "freeze":
        return
    because = "LLaMA-Factory would end once the model has loaded"
    path = ("train", "freeze", "modules")
    yield from _names(manifest, path, train.freeze.modules, ("all", *_LAYER), because)
    extra = train.freeze.extra_modules
    yield from _names(manifest, ("train", "freeze", "extra_modules"), extra or "", _OUTSIDE, because)


def _names(
    manifest: Manifest, path: tuple[str, ...], listed: str, known: tuple[str, ...], because: str
) -> Iterator[Problem]:
    family = _of_the_family(manifest)
    for name in filter(None, (part.strip() for part in listed.split(","))):
        last = name.rpartition(".")[2]
        near = next(iter(difflib.get_close_matches(last, known, n=1, cutoff=0.75)), "")
        if last not in known and (family or (near and last not in _ELSEWHERE)):
            yield Problem(path, shown(name), f"some of {', '.join(known)}", because, near)


def _of_the_family(manifest: Manifest) -> bool:
    """Whether the name of the repository says that the model has these modules and no others."""
    model = manifest.models.get(manifest.train.model) if manifest.train else None
    sources = [origin.source.partition("@")[0] for origin in model.origins] if isinstance(model, HubModel) else []
    return any(_FAMILY.search(one) and not _OTHERS.search(one.rpartition("/")[2]) for one in sources)


RULES = (lora, freeze)

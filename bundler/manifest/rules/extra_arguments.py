"""Further arguments of LLaMA-Factory, in `train.extra`: what it refuses, or misunderstands without a word."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain

from bundler.manifest.findings import Problem, shown
from bundler.manifest.rules.arguments import ARGUMENTS, is_told, repeated, secret
from bundler.manifest.schema import Manifest
from bundler.manifest.training import Train

_BOOLEAN = re.compile(r"true|false|yes|no|on|off", re.IGNORECASE)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_FREE_TEXT = re.compile(r"(_name|_project|_tags|_probs|_tokens?|_system|^report_to|_path|_args|optim)$")
"""Arguments whose text may well look like a number."""

_OPTIMIZERS = ("use_galore", "use_apollo", "use_badam")
_LORA_ONLY = ("loraplus_lr_ratio", "use_rslora", "use_dora", "pissa_init")
_PREDICTION = ("do_predict", "predict_with_generate")


def extra(manifest: Manifest) -> Iterator[Problem]:
    """`extra` repeats nothing that has its own key, and carries no secret."""
    if manifest.train:
        names = manifest.train.extra
        path = ("train", "extra")
        yield from chain(repeated(path, names, ARGUMENTS), secret(path, names))


def is_quoted(name: str, value: str) -> bool:
    """Whether a text is a number or a truth value that someone has put in quotes. `no` is a word of strategies
    (transformers 4.51.3, trainer_utils.py, IntervalStrategy), which needs them.
    """
    if value == "no" and name.endswith("_strategy"):
        return False
    return bool(_BOOLEAN.fullmatch(value) or (_NUMBER.fullmatch(value) and not _FREE_TEXT.search(name)))


def types(manifest: Manifest) -> Iterator[Problem]:
    """LLaMA-Factory checks no types: the text 'false' is true, the text '5' breaks the job hours later.

    Seen by running 0.9.3. `${NAME}` stays as it is, since nothing fills it in.
    """
    for name, value in (manifest.train.extra if manifest.train else {}).items():
        path = ("train", "extra", name)
        if not isinstance(value, str) or is_told(name, ARGUMENTS):
            continue
        if "${" in value:
            yield Problem(path, shown(value), "the value itself", "LLaMA-Factory fills no variables in")
        elif not is_quoted(name, value):
            continue
        elif _BOOLEAN.fullmatch(value):
            because = "LLaMA-Factory takes any text for true"
            yield Problem(path, f"the text {shown(value)}", "true or false, without quotes", because)
        else:
            yield Problem(path, f"the text {shown(value)}", "a number, without quotes", "types are not converted")


def methods(manifest: Manifest) -> Iterator[Problem]:
    """Optimizers and ways of starting an adapter (LF 0.9.3, hparams/finetuning_args.py and parser.py)."""
    train = manifest.train
    if not train:
        return
    chosen = [name for name in _OPTIMIZERS if _on(train, name)]
    for name in chosen:
        if train.method == "lora":
            yield _refused(name, "method 'full'", "the method is lora", "method")
        elif train.deepspeed != "none" and name != "use_badam":
            yield _refused(name, "'deepspeed: none'", f"train.deepspeed is {train.deepspeed}", "deepspeed")
        elif name == "use_badam" and (manifest.target.count > 1 or train.deepspeed != "none"):
            if train.extra.get("badam_mode") == "ratio":
                because = "in several processes, and with DeepSpeed, it goes by layers"
                yield _refused("badam_mode", "layer", because, "deepspeed")
            elif not train.deepspeed.startswith("z3"):
                because = "in several processes, and with DeepSpeed, it takes ZeRO-3"
                yield _refused(name, "'deepspeed: z3'", because, "deepspeed")
    for name in chosen[1:]:
        yield _refused(name, f"{chosen[0]} alone", "one optimizer drives the training")
    for name in _LORA_ONLY:
        if _on(train, name) and train.method != "lora":
            yield _refused(name, "method 'lora'", f"the method is {train.method}", "method")
    for name in ("galore_layerwise", "apollo_layerwise"):
        if _on(train, name) and manifest.target.count > 1:
            yield _refused(name, "false", "the target has several GPUs")
    if _on(train, "use_llama_pro") and train.method == "full":
        yield _refused("use_llama_pro", "method 'freeze' or 'lora'", "the method is full", "method")
    if _on(train, "pissa_init"):
        yield from _pissa(train)
    if _on(train, "quantization_device_map"):
        yield _refused("quantization_device_map", "nothing", "LLaMA-Factory trains on the devices that it is given")
    if train.quantization != "none":
        for name in ("resize_vocab", "create_new_adapter"):
            if _on(train, name):
                yield _refused(name, "false", f"train.quantization is {train.quantization}", "quantization")


def _pissa(train: Train) -> Iterator[Problem]:
    reference = train.stage == "dpo" and train.preference.loss not in ("orpo", "simpo")
    if train.quantization != "none":
        yield _refused("pissa_init", "false", f"train.quantization is {train.quantization}", "quantization")
    if train.deepspeed.startswith("z3"):
        yield _refused("pissa_init", "'deepspeed: z2'", f"train.deepspeed is {train.deepspeed}", "deepspeed")
    if train.stage == "kto" or reference:
        yield _refused("pissa_init", "false", f"train.stage is {train.stage}, which needs the model as it was", "stage")


def running(manifest: Manifest) -> Iterator[Problem]:
    """Streaming, prediction, tokens (LF 0.9.3, hparams/parser.py and data_args.py)."""
    train = manifest.train
    if not train:
        return
    if _on(train, "streaming"):
        if not train.max_steps:
            because = "a stream has no known end"
            yield _refused("streaming", "'max_steps' too", because, "epochs")
        if train.val_size is not None and train.val_size < 1:
            yield _refused("streaming", "a whole number for 'val_size'", "a stream has no known size", "val_size")
        if train.extra.get("max_samples") is not None:
            yield _refused("max_samples", "nothing", "LLaMA-Factory refuses it together with 'streaming'")
    for name in _PREDICTION:
        if _on(train, name):
            yield _refused(name, "nothing", "a training job predicts nothing")
    if _on(train, "load_best_model_at_end"):
        if train.stage == "rm":
            yield _refused("load_best_model_at_end", "false", "train.stage is rm", "stage")
        elif train.val_size is None and not train.eval_datasets:
            yield _refused("load_best_model_at_end", "'val_size' or 'eval_datasets' too", "nothing says which is best")
    if _on(train, "split_special_tokens") and train.extra.get("use_fast_tokenizer") is not False:
        because = "the fast tokenizer, which is the default, can't"
        yield _refused("split_special_tokens", "'use_fast_tokenizer: false' too", because)
    mixing = train.extra.get("mix_strategy", "concat")
    if train.extra.get("interleave_probs") is not None and mixing == "concat":
        because = "'mix_strategy' is concat"
        yield _refused("interleave_probs", "'mix_strategy: interleave_under' or 'interleave_over' too", because)


def _on(train: Train, name: str) -> bool:
    return bool(train.extra.get(name))


def _refused(name: str, expected: str, because: str, concern: str = "") -> Problem:
    concerns = (("train", concern),) if concern else ()
    return Problem(("train", "extra", name), shown(name), expected, because, concerns=concerns, at_key=True)


RULES = (extra, types, methods, running)

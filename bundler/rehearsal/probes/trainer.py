"""LLaMA-Factory, asked by its own functions: its parser, its tokenizer and template, its loader on the real data.

Names are those of 0.9.3 to 0.9.5 (hparams/parser.py, model/loader.py, data/loader.py).
"""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator
from typing import Any

from probe import NotTried, Part, Plan, Report, arguments_of

MODEL = "/bundle/model"
STAGES = {"dpo": "rm"}
"""Trainers load under another name than their own (0.9.3, train/dpo/workflow.py)."""
PARSERS = {"train": "get_train_args", "evaluate": "get_train_args", "merge": "get_infer_args", "api": "get_infer_args"}
NAMES_OR_PATHS = (
    "model_name_or_path", "adapter_name_or_path", "ref_model", "ref_model_adapters", "reward_model",
    "reward_model_adapters",
)  # fmt: skip
"""Keys whose value is a path, and, where there is none, a repository of a hub (0.9.5, hparams)."""
ON_GPUS = ("fp16",)
"""Keys whose parsing asks for a GPU."""
LAUNCHED = ("deepspeed", "fsdp")
"""Keys whose parsing asks for the launcher that starts a process for each GPU; this is one process, and on one GPU
(0.9.3, hparams/parser.py, get_train_args: DeepSpeed, and several GPUs, are refused without it)."""


def parts(kind: str) -> Iterator[tuple[str, Part]]:
    """What a job or a service of LLaMA-Factory is asked."""
    yield "arguments", arguments
    yield "model", model
    if kind in ("train", "evaluate"):
        yield "data", data


def arguments(plan: Plan, report: Report) -> None:
    """The rendered YAML, read and parsed as the program does, but for what wants its launcher, or a GPU where there is
    none.
    """
    from llamafactory.hparams import parser

    with arguments_of(plan["arguments"]):
        members = parser.read_args()
    asked = members if isinstance(members, dict) else {}
    aside: list[str] = []
    if plan["kind"] in ("train", "evaluate"):
        aside = [key for key in (*LAUNCHED, *(ON_GPUS if plan["without_gpus"] else ())) if asked.get(key)]
        asked = {key: value for key, value in asked.items() if key not in aside}
        asked |= {"use_cpu": True} if plan["without_gpus"] else {}
    for key in NAMES_OR_PATHS:
        for value in str(asked.get(key) or "").split(","):
            if value.strip() and not os.path.exists(value.strip()):
                report.say("elsewhere", key=key, value=value.strip())
    parsed = getattr(parser, PARSERS[plan["kind"]])(asked)
    kinds = {type(one).__name__.replace("Seq2Seq", ""): one for one in parsed}
    report.results |= {"asked": asked, "kinds": kinds}
    report.say("parsed", file=os.path.basename(plan["arguments"][1]), keys=len(asked), aside=aside)


def model(_plan: Plan, report: Report) -> None:
    """Config and tokenizer of the model, from its mount; then the tokens that the template wants of it."""
    from llamafactory.data.template import get_template_and_fix_tokenizer
    from llamafactory.model import load_tokenizer
    from transformers import AutoConfig, AutoTokenizer

    given = report.results.get("asked", {}).get("model_name_or_path", MODEL)
    config = AutoConfig.from_pretrained(given)
    rows = getattr(config, "vocab_size", None) or getattr(getattr(config, "text_config", None), "vocab_size", None)
    names = getattr(config, "architectures", None) or []
    report.say("config", architectures=names, model=config.model_type, rows=rows or 0)
    plain = AutoTokenizer.from_pretrained(given)
    has_template = bool(getattr(plain, "chat_template", None))
    report.say("tokenizer", tokenizer=type(plain).__name__, length=len(plain), chat_template=has_template)
    kinds = arguments_there(report)
    loaded = load_tokenizer(kinds["ModelArguments"])
    tokenizer = loaded["tokenizer"]
    before = set(tokenizer.get_vocab())
    template = get_template_and_fix_tokenizer(tokenizer, kinds["DataArguments"])
    added = sorted(set(tokenizer.get_vocab()) - before)
    highest = max(tokenizer.get_vocab().values(), default=0)
    grows = bool(getattr(kinds["ModelArguments"], "resize_vocab", False))
    report.say("template", added=added[:20], highest=highest, grows=grows, eos=str(tokenizer.eos_token))
    report.results |= {"loaded": loaded, "template": template}


def data(_plan: Plan, report: Report) -> None:
    """Each dataset by itself, as it comes out of alignment and tokenising; then all of them, as the training has it."""
    from llamafactory.data import get_dataset, loader

    kinds = arguments_there(report)
    if "template" not in report.results:
        raise NotTried("the tokenizer did not load")
    settings, training, names = kinds["DataArguments"], kinds["TrainingArguments"], kinds["ModelArguments"]
    stage = kinds["FinetuningArguments"].stage
    stage = STAGES.get(stage, stage)
    tools = report.results["loaded"]
    for split in ("dataset", "eval_dataset"):
        for name in getattr(settings, split) or []:
            one = copy.copy(settings)  # a packed sample holds several records, and it is records that are counted
            one.packing = one.neat_packing = False
            one.max_samples = None
            try:
                found = _counts(loader, name, (names, one, training, stage), report.results["template"], tools)
            except Exception as error:  # noqa: BLE001 - what LLaMA-Factory dies of here is what is asked
                report.say("dataset", name=name, split=split, records=0, kept=0, error=_said(error))
            else:
                report.say("dataset", name=name, split=split, error="", **found)
    whole = get_dataset(report.results["template"], names, settings, training, stage=stage, **tools)
    report.say("whole", **{part: _length(whole.get(f"{part}_dataset")) for part in ("train", "eval")})


def _counts(loader: Any, name: str, common: tuple[Any, ...], template: Any, tools: dict[str, Any]) -> dict[str, int]:
    names, settings, training, stage = common
    aligned = loader._get_merged_dataset([name], names, settings, training, stage)
    records = _length(aligned)
    try:
        made = loader._get_preprocessed_dataset(
            aligned, settings, training, stage, template, tools["tokenizer"], tools["processor"], is_eval=False
        )
    except RuntimeError as error:  # "Cannot find valid samples": it dies of the first record that is not there
        if "Cannot find" not in str(error):
            raise
        return {"records": records, "kept": 0}
    return {"records": records, "kept": _length(made)}


def arguments_there(report: Report) -> dict[str, Any]:
    """What the parser gave, by the name of its class. Raises NotTried."""
    kinds: dict[str, Any] = report.results.get("kinds", {})
    if not kinds:
        raise NotTried("the arguments did not parse")
    return kinds


def _length(of: Any) -> int:
    if of is None:
        return 0
    if isinstance(of, dict):
        return sum(_length(one) for one in of.values())
    return len(of) if hasattr(of, "__len__") else -1  # a stream has none


def _said(error: BaseException) -> str:
    cause = error.__cause__ or error.__context__
    tail = f" <- {type(cause).__name__}: {cause}" if cause else ""
    return f"{type(error).__name__}: {error}{tail}"[:1000]

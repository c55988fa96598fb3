"""vLLM, asked by its own functions: its parser, its registry of architectures, its ModelConfig. No weight is read.

Names are those of 0.8.5 to 0.32 (entrypoints/cli/main.py, engine/arg_utils.py, model_executor/models/registry.py).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

from probe import NotTried, Part, Plan, Report, arguments_of, said_on_errors


def parts() -> Iterator[tuple[str, Part]]:
    """What a vLLM service is asked."""
    yield "arguments", arguments
    yield "model", model
    yield "architecture", architecture


def arguments(plan: Plan, report: Report) -> None:
    """The command as vLLM's own `main` parses and validates it, with a stand-in for what would start the server."""
    from vllm.entrypoints.cli import main, serve

    caught: list[Any] = []
    serve.ServeSubcommand.cmd = staticmethod(caught.append)
    with arguments_of(plan["arguments"]), said_on_errors() as said:
        try:
            main.main()
        except SystemExit as ended:
            if ended.code:
                lines = said.getvalue().strip().splitlines()
                raise ValueError(lines[-1] if lines else f"it ended with {ended.code}") from None
    sys.stderr.write(said.getvalue())
    if not caught:
        raise ValueError("vLLM did not come as far as starting a server")
    parsed = caught[0]
    if getattr(parsed, "model_tag", None):  # as ServeSubcommand.cmd begins
        parsed.model = parsed.model_tag
    report.results["parsed"] = parsed
    report.say("parsed", file="the command", keys=len(plan["arguments"]), aside=[])


def model(_plan: Plan, report: Report) -> None:
    """Config and tokenizer, as transformers of this image reads them."""
    from transformers import AutoConfig, AutoTokenizer

    parsed = arguments_there(report)
    remote = bool(getattr(parsed, "trust_remote_code", False))
    config = AutoConfig.from_pretrained(parsed.model, trust_remote_code=remote)
    rows = getattr(config, "vocab_size", None) or getattr(getattr(config, "text_config", None), "vocab_size", None)
    names = list(getattr(config, "architectures", None) or [])
    report.results["architectures"] = names
    report.say("config", architectures=names, model=config.model_type, rows=rows or 0)
    given = getattr(parsed, "tokenizer", None) or parsed.model
    tokenizer = AutoTokenizer.from_pretrained(given, trust_remote_code=remote)
    has_template = bool(getattr(tokenizer, "chat_template", None) or getattr(parsed, "chat_template", None))
    report.say("tokenizer", tokenizer=type(tokenizer).__name__, length=len(tokenizer), chat_template=has_template)


def architecture(_plan: Plan, report: Report) -> None:
    """Whether the registry has the architecture, and what vLLM's own ModelConfig makes of the model."""
    parsed = arguments_there(report)
    names = report.results.get("architectures")
    if names is None:
        raise NotTried("the model's config did not load")
    from vllm.model_executor.models import ModelRegistry

    known = set(ModelRegistry.get_supported_archs())
    report.say("registry", known=[name for name in names if name in known], size=len(known))
    from vllm.engine.arg_utils import AsyncEngineArgs

    made = AsyncEngineArgs.from_cli_args(parsed).create_model_config()
    resolved = getattr(made, "architecture", None) or ", ".join(names)
    report.say("resolved", architecture=resolved, length=made.max_model_len, dtype=str(made.dtype))


def arguments_there(report: Report) -> Any:
    """What the parser gave. Raises NotTried."""
    if "parsed" not in report.results:
        raise NotTried("the arguments did not parse")
    return report.results["parsed"]

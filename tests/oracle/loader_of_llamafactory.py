"""LLaMA-Factory's own loader as a judge: reads cases as JSON lines, answers with one verdict a line.

Runs in an environment that has llamafactory and what it imports, not in this project's. See docs/data.md.
A case: {"files": [paths], "info": {entry of dataset_info.json}, "stage": "sft", "arguments": {...}}.
A verdict: {"kept": 3, "dropped": [2], "error": null | "ValueError: ...", "place": null | "load" | "encode"}.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

os.environ |= {"HF_HUB_OFFLINE": "1", "DISABLE_VERSION_CHECK": "1", "CUDA_VISIBLE_DEVICES": ""}
os.environ |= {"HF_DATASETS_DISABLE_PROGRESS_BARS": "1", "LLAMAFACTORY_VERBOSITY": "CRITICAL", "USE_TORCH": "1"}
warnings.filterwarnings("ignore")
_OUT = os.fdopen(os.dup(1), "w")
with open(os.devnull, "w") as nowhere:
    os.dup2(nowhere.fileno(), 1)  # for verdicts alone, whatever logs or prints

from datasets import disable_progress_bars  # noqa: E402
from llamafactory.data import loader  # noqa: E402
from llamafactory.data.template import get_template_and_fix_tokenizer  # noqa: E402
from llamafactory.hparams import DataArguments, ModelArguments  # noqa: E402
from transformers import AutoTokenizer, Seq2SeqTrainingArguments  # noqa: E402

disable_progress_bars()
_listed = os.listdir
# A folder's files come as the file system lists them, and the first one's schema is the dataset's: here by their names.
os.listdir = lambda path=".": sorted(_listed(path))
# The trainer names differ from the loader's: dpo loads as rm (train/dpo/workflow.py), ppo as ppo.
STAGES = {"dpo": "rm"}


class Judge:
    """One tokenizer and template for all cases."""

    def __init__(self, model: str, template: str) -> None:
        self.model = model
        self.template_name = template
        self.tokenizer = AutoTokenizer.from_pretrained(model)
        self.template = get_template_and_fix_tokenizer(self.tokenizer, DataArguments(template=template))

    def verdict(self, case: dict[str, Any]) -> dict[str, Any]:
        """What get_dataset does with a case, and, where it goes through, which records it dropped."""
        place = tempfile.mkdtemp(prefix="oracle-")
        try:
            return self._verdict(case, Path(place))
        finally:
            shutil.rmtree(place, ignore_errors=True)

    def _verdict(self, case: dict[str, Any], place: Path) -> dict[str, Any]:
        (place / "dataset_info.json").write_text(json.dumps({"case": case["info"]}))
        stage = STAGES.get(case["stage"], case["stage"])
        data = DataArguments(
            template=self.template_name, dataset="case", dataset_dir=str(place), overwrite_cache=True,
            **case.get("arguments", {}),
        )  # fmt: skip
        if data.packing is None:
            data.packing = case["stage"] == "pt"  # hparams/parser.py
        model = ModelArguments(model_name_or_path=self.model, cache_dir=str(place / "cache"))
        training = Seq2SeqTrainingArguments(output_dir=str(place / "out"), use_cpu=True, report_to=[])
        common = (data, training, stage, self.template, self.tokenizer, None)
        try:
            aligned = loader._get_merged_dataset(["case"], model, data, training, stage)
            aligned_rows = list(aligned)
        except Exception as error:  # noqa: BLE001 - whatever it dies of is the verdict
            return {"kept": 0, "dropped": [], "error": _said(error), "place": "load"}
        try:
            kept = loader._get_preprocessed_dataset(aligned, *common, is_eval=False)
        except RuntimeError as error:
            if "Cannot find" not in str(error):
                return {"kept": 0, "dropped": [], "error": _said(error), "place": "encode"}
            return {"kept": 0, "dropped": list(range(1, len(aligned_rows) + 1)), "error": None, "place": None}
        except Exception as error:  # noqa: BLE001 - whatever it dies of is the verdict
            return {"kept": 0, "dropped": [], "error": _said(error), "place": "encode"}
        columns = [name for name in kept.column_names if name.endswith("input_ids") and not name.startswith("kl_")]
        lengths = [max(map(len, row)) for row in zip(*(kept[name] for name in columns), strict=True)]
        if stage == "pt" or data.packing:
            whole = {"kept": len(aligned_rows), "dropped": [], "error": None, "place": None}
            return whole | {"packed": len(kept), "lengths": lengths}
        processor = loader._get_dataset_processor(data, stage, self.template, self.tokenizer, None)
        dropped = []
        for number, row in enumerate(aligned_rows, start=1):
            out = processor.preprocess_dataset({key: [value] for key, value in row.items()})
            if not out.get("input_ids") and not out.get("chosen_input_ids"):
                dropped.append(number)
        return {"kept": len(kept), "dropped": dropped, "error": None, "place": None, "lengths": lengths}


def _said(error: BaseException) -> str:
    cause = error.__cause__ or error.__context__
    tail = f" <- {type(cause).__name__}: {cause}" if cause else ""
    return f"{type(error).__name__}: {error}{tail}"[:300]


def main() -> None:
    """Judge what comes on stdin: `python loader_of_llamafactory.py MODEL TEMPLATE`."""
    judge = Judge(sys.argv[1], sys.argv[2])
    for line in sys.stdin:
        _OUT.write(json.dumps(judge.verdict(json.loads(line))) + "\n")
        _OUT.flush()


if __name__ == "__main__":
    main()

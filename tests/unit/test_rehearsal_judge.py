"""From what a probe said to findings: what would fail behind the gap blocks, what is not known is not called good."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from bundler.core.descriptor import Descriptor
from bundler.core.digest import Digest
from bundler.core.media_types import OCI_MANIFEST
from bundler.manifest.lock import BuildRecord, LockedImage, Mount, Workload
from bundler.node.findings import Finding, Severity
from bundler.planning.datasets.verdict import DatasetVerdict, Failure
from bundler.rehearsal.judge import judge
from bundler.rehearsal.probed import Probed
from bundler.rehearsal.report import Answer, Report, parse
from bundler.rehearsal.tries import answered, stepped

TRAIN = Workload("train", "train", "train", ("llamafactory-cli", "train", "/bundle/config/train.yaml"))
SERVE = Workload("serve", "vllm", "train", ("vllm", "serve"), (Mount("models/base", "/bundle/model"),), port=8000)


def said(*lines: tuple[str, str, Mapping[str, Any]], done: Iterable[str] = ("versions", "imports")) -> Report:
    """A report that was ended well, of lines (part, kind, members)."""
    documents = [{"say": kind, "part": part, **members} for part, kind, members in lines]
    documents += [{"say": "done", "part": part} for part in done]
    documents += [{"say": "finished", "part": ""}]
    return parse(json.dumps(document) for document in documents)


def image(packages: Mapping[str, str] | None = None, source: str = "registry.example/vllm:v0.8.5.post1") -> LockedImage:
    blob = Descriptor.of(b"{}", OCI_MANIFEST)
    build = BuildRecord("base", Digest.of(b"dockerfile"), packages=packages) if packages else None
    return LockedImage("train", source, blob, (blob,), build=build)


def found(
    report: Report,
    workload: Workload = TRAIN,
    *,
    packages: Mapping[str, str] | None = None,
    gpus: bool = True,
    predicted: Mapping[str, DatasetVerdict] | None = None,
) -> dict[str, Finding]:
    one = Probed(workload, image(packages), report, gpus, predicted or {})
    return {finding.check: finding for finding in judge(one)}


PARSED = ("arguments", "parsed", {"file": "train.yaml", "keys": 29, "aside": []})
CONFIG = ("model", "config", {"architectures": ["Qwen3ForCausalLM"], "model": "qwen3", "rows": 384})


def test_a_package_of_another_version_than_the_lock_says_blocks_with_both() -> None:
    report = said(
        ("versions", "package", {"name": "torch", "version": "2.7.0"}),
        ("versions", "package", {"name": "trl", "version": ""}),
        ("versions", "package", {"name": "peft", "version": "0.15.2"}),
    )
    one = found(report, packages={"torch": "2.6.0", "trl": "0.9.6", "peft": "0.15.2"})["train/versions"]
    assert one.severity is Severity.BLOCK
    assert one.what == "torch is 2.7.0, the lock says 2.6.0; trl is not there, the lock says 0.9.6"


def test_an_image_whose_tag_says_another_vllm_than_is_in_it_warns() -> None:
    """The flags that were written are those of the manifest's version."""
    other = said(("versions", "package", {"name": "vllm", "version": "0.9.2"}))
    assert found(other, SERVE)["serve/versions"].severity is Severity.WARN
    same = said(("versions", "package", {"name": "vllm", "version": "0.8.5.post1+cu121"}))
    assert found(same, SERVE)["serve/versions"].severity is Severity.PASS


def test_an_import_that_fails_blocks_but_not_for_want_of_a_gpu_that_is_not_here() -> None:
    broken = {"module": "bitsandbytes", "error": "ImportError: libcuda.so.1: cannot open", "causes": []}
    report = said(("imports", "import", broken))
    assert found(report)["train/imports"].severity is Severity.BLOCK
    assert found(report, gpus=False)["train/imports"].severity is Severity.UNREADABLE
    other = said(("imports", "import", {**broken, "error": "ImportError: cannot import name 'Cache'"}))
    assert found(other, gpus=False)["train/imports"].severity is Severity.BLOCK


def test_arguments_that_the_programs_own_parser_refuses_block_in_its_words() -> None:
    failed = {"error": "ValueError: Some keys are not used: ['lora_rnk']", "causes": []}
    one = found(said(("arguments", "failed", failed)))["train/arguments"]
    assert (one.severity, "lora_rnk" in one.what) == (Severity.BLOCK, True)


def test_what_was_not_shown_to_the_parser_is_told() -> None:
    aside = ("arguments", "parsed", {"file": "train.yaml", "keys": 29, "aside": ["deepspeed"]})
    assert "no GPU here: deepspeed" in found(said(aside), gpus=False)["train/arguments"].what


def test_a_token_without_a_row_in_the_embedding_blocks() -> None:
    """The training would die of an index out of range, on the GPU, with a message about CUDA."""
    tokenizer = ("model", "tokenizer", {"tokenizer": "Qwen2Tokenizer", "length": 381, "chat_template": True})

    def with_template(**members: Any) -> Finding:
        template = {"added": ["<|im_end|>"], "highest": 384, "grows": False, "eos": "<|im_end|>"} | members
        return found(said(PARSED, CONFIG, tokenizer, ("model", "template", template)))["train/tokenizer"]

    assert with_template().severity is Severity.BLOCK
    assert with_template(highest=383).severity is Severity.WARN
    assert with_template(highest=383, added=[]).severity is Severity.PASS
    assert with_template(grows=True, added=[]).severity is Severity.PASS


def test_a_model_served_as_it_is_without_a_chat_template_warns() -> None:
    tokenizer = ("model", "tokenizer", {"tokenizer": "LlamaTokenizer", "length": 381, "chat_template": False})
    findings = found(said(PARSED, CONFIG, tokenizer), SERVE)
    assert findings["serve/chat-template"].severity is Severity.WARN
    merged = replace(SERVE, mounts=(Mount("results/merge", "/bundle/model"),))
    findings = found(said(PARSED, CONFIG, tokenizer), merged)
    assert "serve/chat-template" not in findings, "LLaMA-Factory gives it the template's when it saves"
    assert findings["serve/config"].what.endswith("(of the base model: the trained one is not made yet)")


def data(kept: int, records: int = 3, error: str = "") -> Report:
    told = {"name": "pumps", "split": "dataset", "records": records, "kept": kept, "error": error}
    return said(PARSED, CONFIG, ("data", "dataset", told))


def counted(report: Report, verdict: DatasetVerdict | None) -> Finding:
    return found(report, predicted={"pumps": verdict} if verdict else {})["train/data/pumps"]


def test_counts_must_be_those_that_were_predicted() -> None:
    assert counted(data(3), DatasetVerdict(records=3, kept=3)).severity is Severity.PASS
    differs = counted(data(3), DatasetVerdict(records=3, kept=2, dropped_count=1))
    assert differs.severity is Severity.BLOCK
    assert differs.what == "3 of 3 records kept, and 2 of 3 were predicted"
    other_records = counted(data(3, records=4), DatasetVerdict(records=3, kept=3))
    assert other_records.severity is Severity.BLOCK
    foretold_death = DatasetVerdict(records=3, failure=Failure("it is no JSON", "ValueError", None))
    assert counted(data(3), foretold_death).severity is Severity.BLOCK


def test_records_that_are_dropped_are_told_also_where_that_was_predicted() -> None:
    verdict = DatasetVerdict(records=3, kept=2, dropped_count=1, dropped_reasons={"an odd number of messages": 1})
    one = counted(data(2), verdict)
    assert (one.severity, one.why) == (Severity.WARN, "an odd number of messages (1)")


def test_a_dataset_that_is_dropped_whole_blocks_whatever_was_predicted() -> None:
    assert counted(data(0), DatasetVerdict(records=3, kept=0)).what == "all 3 records are dropped"
    assert counted(data(0), None).severity is Severity.BLOCK


def test_a_dataset_of_which_nothing_was_predicted_is_not_called_good() -> None:
    assert counted(data(3), DatasetVerdict(unread="a format that is not judged")).severity is Severity.UNREADABLE
    assert counted(data(3), None).severity is Severity.UNREADABLE


def test_what_the_loader_dies_of_blocks() -> None:
    one = counted(data(0, 0, "ValueError: File types should be identical."), None)
    assert (one.severity, "File types should be identical" in one.what) == (Severity.BLOCK, True)


def test_a_stream_is_not_counted_and_not_taken_for_another_count() -> None:
    verdict = DatasetVerdict(records=3, kept=3)
    assert counted(data(-1, records=-1), verdict).severity is Severity.UNREADABLE


def test_failures_without_a_word_are_findings_and_no_end_of_the_rehearsal() -> None:
    empty = {"error": "", "causes": [""]}
    findings = found(said(*((part, "failed", empty) for part in ("arguments", "model", "data"))))
    assert {findings[f"train/{part}"].severity for part in ("arguments", "config", "data")} == {Severity.BLOCK}
    broken = {"module": "torch", "error": "ImportError: x", "causes": [""]}
    assert found(said(("imports", "import", broken)))["train/imports"].severity is Severity.BLOCK


def test_what_needs_the_launcher_is_told_apart_from_what_needs_a_gpu() -> None:
    aside = ("arguments", "parsed", {"file": "train.yaml", "keys": 29, "aside": ["deepspeed"]})
    assert "one process alone here: deepspeed" in found(said(aside))["train/arguments"].what


def test_pure_bf16_is_not_refused_for_want_of_the_gpu() -> None:
    error = {"error": "ValueError: This device does not support `pure_bf16`.", "causes": []}
    refused = said(("arguments", "failed", error))
    assert found(refused, gpus=False)["train/arguments"].severity is Severity.UNREADABLE
    assert found(refused)["train/arguments"].severity is Severity.BLOCK


RESOLVED = ("architecture", "resolved", {"architecture": "Qwen3ForCausalLM", "length": 512, "dtype": "torch.bfloat16"})


def test_an_architecture_that_vllm_does_not_have_blocks_or_warns_where_it_has_a_stand_in() -> None:
    none = ("architecture", "registry", {"known": [], "size": 200})
    failed = ("architecture", "failed", {"error": "ValueError: no model architecture", "causes": []})
    assert found(said(none, failed), SERVE)["serve/architecture"].severity is Severity.BLOCK
    assert found(said(none, RESOLVED), SERVE)["serve/architecture"].severity is Severity.WARN
    known = ("architecture", "registry", {"known": ["Qwen3ForCausalLM"], "size": 200})
    assert found(said(known, RESOLVED), SERVE)["serve/architecture"].severity is Severity.PASS
    gpu = ("architecture", "failed", {"error": "RuntimeError: Failed to infer device type", "causes": []})
    one = found(said(known, gpu), SERVE, gpus=False)["serve/architecture"]
    assert (one.severity, one.what.startswith("Qwen3ForCausalLM is known")) == (Severity.UNREADABLE, True)


def test_a_probe_that_was_killed_blocks_with_its_last_words() -> None:
    cut = parse([json.dumps({"say": "done", "part": "versions"})])
    one = {f.check: f for f in judge(Probed(TRAIN, image(), cut, True, {}, last=("Killed",), code=137))}["train/probe"]
    assert one.severity is Severity.BLOCK
    assert one.what == "the probe was ended after versions: it was killed (out of memory?)"
    assert "Killed" in one.why


def test_a_probe_that_was_ended_at_once_passes_nothing_that_it_did_not_look_at() -> None:
    findings = judge(Probed(TRAIN, image({"torch": "2.6.0"}), parse([]), True, {}, code=137))
    assert {"train/versions", "train/imports"}.isdisjoint(finding.check for finding in findings)


def test_a_kind_without_a_probe_is_not_tried_and_not_passed() -> None:
    board = Workload("board", "llamaboard", "train", ("llamafactory-cli", "webui"), port=7860)
    assert found(said(), board)["board/arguments"].severity is Severity.NOT_TRIED


def test_one_step_is_judged_by_its_end() -> None:
    assert stepped("train/step", 0, Report(), (), 3.0).severity is Severity.PASS
    died = stepped("train/step", 137, Report(), ("Killed",), 3.0)
    assert (died.severity, "out of memory" in died.what, died.why) == (Severity.BLOCK, True, "Killed")


def test_a_step_shows_what_it_took_beside_what_was_predicted_and_more_is_a_warning() -> None:
    took = Report(peak_bytes=21 * 10**9)
    one = stepped("train/step", 0, took, (), 3.0, 24 * 10**9)
    assert one.severity is Severity.PASS
    assert one.what.endswith("; torch held up to 21.0 GB of a GPU; the lock predicts 24.0 GB in all")
    more = stepped("train/step", 0, took, (), 3.0, 20 * 10**9)
    assert (more.severity, "longer records may not fit" in more.why) == (Severity.WARN, True)
    assert stepped("train/step", 0, took, (), 3.0).severity is Severity.PASS


def test_a_step_that_died_of_a_hub_says_which_and_how() -> None:
    last = ("    raise Offline(", "errors.OfflineModeIsEnabled: Cannot reach https://hub.example/api: offline mode.")
    one = stepped("train/step", 1, Report(), last, 3.0)
    assert one.what.startswith("one training step: it wanted to reach https://hub.example/api, and ended: errors.Off")


def test_an_answer_must_say_something() -> None:
    def with_answer(text: str) -> Finding:
        return answered("serve/answer", 0, Report(said=(("answer", Answer(text, 2.0)),)), ())

    assert with_answer("BUNDLE-OK").severity is Severity.PASS
    assert with_answer(" \n").severity is Severity.BLOCK
    assert answered("serve/answer", 1, Report(), ("out of memory",)).severity is Severity.BLOCK

"""`bundle evaluate`: the same questions to base and tuned model, and a comparison that can be believed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from bundler.cli.evaluate import document, text
from bundler.core.digest import Digest
from bundler.core.events import Silence
from bundler.core.records import to_json
from bundler.engine.errors import NoEngine
from bundler.manifest.lock import Lock, LockedImage, Mount, Workload
from bundler.operations.evaluate import CannotEvaluate, evaluate, evaluated_from, read_evaluation
from bundler.operations.jobs import JobResult
from bundler.operations.record import record
from bundler.operations.release import Release, fingerprints
from bundler.operations.release_record import JobRecord
from bundler.store.contents import read_lock
from bundler.store.layout import BundleEntry, Store
from bundler.workloads.evaluation import evaluations
from bundler.workloads.evaluation_results import UnreadableEvaluation, metrics, side_by_side
from bundler.workloads.graph import workloads
from tests.bundles import make_bundle
from tests.unit.manifest_cases import REMOVED, changed, findings, manifest, write

TEST_SPLIT = {"evaluate": {"datasets": ["pumps"], "max_samples": 200, "max_new_tokens": 128, "batch_size": 2}}


def test_base_and_tuned_differ_in_the_adapter_alone(tmp_path: Path) -> None:
    base, tuned = evaluations(manifest(tmp_path, TEST_SPLIT))
    assert (base.name, tuned.name) == ("evaluate-base", "evaluate-tuned")
    assert set(tuned.mounts) - set(base.mounts) == {Mount("results/train", "/bundle/adapter")}
    ours, theirs = (set(job.files["evaluate.yaml"].splitlines()) for job in (base, tuned))
    assert theirs - ours == {"adapter_name_or_path: /bundle/adapter"}
    assert ours <= theirs


def test_it_is_batch_prediction_on_all_gpus_without_deepspeed(tmp_path: Path) -> None:
    job = evaluations(manifest(tmp_path, TEST_SPLIT | {"train.deepspeed": "z3"}))[0]
    assert job.files["evaluate.yaml"] == (
        "model_name_or_path: /bundle/model\n"
        "trust_remote_code: false\n"
        "stage: sft\n"
        "do_predict: true\n"
        "predict_with_generate: true\n"
        "finetuning_type: lora\n"
        "eval_dataset: pumps\n"
        "dataset_dir: /bundle/config\n"
        "template: qwen3\n"
        "cutoff_len: 2048\n"
        "max_samples: 200\n"
        "output_dir: /bundle/output\n"
        "per_device_eval_batch_size: 2\n"
        "max_new_tokens: 128\n"
        "do_sample: false\n"
        "seed: 42\n"
        "bf16: true\n"
        "fp16: false\n"
        "report_to: none\n"
    )
    assert (job.gpus, job.environment["NPROC_PER_NODE"], job.environment["FORCE_TORCHRUN"]) == (4, "4", "1")


def test_the_weights_are_held_as_in_training(tmp_path: Path) -> None:
    held = {"train.quantization": "nf4", "train.double_quantization": False}
    for job in evaluations(manifest(tmp_path, TEST_SPLIT | held)):
        assert (
            "quantization_bit: 4\nquantization_method: bnb\nquantization_type: nf4\ndouble_quantization: false\n"
        ) in job.files["evaluate.yaml"]


def test_the_adapter_is_asked_with_the_positions_that_it_was_trained_with(tmp_path: Path) -> None:
    for job in evaluations(manifest(tmp_path, TEST_SPLIT | {"train.cutoff_len": 65536, "train.rope_scaling": "yarn"})):
        assert "cutoff_len: 65536\nrope_scaling: yarn\n" in job.files["evaluate.yaml"]


def test_a_whole_model_that_was_trained_is_evaluated_itself(tmp_path: Path) -> None:
    tuned = evaluations(manifest(tmp_path, TEST_SPLIT | {"train.method": "full"}))[1]
    assert tuned.mounts[0] == Mount("results/train", "/bundle/model")
    assert "adapter" not in tuned.files["evaluate.yaml"]


def test_up_does_not_run_it(tmp_path: Path) -> None:
    made = manifest(tmp_path, TEST_SPLIT)
    assert not {job.name for job in workloads(made)} & {job.name for job in evaluations(made)}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"train": REMOVED, "serve.model": "base"}, "evaluate"),
        ({"train.stage": "pt"}, "evaluate"),
        ({"evaluate.datasets": ["pump"]}, "evaluate.datasets"),
        ({"services.evaluate-base": {"image": "serve", "vllm": "0.8.5.post1", "model": "base", "name": "x",
                                     "port": 8001}}, "services.evaluate-base"),
    ],
)  # fmt: skip
def test_what_can_not_be_evaluated_is_refused_before_the_gap(
    tmp_path: Path, changes: dict[str, object], expected: str
) -> None:
    found = findings(write(tmp_path, changed(TEST_SPLIT | changes)))
    assert expected in {finding.path.partition("[")[0] for finding in found}


PREDICTED = [("What is it?", "A pump.", "gibberish"), ("And this?", "A valve.", "A valve.")]


def _jsonl(*answers: str) -> bytes:
    rows = zip(PREDICTED, answers, strict=True)
    return b"".join(
        json.dumps({"prompt": prompt, "predict": answer, "label": label}).encode() + b"\n"
        for (prompt, label, _), answer in rows
    )


def test_metrics_lose_their_prefix_and_what_is_no_number() -> None:
    raw = b'{"predict_bleu-4": 12.5, "predict_rouge-l": 40.25, "predict_model_preparation_time": 0.001, "x": "y"}'
    assert metrics(raw, "f") == {"bleu-4": 12.5, "rouge-l": 40.25, "model_preparation_time": 0.001}


@pytest.mark.parametrize("garbage", [b"", b"[]", b"{", b"\xff"])
def test_results_that_were_cut_off_are_named(garbage: bytes) -> None:
    with pytest.raises(UnreadableEvaluation, match=r"predict_results\.json can't be read"):
        metrics(garbage, "predict_results.json")


def test_answers_to_different_questions_are_not_compared() -> None:
    with pytest.raises(UnreadableEvaluation, match="different questions"):
        side_by_side(_jsonl("a", "b"), _jsonl("a", "b").splitlines()[0], "f")
    with pytest.raises(UnreadableEvaluation, match="can't be read"):
        side_by_side(_jsonl("a", "b"), b'{"prompt": "x"}', "f")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.create(tmp_path / "store")


@pytest.fixture
def trained(store: Store) -> BundleEntry:
    """A bundle that is laid out, its training ended well."""
    made = read_lock(store, make_bundle(store))
    image = LockedImage("train", "test", made.models[0].manifest, (made.agent.blob,))
    train = Workload("train", "train", "train", ("train",), mounts=(Mount("models/base", "/bundle/model"),))
    asked = (
        Workload("evaluate-base", "evaluate", "train", ("e",), mounts=train.mounts),
        Workload("evaluate-tuned", "evaluate", "train", ("e",), mounts=(Mount("results/train", "/bundle/adapter"),)),
    )
    entry = record(replace(made, images=(image,), workloads=(train,), evaluations=asked), store)
    release, lock = Release.of(store, entry), read_lock(store, entry)
    release.lay_out(store, lock)
    release.results("train").mkdir(parents=True)
    (release.results("train") / "adapter_model.safetensors").write_bytes(b"weights")
    release.write_job_record("train", JobRecord(fingerprints(lock)["train"], 1.0))
    return entry


def test_evaluations_survive_the_way_through_the_lock_and_old_locks_have_none(
    store: Store, trained: BundleEntry
) -> None:
    lock = read_lock(store, trained)
    assert [job.name for job in lock.evaluations] == ["evaluate-base", "evaluate-tuned"]
    assert Lock.parse(lock.encode(), "it") == lock
    assert "evaluations" not in to_json(replace(lock, evaluations=()))


def test_training_again_makes_the_tuned_evaluation_run_again_and_the_base_one_not(
    store: Store, trained: BundleEntry
) -> None:
    release, lock = Release.of(store, trained), read_lock(store, trained)
    before = evaluated_from(release, lock)
    (release.results("train") / "adapter_model.safetensors").write_bytes(b"other weights")
    after = evaluated_from(release, lock)
    assert before["evaluate-base"] == after["evaluate-base"]
    assert before["evaluate-tuned"] != after["evaluate-tuned"]


def test_who_has_gone_back_is_not_made_to_ask_everything_again(
    store: Store, trained: BundleEntry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    release, lock = Release.of(store, trained), read_lock(store, trained)
    of_then = evaluated_from(release, lock)["evaluate-tuned"]
    release.open_results("evaluate-tuned", of_then)
    (release.results("evaluate-tuned") / "predict_results.json").write_text("{}")
    release.write_job_record("evaluate-tuned", JobRecord(of_then, 5.0))
    release.open_results("evaluate-tuned", Digest.of(b"of other weights"))
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/no-engine")
    with pytest.raises(NoEngine):
        evaluate(store, trained, Silence())
    assert release.finished("evaluate-tuned", of_then)


def test_without_a_trained_model_there_is_nothing_to_compare(store: Store, trained: BundleEntry) -> None:
    release = Release.of(store, trained)
    release.outdate("train", fingerprints(read_lock(store, trained))["train"])
    with pytest.raises(CannotEvaluate) as refused:
        evaluate(store, trained, Silence())
    assert refused.value.because == "its training has not ended well"
    assert refused.value.hint == f"bundle up demo:1.0.0 --store {store.root}"


def test_a_bundle_without_a_test_split_says_what_its_manifest_lacks(store: Store) -> None:
    with pytest.raises(CannotEvaluate, match="nothing to evaluate with"):
        evaluate(store, make_bundle(store), Silence())


def test_people_see_the_metrics_and_the_answers_side_by_side(store: Store, trained: BundleEntry) -> None:
    release = Release.of(store, trained)
    for job, bleu, answers in (("base", 1.5, ("gibber\x1b[2Jish", "no")), ("tuned", 99.25, ("A pump.", "A valve."))):
        place = release.results(f"evaluate-{job}")
        place.mkdir()
        (place / "predict_results.json").write_text(json.dumps({"predict_bleu-4": bleu, "predict_rouge-1": 2 * bleu}))
        (place / "generated_predictions.jsonl").write_bytes(_jsonl(*answers))
    found = read_evaluation(release, (JobResult("evaluate-base", ran=True, seconds=2.0),))
    base, tuned = found.results()
    assert "\n".join(text(found, 1)) == (
        "demo:1.0.0, 2 samples\n"
        "METRIC   BASE  TUNED   CHANGE\n"
        "bleu-4   1.50  99.25   +97.75\n"
        "rouge-1  3.00  198.50  +195.50\n"
        "\n"
        "1. What is it?\n"
        "   expected  A pump.\n"
        "   base      gibber [2Jish\n"
        "   tuned     A pump.\n"
        "\n"
        f"all of it: {base} and {tuned}"
    )
    told = json.loads(json.dumps(document(found), allow_nan=False))
    assert told["metrics"]["tuned"]["bleu-4"] == 99.25
    assert told["answers"][1] == {"prompt": "And this?", "label": "A valve.", "base": "no", "tuned": "A valve."}

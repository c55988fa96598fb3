"""What a person reads who made a mistake in a manifest: all of it, each with its place, and nothing invented."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from manifest_cases import DOCUMENT, REMOVED, changed, findings, manifest, write

from bundler.core.errors import ManifestInvalid
from bundler.manifest.artifacts import DockerfileImage
from bundler.manifest.findings import ManifestRejected
from bundler.manifest.loader import load

MANY = """\
name: Example
version: 1.10
target: {gpu: L2O, count: 4}
images:
  train: {dockerfile: nowhere, bas: x, arguments: {A: 1}}
  serve: {registry: "vllm/vllm-openai:v0.8.5.post1", plain_htp: yes}
models:
  base: {huggingface: Qwen/Qwen3-32B}
  base: {path: elsewhere}
datasets:
  pumps: {path: pumps.json, formatting: alpca}
train:
  image: trian
  llamafactory: 0.9
  model: base
  datasets: pumps
  template: qwen3
  lora: {rank: "8"}
  extra: {output_dir: /x}
serve: {image: serve, vllm: "0.8.5", model: train, name: x, tensor_paralel: 8, reasoning_parser: foo}
ask: {max_tokens: 3}
"""


def test_all_mistakes_are_told_at_once_each_in_its_line(tmp_path: Path) -> None:
    found = findings(write(tmp_path, MANY))
    assert [(one.line, one.path) for one in found] == [
        (1, "name"),
        (2, "version"),
        (3, "target.gpu"),
        (5, "images.train.base"),
        (5, "images.train.dockerfile"),
        (5, "images.train.bas"),
        (5, "images.train.arguments.A"),
        (6, "images.serve.plain_htp"),
        (9, "models.base"),
        (11, "datasets.pumps.formatting"),
        (13, "train.image"),
        (14, "train.llamafactory"),
        (16, "train.datasets"),
        (18, "train.lora.rank"),
        (19, "train.extra.output_dir"),
        (20, "serve.tensor_paralel"),
        (20, "serve.reasoning_parser"),
        (21, "ask.text"),
    ]
    suggestions = {one.path: one.suggestion for one in found if one.suggestion}
    assert suggestions == {
        "target.gpu": "L20",
        "images.train.bas": "base",
        "images.serve.plain_htp": "plain_http",
        "datasets.pumps.formatting": "alpaca",
        "train.image": "train",
        "serve.tensor_paralel": "tensor_parallel",
    }


def test_an_error_shows_file_line_column_key_found_and_expected(tmp_path: Path) -> None:
    path = write(tmp_path, changed({"train.precison": "bf16"}))
    with pytest.raises(ManifestInvalid) as caught:
        load(path)
    line = next(at for at, text in enumerate(path.read_text().splitlines(), 1) if "precison" in text)
    assert caught.value.exit_code == 10
    assert str(caught.value) == f"{path} has 1 problem"
    assert caught.value.because is not None
    assert caught.value.because.startswith(
        f"{path}:{line}:3: train.precison: found the key 'precison', expected one of"
    )
    assert caught.value.because.endswith("; did you mean 'precision'?")


@pytest.mark.parametrize(
    ("changes", "path", "found", "expected"),
    [
        ({"version": 1.0}, "version", "the number 1.0", 'text: write "1.0"'),
        ({"train.llamafactory": 0.9}, "train.llamafactory", "the number 0.9", 'write "0.9"'),
        ({"target.capability": 8.9}, "target.capability", "the number 8.9", 'write "8.9"'),
        ({"target.memory": "48 potatoes"}, "target.memory", "'48 potatoes'", "like 48GiB"),
        ({"target.count": True}, "target.count", "true", "a whole number"),
        ({"target.count": -1}, "target.count", "the number -1", "at least 0"),
        ({"train.learning_rate": 0}, "train.learning_rate", "the number 0", "more than 0"),
        ({"train.lora": {"dropout": 1}}, "train.lora.dropout", "the number 1", "less than 1"),
        ({"train.stage": "SFT"}, "train.stage", "'SFT'", "'pt', 'sft'"),
        ({"train.datasets": []}, "train.datasets", "a list", "at least one"),
        ({"train.datasets": "pumps"}, "train.datasets", "'pumps'", "a list: write [pumps]"),
        ({"train.datasets": [1]}, "train.datasets[0]", "the number 1", "text"),
        ({"train.model": REMOVED}, "train.model", "nothing", "the model to train"),
        ({"train": [1]}, "train", "a list", "a mapping"),
        ({"serve.enforce_eager": "yes"}, "serve.enforce_eager", "'yes'", "true or false"),
        ({"serve.bind": "localhost"}, "serve.bind", "'localhost'", "an IP address"),
        ({"serve.extra": {"a b": 1}}, "serve.extra.a b", "the name 'a b'", "an argument's name"),
        ({"serve.port": 70000}, "serve.port", "the number 70000", "at most 65535"),
        ({"images.serve": "vllm"}, "images.serve", "'vllm'", "either 'dockerfile:' or 'registry:'"),
        ({"images.serve.registry": "Not An Image"}, "images.serve.registry", "'Not An Image'", "image reference"),
        ({"models.base": {}}, "models.base", "a mapping", "one of 'huggingface:', 'modelscope:', 'from:'"),
        ({"models.base.huggingface": "a/b/c"}, "models.base.huggingface", "'a/b/c'", "Qwen/Qwen3-32B"),
        ({"models.UPPER": {"path": "."}}, "models.UPPER", "the name 'UPPER'", "lower-case"),
        ({"ask": {"text": ""}}, "ask.text", "''", "not empty"),
        ({"ask": 42}, "ask", "the number 42", 'a mapping: write "42"'),
    ],
)
def test_a_wrong_value_is_told_in_the_words_of_the_manifest(
    tmp_path: Path, changes: dict[str, Any], path: str, found: str, expected: str
) -> None:
    (one,) = findings(write(tmp_path, changed(changes)))
    assert (one.path, one.found) == (path, found)
    assert expected in one.expected


def test_a_mistake_does_not_bring_others_that_only_follow_from_it(tmp_path: Path) -> None:
    assert [one.path for one in findings(write(tmp_path, changed({"images.train.base": REMOVED})))] == [
        "images.train.base"
    ]
    document = changed({"train.quantisation": "nf4", "train.double_quantization": True})
    assert [one.path for one in findings(write(tmp_path, document))] == ["train.quantisation"]


def test_numbers_in_scientific_notation_are_numbers(tmp_path: Path) -> None:
    text = write(tmp_path, DOCUMENT).read_text()
    for written, meant in (("1e-4", 1e-4), ("5E-3", 5e-3), (".01", 0.01), ("1.0e-05", 1e-5)):
        path = write(tmp_path, text.replace("  template: qwen3\n", f"  template: qwen3\n  learning_rate: {written}\n"))
        train = load(path).train
        assert train is not None
        assert train.learning_rate == meant


def test_words_that_old_yaml_reads_as_something_else_stay_text(tmp_path: Path) -> None:
    text = write(tmp_path, DOCUMENT).read_text()
    for written in ("no", "on", "y", "2026-11-23", "12:30:45", "0x1F", "010", "1_000", "=", "<<"):
        path = write(tmp_path, text.replace("ask: Which pump?", f"ask: {written}"))
        ask = load(path).ask
        assert ask is not None
        assert ask.text == written


def test_paths_are_seen_from_the_manifest_wherever_it_is_loaded_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir("/")
    loaded = manifest(tmp_path, {})
    image = loaded.images["train"]
    assert isinstance(image, DockerfileImage)
    assert (image.dockerfile.written, image.dockerfile.resolved) == (
        "cuda12.6-torch2.6",
        tmp_path / "cuda12.6-torch2.6",
    )
    assert loaded.datasets["pumps"].path.resolved == tmp_path / "pumps.json"


def test_data_that_is_made_later_does_not_keep_a_manifest_from_being_checked(tmp_path: Path) -> None:
    manifest(tmp_path, {"datasets.pumps.path": "not/there/yet.json", "images.train.files": {"wheels": "nor/this"}})


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"images.train.dockerfile": "cuda12.6-torch2.7"}, "images.train.dockerfile"),
        ({"models.base": {"path": "no-model"}}, "models.base.path"),
    ],
)
def test_a_dockerfile_or_a_model_that_is_not_there_is_told_in_its_line(
    tmp_path: Path, changes: dict[str, Any], path: str
) -> None:
    (one,) = findings(write(tmp_path, changed(changes)))
    assert one.path == path
    assert one.line > 1


def test_a_dataset_that_is_a_file_of_a_type_that_llamafactory_does_not_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pumps.xlsx").touch()
    (one,) = findings(write(tmp_path, changed({"datasets.pumps.path": "pumps.xlsx"})))
    assert one.path == "datasets.pumps.path"


@pytest.mark.parametrize(
    ("raw", "line", "found"),
    [
        (b"", 1, "nothing"),
        (b"# only a comment\n", 1, "nothing"),
        (b"- a\n- b\n", 1, "a list"),
        (b"name: x\n\xff\xfe: y\n", 2, "the byte 0xff"),
        ("name: x".encode("utf-16"), 1, "the byte 0xff"),
        (b"name: x\n a: [1, 2\n", 2, "broken YAML"),
        (b"name: x\nversion: \x07\n", 2, "broken YAML: a character"),
        (b"name: x\n---\nname: y\n", 2, "broken YAML"),
        (b"a: &a [*a]\n", 1, "broken YAML"),
        (b"a: *missing\n", 1, "broken YAML"),
        (b"[" * 5000, 1, "broken YAML"),
        (b"a: &a [" + b"1," * 200 + b"]\nb: &b [" + b"*a," * 200 + b"]\n", 2, "broken YAML: an alias"),
        (b"x" * (1 << 20) + b"xx", 0, "more than"),
    ],
)
def test_a_file_that_is_no_manifest_is_told_as_such_and_never_a_traceback(
    tmp_path: Path, raw: bytes, line: int, found: str
) -> None:
    path = tmp_path / "bundle.yaml"
    path.write_bytes(raw)
    (one,) = findings(path)
    assert one.found.startswith(found)
    assert one.line == line or "alias" in found


def test_a_missing_file_and_a_directory_are_told_by_name(tmp_path: Path) -> None:
    for path, words in ((tmp_path / "none.yaml", "no such file"), (tmp_path, "a directory")):
        with pytest.raises(ManifestRejected) as caught:
            load(path)
        assert caught.value.because == f"{path}: found {words}, expected a manifest: a YAML file"


def test_a_key_twice_is_refused_because_the_second_would_silently_win(tmp_path: Path) -> None:
    text = write(tmp_path, DOCUMENT).read_text() + "ask: Another?\n"
    (one,) = findings(write(tmp_path, text))
    assert (one.path, one.found) == ("ask", "the key again")
    assert one.line == len(text.splitlines())


def test_tags_and_keys_that_are_not_text_are_refused(tmp_path: Path) -> None:
    text = (
        write(tmp_path, DOCUMENT)
        .read_text()
        .replace("ask: Which pump?", "ask: !!python/name:os.system\n1: x\n? [a]\n: x")
    )
    assert [(one.path, one.found) for one in findings(write(tmp_path, text))] == [
        ("ask", "a value with the tag 'tag:yaml.org,2002:python/name:os.system'"),
        ("", "another kind of key"),
        ("", "another kind of key"),
    ]


def test_an_anchor_can_be_used_for_what_services_have_in_common(tmp_path: Path) -> None:
    text = write(tmp_path, changed({"target": REMOVED, "serve.tensor_parallel": 1})).read_text()
    text += "services:\n  other: {image: serve, vllm: &v '0.8.5.post1', model: base, name: *v, port: 8001}\n"
    assert load(write(tmp_path, text)).services["other"].name == "0.8.5.post1"


def test_a_manifest_written_by_an_editor_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    path = write(tmp_path, DOCUMENT)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert load(path).name == "example"


def test_text_that_no_file_can_hold_is_refused(tmp_path: Path) -> None:
    text = write(tmp_path, DOCUMENT).read_text().replace("ask: Which pump?", 'ask: "\\ud800"')
    (one,) = findings(write(tmp_path, text))
    assert (one.path, one.found) == ("ask", "half of a surrogate pair")

"""Which files of a model are carried: enough to run it, nothing that runs by itself, the same each time."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bundler.sources.selection import NothingToTake, Patterns, Selection
from bundler.sources.selection import select as select_by

PUBLISHED = (
    ".gitattributes",
    "LICENSE",
    "README.md",
    "config.json",
    "generation_config.json",
    "model-00001-of-00002.safetensors",
    "model-00002-of-00002.safetensors",
    "model.safetensors.index.json",
    "tokenizer.json",
    "tokenizer_config.json",
)

DANGEROUS = ("a.bin", "b.PT", "c.pth", "sub/d.ckpt", "e.pkl", "f.pickle", "modeling_x.py", "sub/G.Py")


def select(
    model: str, paths: Iterable[str], include: Sequence[str], exclude: Sequence[str], allow: Sequence[str] = ()
) -> Selection:
    return select_by(model, paths, Patterns(include, exclude, allow))


def test_a_published_model_is_taken_whole_without_gits_own_files() -> None:
    selection = select("a model", PUBLISHED, (), ())
    assert selection.taken == PUBLISHED[1:]
    assert selection.left_out == {".gitattributes": "hidden"}


def test_the_same_files_are_taken_in_whatever_order_a_hub_lists_them() -> None:
    shuffled = list(PUBLISHED)
    random.Random(1).shuffle(shuffled)
    assert select("a model", shuffled, (), ()) == select("a model", PUBLISHED, (), ())


@pytest.mark.parametrize(
    "path",
    [
        "pytorch_model.bin",
        "pytorch_model.bin.index.json",
        "consolidated.00.pth",
        "model.ckpt",
        "training_args.bin",
        "scheduler.pt",
        "modeling_custom.py",
        "tf_model.h5",
        "flax_model.msgpack",
        "onnx/model.onnx",
        "model-q4.gguf",
        ".cache/x",
        "sub/.hidden",
    ],
)
def test_what_runs_code_or_is_there_twice_is_left_out_and_said(path: str) -> None:
    selection = select("a model", (*PUBLISHED, path), (), ())
    assert path not in selection.taken
    assert path in str(selection)


def test_a_model_with_pickled_weights_only_is_refused_and_not_carried_without_weights() -> None:
    with pytest.raises(NothingToTake, match=r"acme/old has pickled weights only: pytorch_model\.bin") as error:
        select("acme/old", ("config.json", "pytorch_model.bin"), (), ())
    assert error.value.hint
    assert "allow: [pytorch_model.bin]" in error.value.hint


def test_pickled_weights_are_taken_when_they_are_named() -> None:
    paths = ("config.json", "pytorch_model.bin", "pytorch_model.bin.index.json", "training_args.bin")
    assert select("a model", paths, (), (), ("pytorch_model.bin",)).taken == paths[:3]
    assert select("a model", paths, ("*.json", "pytorch_model.bin"), ()).taken == paths[:3]


@given(pattern=st.text(st.sampled_from("*?[]!abinopthy_el./-"), max_size=12), dangerous=st.sampled_from(DANGEROUS))
def test_no_pattern_brings_in_what_runs_code(pattern: str, dangerous: str) -> None:
    patterns = ("*", "*.bin", "*.py", "*.*", *((pattern,) if pattern != dangerous else ()))
    with suppress(NothingToTake):
        assert dangerous not in select("a model", (*PUBLISHED, dangerous), patterns, ()).taken
    with suppress(NothingToTake):
        assert dangerous not in select("a model", (*PUBLISHED, dangerous), (), (), patterns).taken


def test_a_file_that_is_allowed_and_not_there_is_a_mistake_found_before_the_gap() -> None:
    with pytest.raises(NothingToTake, match=r"acme/m has no file '\*\.py', which the manifest allows") as error:
        select("acme/m", (*PUBLISHED, "modeling.py"), (), (), ("*.py",))
    assert "paths in full" in str(error.value.because)


def test_a_pattern_for_weights_that_are_all_pickled_is_refused_with_the_names_to_allow() -> None:
    with pytest.raises(NothingToTake) as error:
        select("acme/old", ("config.json", "a.bin", "b.bin"), ("*",), ())
    assert str(error.value.hint).startswith("allow: [a.bin, b.bin]")


def test_an_excluded_file_stays_out_even_when_it_is_allowed() -> None:
    assert "m.py" not in select("a model", (*PUBLISHED, "m.py"), (), ("*.py",), ("m.py",)).taken


def test_a_model_with_gguf_weights_only_is_carried() -> None:
    assert "model.gguf" in select("a model", ("model.gguf", "README.md"), (), ()).taken


def test_a_tokenizer_alone_is_carried() -> None:
    assert select("a model", ("tokenizer.json",), (), ()).taken == ("tokenizer.json",)


def test_include_names_what_is_taken_and_exclude_takes_away() -> None:
    selection = select("a model", PUBLISHED, ("*.safetensors", "*.json"), ("model-00002*",))
    assert selection.taken == (
        "config.json",
        "generation_config.json",
        "model-00001-of-00002.safetensors",
        "model.safetensors.index.json",
        "tokenizer.json",
        "tokenizer_config.json",
    )
    assert selection.left_out["model-00002-of-00002.safetensors"] == "excluded"
    assert selection.left_out["README.md"] == "not included"


def test_a_directory_is_included_with_all_below_it() -> None:
    paths = ("config.json", "sub/a.json", "sub/deep/b.json", "subway.json")
    assert select("a model", paths, ("sub/",), ()).taken == ("sub/a.json", "sub/deep/b.json")


def test_a_pattern_that_matches_nothing_is_a_mistake_found_before_the_gap() -> None:
    with pytest.raises(NothingToTake, match=r"'\*\.safetensor' matches no file of acme/m") as error:
        select("acme/m", PUBLISHED, ("*.safetensor",), ())
    assert "README.md" in str(error.value.because)


def test_nothing_left_is_an_error_and_not_an_empty_model() -> None:
    with pytest.raises(NothingToTake, match="nothing of acme/m is left"):
        select("acme/m", PUBLISHED, (), ("*",))
    with pytest.raises(NothingToTake):
        select("acme/m", (), (), ())


def test_a_thousand_files_left_out_are_told_in_one_line() -> None:
    selection = select("a model", (*PUBLISHED, *(f"old/{n}.bin" for n in range(1000))), (), ())
    assert "and 992 more (pickled; loading them runs code)" in str(selection)

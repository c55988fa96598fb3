"""A dataset that the training would drop or die of is refused before anything is fetched."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from manifest_cases import changed, write

from bundler.core.events import Event, Warned
from bundler.manifest.loader import load
from bundler.manifest.training import Train
from bundler.operations.judge_data import DataRefused, Samples, judge_datasets, require_usable, samples
from bundler.planning.datasets.description import Description
from bundler.planning.datasets.judge import judge


class Heard:
    def __init__(self) -> None:
        self.warned: list[str] = []

    def emit(self, event: Event) -> None:
        if isinstance(event, Warned):
            self.warned.append(event.text)


GOOD = {"instruction": "Which pump?", "input": "", "output": "The blue one."}


def judged(directory: Path, records: list[Any], events: Heard, **settings: Any) -> Any:
    (directory / "pumps.json").write_text(json.dumps(records))
    path = write(directory, changed({f"train.{key}": value for key, value in settings.items()}))
    return path, judge_datasets(load(path), events)


def test_a_dataset_of_which_every_record_would_be_dropped_is_refused_unless_accepted(tmp_path: Path) -> None:
    path, verdicts = judged(tmp_path, [{**GOOD, "output": 5}], Heard())
    with pytest.raises(DataRefused) as refused:
        require_usable(load(path), path, verdicts, ())
    assert refused.value.exit_code == 13
    assert "dataset pumps: every record is dropped" in refused.value.because
    assert "--accept data" in refused.value.hint
    require_usable(load(path), path, verdicts, ("data",))


def test_a_record_that_would_be_dropped_silently_is_told_with_its_number_and_reason(tmp_path: Path) -> None:
    events = Heard()
    path, verdicts = judged(tmp_path, [GOOD, {**GOOD, "output": None}, {**GOOD, "instruction": "And where?"}], events)
    require_usable(load(path), path, verdicts, ())
    assert verdicts["pumps"].kept == 2
    assert events.warned[0] == "dataset pumps: 1 of 3 records would be dropped silently"
    assert "record 2" in events.warned[1]


def test_a_column_that_the_records_lack_is_named(tmp_path: Path) -> None:
    path, verdicts = judged(tmp_path, [{"question": "Which?", "answer": "This."}], Heard())
    with pytest.raises(DataRefused, match="the training would end") as refused:
        require_usable(load(path), path, verdicts, ())
    assert "instruction" in refused.value.because


def test_a_validation_set_that_leaves_nothing_to_train_on_is_refused_and_not_a_fault(tmp_path: Path) -> None:
    path, verdicts = judged(tmp_path, [GOOD, GOOD], Heard(), val_size=2)
    with pytest.raises(DataRefused) as refused:
        require_usable(load(path), path, verdicts, ())
    assert refused.value.because == "val_size: a validation set of 2 leaves none of 2 samples to train on"
    require_usable(load(path), path, verdicts, ("data",))
    path, verdicts = judged(tmp_path, [GOOD, GOOD], Heard(), val_size=1)
    require_usable(load(path), path, verdicts, ())


def test_how_many_samples_is_not_guessed_where_llama_factory_takes_only_some(tmp_path: Path) -> None:
    path, verdicts = judged(tmp_path, [GOOD] * 9, Heard())
    assert samples(trained(path), verdicts) == Samples(9)
    path, verdicts = judged(tmp_path, [GOOD] * 9, Heard(), extra={"max_samples": 3})
    assert samples(trained(path), verdicts) is None


def trained(path: Path) -> Train:
    train = load(path).train
    assert train
    return train


def test_a_dataset_that_is_not_there_yet_is_told_and_not_passed_over(tmp_path: Path) -> None:
    path, _ = judged(tmp_path, [GOOD], Heard())
    (tmp_path / "pumps.json").unlink()
    verdicts = judge_datasets(load(path), Heard())
    assert "pumps.json yet" in str(verdicts["pumps"].unread)
    require_usable(load(path), path, verdicts, ())


def test_a_pipe_for_a_dataset_is_not_said_to_be_missing(tmp_path: Path) -> None:
    path, _ = judged(tmp_path, [GOOD], Heard())
    (tmp_path / "pumps.json").unlink()
    os.mkfifo(tmp_path / "pumps.json")
    assert "is no file" in str(judge_datasets(load(path), Heard())["pumps"].failure)


def test_what_is_no_file_among_the_files_of_a_dataset_is_named_and_not_waited_for(tmp_path: Path) -> None:
    for make in (os.mkfifo, os.mkdir, lambda there: os.symlink("nowhere", there)):
        folder = tmp_path / "pumps.json"
        folder.mkdir(exist_ok=True)
        make(folder / "a.json")
        failure = judge(folder, Description()).failure
        assert "a.json is no file" in str(failure)
        shutil.rmtree(folder)


def test_a_manifest_that_trains_nothing_has_nothing_to_judge(tmp_path: Path) -> None:
    path = write(tmp_path, {"name": "n", "version": "1", "models": {"m": {"huggingface": "a/b"}}})
    assert judge_datasets(load(path), Heard()) == {}

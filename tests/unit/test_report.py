"""Reports: one page that loads nothing, says what the document says, and obeys no word of anyone's data."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import pytest

from bundler.agent.executable import executable
from bundler.report import evaluation_page, plan_page
from bundler.report.evaluation_page import SHOWN
from tests.reports import (
    FIXTURES,
    HOSTILE,
    TITLE,
    document,
    evaluation,
    hostile,
    names,
    page,
    real_plan,
    whole_plan,
)


class Reading(HTMLParser):
    """Elements with their attributes, and the words outside of them."""

    def __init__(self, written: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.attributes: Counter[str] = Counter()
        self.words: list[str] = []
        self.feed(written)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes.update(name for name, _ in attrs)

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def said(self) -> str:
        return " ".join(" ".join(self.words).replace("\N{NO-BREAK SPACE}", " ").split())


@pytest.mark.parametrize("name", names())
def test_a_page_loads_nothing_and_runs_nothing_so_that_it_opens_behind_the_gap(name: str) -> None:
    written = page(document(name))
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    assert f'<meta http-equiv="Content-Security-Policy" content="{policy}">' in written
    assert not re.search(r"https?:|//[a-z]|@import|url\(|<script|<link(?! rel=\"icon\" href=\"data:,\")", written)
    assert not {name for name in Reading(written).attributes if name.startswith("on")}


@pytest.mark.parametrize("name", names())
def test_no_word_of_a_dataset_or_a_model_becomes_an_element_of_the_page(name: str) -> None:
    kind, spoiled = Reading(page(document(name))), Reading(page(hostile(document(name))))
    new = {"onerror", "src"} & spoiled.attributes.keys()
    assert (spoiled.tags - kind.tags).keys() <= {"circle", "rect", "text", "title"}  # more parts and labels, at most
    assert not new
    assert "<script>window.taken = 1</script>" in spoiled.said
    assert "{{ 7 * 7 }}" in spoiled.said


def test_letters_that_a_terminal_or_a_disk_would_choke_on_are_shown_or_replaced() -> None:
    written = page(hostile(evaluation()))
    assert written.encode()
    assert not {"\x1b", "\N{RIGHT-TO-LEFT OVERRIDE}"} & set(written)
    assert "\N{SYMBOL FOR ESCAPE}[31m" in written


def test_the_words_below_the_title_are_the_figures_of_the_document() -> None:
    said = Reading(plan_page(real_plan(), TITLE)).said
    for one in (
        f"{TITLE} Fits Training takes 29.7 GB of each GPU's 48.0 GB.",
        "torch's own peak, 24.2 GB , with the interval of the prediction: 21.3 GB to 27.1 GB.",
        "A weights 16.4 GB 34 %",
        "all of it 29.7 GB 62 %",
        "The KV cache holds 387 968 tokens",
        "10 of 10 records are kept",
    ):
        assert one in said, said


def test_a_plan_with_everything_says_all_of_it() -> None:
    said = Reading(plan_page(whole_plan(), TITLE)).said
    for one in (
        "Does not fit Training takes 70.6 GB of each GPU, and a GPU has 48.0 GB.",
        "What would make it fit",
        "evaluate shares 11 records with the training",
        "an odd number of messages 14",
        "1 521 12 % of 12 404 that were counted",
        "No token lengths: the tokenizer.json of model base is not at hand",
        "also in data to measure on data/maintenance.json, record 7, line 71; … 11",
        "data/maintenance.json, record 912, line 9121 10 188",
        "Dataset manuals was not judged.",
        "builder at least 96.1 GB",
        "? image train, unpacked in the engine no lock states its size yet not known",
        "intranet host 80.7 GB",
        "at least 42 min 33 s in all. Not counted: image train, unpacked in the engine.",
        "push 115 MB/s, stated 80.7 GB 11 min 41 s",
        "all of it at least 42 min 33 s",
    ):
        assert one in said, said


@pytest.mark.parametrize("absent", ["disk", "time", "findings", "train", "serve", "services", "together", "evaluate"])
def test_a_part_that_the_document_lacks_is_left_out_and_the_rest_is_there(absent: str) -> None:
    whole = whole_plan()
    without, null = dict(whole), {**whole, absent: None}
    del without[absent]
    assert plan_page(without, TITLE) == plan_page(null, TITLE)
    heads = {"disk": "Disk along", "time": "Time along", "findings": "evaluate shares"}
    titles = {"train": "Training", "serve": "Serving", "services": "Service judge", "evaluate": "Evaluation"}
    heads |= {member: f"<h3>{title}</h3>" for member, title in (titles | {"together": "Servers together"}).items()}
    for member, head in heads.items():
        assert (head in plan_page(without, TITLE)) is (member != absent)


@pytest.mark.parametrize("member", ["lengths", "warnings"])
def test_a_dataset_that_was_not_counted_has_no_empty_chart(member: str) -> None:
    plan = whole_plan()
    del plan["data"]["maintenance"][member]
    written = plan_page(plan, TITLE)
    assert "12" in written
    assert ("Token lengths" in written) is (member != "lengths")
    assert ("empty answers" in written) is (member != "warnings")


def test_a_plan_of_a_cpu_claims_nothing_about_memory() -> None:
    plan = {"gpu_bytes": 0, "gpus": 0, "fits": True, "train": None, "serve": None, "data": {}, "format": 1}
    said = Reading(plan_page(plan, TITLE)).said
    assert "No objection It runs on a CPU, whose memory is not planned." in said
    assert "Memory of each GPU" not in said


def test_memory_that_is_not_planned_is_not_called_memory_that_fits() -> None:
    plan = real_plan() | {"not_planned": {"serve": "model base: its type is not counted"}, "serve": None}
    plan["findings"] = [{"severity": "warn", "what": "The memory of serve is not planned.", "why": "its type"}]
    said = Reading(plan_page(plan, TITLE)).said
    assert f"{TITLE} Not planned: serve The memory of serve is not planned, so nothing is said of it. What is" in said
    assert "What is planned, training, fits." in said
    nothing = Reading(plan_page(plan | {"train": None}, TITLE)).said
    assert "Not planned The memory of serve is not planned, so nothing is said of it." in nothing
    assert "What is planned" not in nothing
    assert "warning The memory of serve is not planned. its type" in said


def test_a_dataset_that_the_training_would_die_of_is_the_headline_though_the_memory_fits() -> None:
    plan = real_plan()
    plan["data"]["maintenance"] |= {"usable": False, "failure": "record 3: no messages"}
    said = Reading(plan_page(plan, TITLE)).said
    assert f"{TITLE} Can't work Dataset maintenance ends the training before its first step." in said
    assert "record 3: no messages" in said


def test_a_tight_plan_is_not_called_one_that_fits() -> None:
    plan = real_plan()
    plan["train"] |= {"verdict": "tight"}
    assert f"{TITLE} Tight Training takes 29.7 GB" in Reading(plan_page(plan, TITLE)).said


def test_an_evaluation_says_what_got_better_and_shows_the_answers() -> None:
    said = Reading(evaluation_page(evaluation())).said
    for one in (
        "Better in 4 of 4 figures ROUGE-L 12.90 before and 94.88 after.",
        "Tuned answers as expected 2 67 %",
        "BLEU-4 3.21 91.50 +88.29",
        "Tuned (as expected) The code of the red pump is BUNDLE-OK-RP3.",
    ):
        assert one in said, said


def test_a_model_that_got_worse_is_not_praised() -> None:
    worse = evaluation()
    worse["metrics"]["tuned"]["rouge-l"] = 1.0
    assert "Worse in 1 of 4 figures ROUGE-L 12.90 before and 1.00 after." in Reading(evaluation_page(worse)).said


def test_thousands_of_answers_make_no_page_that_a_browser_dies_of_and_the_rest_is_told() -> None:
    many = evaluation()
    many["answers"] = many["answers"][:1] * (SHOWN + 1200)
    written = evaluation_page(many)
    assert written.count("<article") == SHOWN
    assert "The other 1\N{NARROW NO-BREAK SPACE}200 answers are in the results." in written


def test_the_node_makes_the_page_with_nothing_but_the_agent(tmp_path: Path) -> None:
    (tmp_path / "bundle").write_bytes(executable())
    code = (
        "import json, sys; sys.path.insert(0, sys.argv[1]); from bundler.report import evaluation_page;"
        "sys.stdout.buffer.write(evaluation_page(json.load(open(sys.argv[2]))).encode())"
    )
    arguments = [str(tmp_path / "bundle"), str(FIXTURES / "reports/evaluation.json")]
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code, *arguments], capture_output=True, check=False)
    assert done.stdout.decode() == evaluation_page(evaluation()), done.stderr.decode()


def test_hostile_words_are_hostile() -> None:
    assert Reading(HOSTILE).tags.keys() == {"script", "img"}

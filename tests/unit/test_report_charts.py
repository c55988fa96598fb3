"""The charts of a report: what is drawn is as long as what is counted."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bundler.report.data import datasets
from bundler.report.figures import count, on_axis, per_cent, ticks
from bundler.report.histogram import Bucket, histogram
from bundler.report.memory import serving_bar, training_bar
from bundler.report.parts import parts
from bundler.report.path import disk, time
from bundler.report.svg import element, figure, text
from tests.reports import Document, real_plan, whole_plan

GB = 1_000_000_000


def boxes(chart: str, kind: str) -> Sequence[tuple[float, float]]:
    """Start and width, in percent of the chart, of each box of this kind."""
    found = re.findall(rf'<rect class="{kind}[^"]*" x="([\d.]+)%" y="[\d.]+" width="([\d.]+)%"', chart)
    return [(float(x), float(width)) for x, width in found]


def lines(chart: str, kind: str) -> Sequence[tuple[float, float]]:
    found = re.findall(rf'<line class="{kind}" x1="([\d.]+)%" y1="[\d.]+" x2="([\d.]+)%"', chart)
    return [(float(x1), float(x2)) for x1, x2 in found]


def test_the_parts_of_a_bar_lie_end_to_end_and_are_as_wide_as_their_share() -> None:
    per_gpu = real_plan()["train"]["per_gpu"]
    chart = training_bar(per_gpu, 48 * GB).chart
    drawn = boxes(chart, "part")
    ((_, whole),) = boxes(chart, "track")
    assert drawn[0][0] == 0
    for (left, width), (following, _) in pairwise(drawn):
        assert left + width == pytest.approx(following, abs=0.01)
    assert drawn[0][1] / whole == pytest.approx(per_gpu["breakdown"]["weights"] / (48 * GB), abs=0.0005)
    assert sum(width for _, width in drawn) / whole == pytest.approx(per_gpu["device_bytes"] / (48 * GB), abs=0.0005)


def test_the_interval_lies_where_the_prediction_puts_it() -> None:
    per_gpu = real_plan()["train"]["per_gpu"]
    chart = training_bar(per_gpu, 48 * GB).chart
    ((_, whole),) = boxes(chart, "track")
    low, high = lines(chart, "whisker")[0]
    assert low / whole == pytest.approx(per_gpu["low_bytes"] / (48 * GB), abs=0.0005)
    assert high / whole == pytest.approx(per_gpu["high_bytes"] / (48 * GB), abs=0.0005)
    peak = re.search(r'<circle class="peak" cx="([\d.]+)%"', chart)
    assert peak
    assert float(peak[1]) / whole == pytest.approx(per_gpu["peak_bytes"] / (48 * GB), abs=0.0005)


def test_what_goes_beyond_the_gpu_is_marked_and_nothing_else() -> None:
    fits, bursts = real_plan()["train"]["per_gpu"], whole_plan()["train"]["per_gpu"]
    assert not boxes(training_bar(fits, 48 * GB).chart, "beyond")
    chart = training_bar(bursts, 48 * GB).chart
    ((left, width),), ((end, _),) = boxes(chart, "beyond"), lines(chart, "limit")
    assert left == end
    assert left + width == pytest.approx(sum(boxes(chart, "part")[-1]), abs=0.01)


def test_a_server_is_drawn_with_the_budget_that_it_is_given() -> None:
    per_gpu = real_plan()["serve"]["per_gpu"]
    bar = serving_bar(per_gpu, 48 * GB, "serve")
    assert {"weights", "activations", "KV cache"} <= {part.name for part in bar.parts}
    ((at, end),) = lines(bar.chart, "budget")
    ((limit, _),) = lines(bar.chart, "limit")
    assert at == end == pytest.approx(limit * per_gpu["budget_bytes"] / (48 * GB), abs=0.001)


def test_a_part_that_this_page_does_not_know_is_shown_all_the_same() -> None:
    breakdown = {"weights": 3 * GB, "graph_pool": GB, "nothing": 0}
    assert [(part.name, part.letter) for part in parts(breakdown)] == [("weights", "A"), ("graph pool", "B")]


@settings(deadline=None)  # a machine that is busy with other things
@given(st.dictionaries(st.text(min_size=1), st.integers(0, 10**12), max_size=40), st.integers(1, 10**12))
def test_any_breakdown_stays_inside_the_chart(breakdown: dict[str, int], gpu_bytes: int) -> None:
    chart = training_bar({"breakdown": breakdown}, gpu_bytes).chart
    assert all(left >= 0 and left + width <= 100 for left, width in boxes(chart, "part"))


@pytest.mark.parametrize(
    ("cutoff", "drawn"),
    [(4, 50.0), (6, 75.0), (8, 100.0), (0, None), (99, None)],
)
def test_the_cut_is_drawn_between_what_it_keeps_and_what_it_cuts(cutoff: int, drawn: float | None) -> None:
    chart = histogram("pumps", (Bucket(1, 5, 10), Bucket(5, 9, 5)), cutoff)
    assert [left for left, _ in lines(chart, "limit")] == ([] if drawn is None else [drawn])


def test_columns_behind_the_cut_look_different_and_one_that_holds_it_is_split() -> None:
    chart = histogram("pumps", (Bucket(1, 5, 10), Bucket(5, 9, 5)), 6)
    assert boxes(chart, "part blue") == [(0, 50), (50, 25)]
    assert boxes(chart, "part orange") == [(75, 25)]


def test_a_column_of_one_record_beside_one_of_a_million_is_still_seen() -> None:
    chart = histogram("pumps", (Bucket(1, 5, 1_000_000), Bucket(5, 9, 1)), 99)
    assert 'height="1"' in chart


def test_records_that_are_neither_kept_nor_dropped_are_drawn_as_neither() -> None:
    (found,) = datasets({"pumps": {**_dataset(), "records": 10, "kept": 5, "dropped": 1}})
    assert found.chart is not None
    assert boxes(found.chart, "part mint") == [(0, 50)]
    assert boxes(found.chart, "part orange") == [(50, 10)]


def test_a_part_has_the_same_letter_on_every_machine() -> None:
    found = disk(whole_plan()["disk"])
    assert found is not None
    looks = {(part.name, part.letter, part.colour) for machine in found.machines for part in machine.parts}
    assert len({name for name, _, _ in looks}) == len(looks)
    assert len({letter for _, letter, _ in looks}) == len(looks)


def test_a_step_begins_where_the_one_before_it_ends() -> None:
    found = time(whole_plan()["time"])
    assert found is not None
    drawn = boxes(found.chart, "part")
    assert len(drawn) == len(found.steps)
    for (left, width), (following, _) in pairwise(drawn):
        assert left + width == pytest.approx(following, abs=0.01)
    assert found.total == pytest.approx(sum(step.seconds for step in found.steps))


def test_a_step_of_which_nothing_was_counted_is_not_said_to_take_no_time() -> None:
    step = {"step": "load", "seconds": 0.0, "bytes": 0, "bytes_per_second": 8e7, "basis": "assumed"}
    found = time({"steps": [{**step, "without": ["image train"]}]})
    assert found is not None
    assert found.steps[0].duration == "not known"
    assert "load not known" in found.chart
    assert found.duration.startswith("at least")


@pytest.mark.parametrize("seconds", [0.0, 0.004, 1.0, 7e5])
def test_a_path_of_any_length_can_be_drawn(seconds: float) -> None:
    step = {"step": "push", "seconds": seconds, "bytes": 0, "bytes_per_second": 0.0, "basis": "assumed"}
    found = time({"steps": [step]})
    assert found is not None
    assert 1 <= found.chart.count('class="grid"') <= 7


@settings(deadline=None)  # a machine that is busy with other things
@given(st.floats(1e-3, 1e15))
def test_a_scale_has_few_round_marks_and_none_beyond_its_end(highest: float) -> None:
    found = ticks(highest)
    assert 2 <= len(found) <= 6
    assert found[0] == 0
    assert found[-1] <= highest * 1.000001


@pytest.mark.parametrize(
    ("part", "said"),
    [(0, "0 %"), (0.0002, "< 0.1 %"), (0.003, "0.3 %"), (0.5, "50 %"), (0.9999, "99.9 %"), (1.47, "147 %")],
)
def test_a_little_is_not_nothing_and_almost_all_is_not_all(part: float, said: str) -> None:
    assert per_cent(part).replace("\N{NARROW NO-BREAK SPACE}", " ") == said


def test_a_scale_has_no_needless_noughts() -> None:
    assert [on_axis(label) for label in ("20.0 GB", "10 min 0 s", "2 h 0 min", "2 h 30 min", "0.5 s", "20.5 GB")] == [
        "20 GB",
        "10 min",
        "2 h",
        "2 h 30 min",
        "0.5 s",
        "20.5 GB",
    ]
    assert count(1234567) == "1\N{NARROW NO-BREAK SPACE}234\N{NARROW NO-BREAK SPACE}567"


def test_words_in_a_chart_are_escaped() -> None:
    drawn = figure("a<b", "c&d", 10, [text(0, 0, "<script>", "label")])
    assert "<title>a&lt;b</title><desc>c&amp;d</desc>" in drawn
    assert ">&lt;script&gt;</text>" in drawn
    assert 'onload="' not in element("g", {"class": '" onload="x'})


def _dataset() -> Document:
    return {"usable": True, "reasons": {}, "records_dropped": [], "failure": None, "unread": None, "notes": []}

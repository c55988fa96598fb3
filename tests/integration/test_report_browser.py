"""Reports as a browser lays them out: nothing is loaded, nothing overlaps, nothing runs over the edge of a phone."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser import Page, browsing
from tests.reports import document, hostile, names, page, real_plan, whole_plan

PHONE, DESK = 360, 1280

LAYOUT = (Path(__file__).parents[1] / "layout.js").read_text()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """One browser with one tab."""
    with browsing(tmp_path_factory.mktemp("profile")) as tab:
        yield tab


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], Path]:
    """Put a page where the browser reads it."""

    def written(text: str) -> Path:
        path = tmp_path / "report.html"
        path.write_text(text)
        return path

    return written


@pytest.mark.parametrize("name", names())
@pytest.mark.parametrize("width", [PHONE, 768, DESK])
def test_all_of_a_page_is_to_be_seen_at_this_width(
    name: str, width: int, browser: Page, write: Callable[[str], Path]
) -> None:
    path = write(page(document(name)))
    browser.open(path, width=width)
    assert browser.complaints() == []
    assert browser.requests() == [path.as_uri()]
    assert browser.run("document.documentElement.scrollWidth") <= width
    assert browser.run(LAYOUT + "outside()") == []
    assert browser.run(LAYOUT + "overlaps()") == []
    assert browser.run(LAYOUT + "empty()") == []
    assert browser.run("document.querySelectorAll('svg.chart').length") >= 1


@pytest.mark.parametrize("name", names())
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_every_word_stands_out_from_its_ground(
    name: str, dark: bool, browser: Page, write: Callable[[str], Path]
) -> None:
    browser.open(write(page(document(name))), dark=dark)
    assert ("rgb(22, 25, 29)" in stands_out(browser)) is dark


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_letters_in_the_bars_stand_out_from_their_parts(
    dark: bool, browser: Page, write: Callable[[str], Path]
) -> None:
    browser.open(write(page(whole_plan())), dark=dark)
    parts = set(browser.run("[...document.querySelectorAll('.part')].map(one => getComputedStyle(one).fill)"))
    (ink,) = set(browser.run("[...document.querySelectorAll('.letter')].map(one => getComputedStyle(one).fill)"))
    assert len(parts) >= 10
    assert {part: contrast(ink, part) for part in parts if contrast(ink, part) < 4.5} == {}


def test_a_bar_is_as_long_on_the_screen_as_its_bytes_are_of_the_gpu(
    browser: Page, write: Callable[[str], Path]
) -> None:
    plan = real_plan()
    browser.open(write(page(plan)))
    weights, gpu = browser.run(
        "['.part', '.track'].map(one => document.querySelector('svg.chart ' + one).getBoundingClientRect().width)"
    )
    expected = plan["train"]["per_gpu"]["breakdown"]["weights"] / plan["gpu_bytes"]
    assert weights / gpu == pytest.approx(expected, abs=0.005)


@pytest.mark.parametrize("name", ["reports/plan-whole.json", "reports/evaluation.json"])
def test_words_of_a_dataset_or_a_model_run_nothing_and_break_no_layout(
    name: str, browser: Page, write: Callable[[str], Path]
) -> None:
    path = write(page(hostile(document(name))))
    for width in (PHONE, DESK):
        browser.open(path, width=width)
        assert browser.complaints() == []
        assert browser.requests() == [path.as_uri()]
        assert browser.run("typeof window.taken") == "undefined"
        assert browser.run(LAYOUT + "outside()") == []
        assert browser.run("document.documentElement.scrollWidth") <= width
        assert browser.run("document.querySelectorAll('script, img, iframe, object, form, a').length") == 0


def test_print_is_dark_on_white_and_hides_nothing(browser: Page, write: Callable[[str], Path]) -> None:
    path = write(page(whole_plan()))
    browser.open(path, dark=True, media="print", width=794)  # A4 at 96 dots an inch
    assert browser.run("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    folded = "[...document.querySelectorAll('details table')].map(one => one.checkVisibility())"
    assert set(browser.run(folded)) == {True}
    stands_out(browser)
    assert browser.run("document.documentElement.scrollWidth") <= 794
    browser.open(path, dark=True, width=794)
    assert set(browser.run(folded)) == {False}
    assert browser.run("getComputedStyle(document.body).backgroundColor") == "rgb(22, 25, 29)"


@pytest.mark.parametrize("name", names())
def test_a_reader_who_sees_no_picture_is_told_the_same(name: str, browser: Page, write: Callable[[str], Path]) -> None:
    browser.open(write(page(document(name))))
    nodes = browser.call("Accessibility.getFullAXTree")["nodes"]
    charts = [node for node in nodes if _said(node, "role") in ("image", "img") and not node["ignored"]]
    assert len(charts) == browser.run("document.querySelectorAll('svg.chart').length")
    assert all(_said(chart, "name") for chart in charts)
    large = browser.run("document.querySelectorAll('svg.chart:not(.small)').length")
    assert sum(bool(_said(chart, "description")) for chart in charts) >= large
    heads = browser.run("[...document.querySelectorAll('table')].map(one => one.querySelectorAll('thead th').length)")
    assert heads
    assert all(heads)


def test_the_picture_of_a_page_is_not_blank_and_dark_is_dark(browser: Page, write: Callable[[str], Path]) -> None:
    blank, full = write("<!doctype html><title>blank</title>"), None
    browser.open(blank)
    empty = rows(browser.picture(whole=False))
    full = write(page(whole_plan()))
    seen = {}
    for dark in (False, True):
        browser.open(full, dark=dark)
        seen[dark] = rows(browser.picture(whole=False))
        assert len(set(seen[dark])) > 100 > len(set(empty))
    assert seen[False] != seen[True]


def test_these_tests_see_what_a_page_must_not_do(browser: Page, write: Callable[[str], Path]) -> None:
    bad = page(real_plan()).replace("<h1>", "<script>window.taken = 1</script><h1 style='width: 3000px'>")
    bad = bad.replace("</h1>", "</h1><img src='http://127.0.0.1:9/x.png'>").replace('y="13"', 'y="93"')
    bad = re.sub(r'(<text class="label strong"[^>]*text-anchor="end">)', r"\1 20 GB 30 GB 40 GB ", bad)
    browser.open(write(bad), width=PHONE)
    said = " ".join(browser.complaints())
    assert "script" in said
    assert "x.png" in said
    assert browser.run("typeof window.taken") == "undefined"
    assert browser.run("document.documentElement.scrollWidth") > PHONE
    assert browser.run(LAYOUT + "outside()") != []
    assert browser.run(LAYOUT + "overlaps()") != []


def stands_out(browser: Page) -> set[str]:
    """That each word can be read (WCAG 2.2, 1.4.3: a contrast of 4.5); the grounds on which words stand."""
    found = browser.run(LAYOUT + "colours()")
    body = [(said, contrast(ink, ground)) for said, ink, ground, kind in found if "letter" not in kind.split()]
    assert len(body) > 30
    assert [one for one in body if one[1] < 4.5] == []
    return {ground for _, _, ground, _ in found}


def contrast(ink: str, ground: str) -> float:
    """The ratio of the luminances of two opaque colours (WCAG 2.2, contrast ratio)."""
    light, dark = sorted((_luminance(ink), _luminance(ground)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: str) -> float:
    parts = re.fullmatch(r"rgb\((\d+), (\d+), (\d+)\)", colour)
    assert parts, colour
    red, green, blue = (
        value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4
        for value in (int(part) / 255 for part in parts.groups())
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _said(node: dict[str, Any], member: str) -> str:
    return str(node.get(member, {}).get("value", ""))


def rows(png: bytes) -> list[bytes]:
    """The picture's rows as they are packed: filtered, one byte of filter in front (PNG, section 9)."""
    data, at = b"", 8
    width = int.from_bytes(png[16:20], "big")
    channels = {2: 3, 6: 4}[png[25]]
    while at < len(png):
        size = int.from_bytes(png[at : at + 4], "big")
        if png[at + 4 : at + 8] == b"IDAT":
            data += png[at + 8 : at + 8 + size]
        at += size + 12
    plain, length = zlib.decompress(data), width * channels + 1
    return [plain[start : start + length] for start in range(0, len(plain), length)]

"""GPUs at work as NVML sees them: heat, a lowered limit or a slow link is told, which an idle GPU never shows."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from test_burn import SAMPLES, TWO, read

from bundler.node import burn_script
from bundler.node.burn import Load
from bundler.node.burn_floors import judge
from bundler.node.findings import Finding, Severity
from bundler.node.gpu_samples import Readings, Sample, readings, sampling

WARN, BLOCK, UNREADABLE = Severity.WARN, Severity.BLOCK, Severity.UNREADABLE
CHECKS = ("burn-clocks", "burn-temperature", "burn-pcie")


def told(check: str, samples: tuple[Sample, ...], unsampled: str = "") -> Finding:
    burn = replace(TWO, samples=samples, unsampled=unsampled)
    return next(found for found in judge(burn, read("h100x2")) if found.check == check)


def worse(times: int = 99, **changed: Any) -> tuple[Sample, ...]:
    """The samples, made up of two H100 that are well, with the second one's first busy ones changed."""
    at_work = [each for each in SAMPLES if each.gpu == 1 and (each.busy or 0) > 90][:times]
    return tuple(replace(each, **changed) if each in at_work else each for each in SAMPLES)


@pytest.mark.parametrize(
    ("check", "samples", "severity", "said"),
    [
        (
            "burn-clocks",
            worse(reasons=0x48),
            BLOCK,
            "GPU 1 at work is slowed down: hardware slowdown in 6 of 6 samples",
        ),
        ("burn-clocks", worse(reasons=0x20), WARN, "software thermal slowdown"),
        ("burn-clocks", worse(2, reasons=0x80), WARN, "power brake in 2 of 6 samples"),
        ("burn-clocks", worse(clock=900), WARN, "GPU 1 at work runs at 45% of its highest clock, held by the limit of"),
        ("burn-clocks", worse(clock=900, reasons=0x02), WARN, "held by clocks that somebody set"),
        ("burn-clocks", worse(clock=900, reasons=0), WARN, "at 45% of its highest clock"),
        ("burn-clocks", worse(limit=350.0), WARN, "the power of GPU 1 is limited to 350 W, its usual limit is 700 W"),
        ("burn-clocks", tuple(replace(each, clock=None) for each in SAMPLES), UNREADABLE, "could not be read"),
        ("burn-temperature", worse(1, temperature=85, margin=2), WARN, "GPU 1 at work has 85 degrees, 2 before"),
        ("burn-temperature", worse(1, temperature=89, margin=-2), WARN, "-2 before"),
        ("burn-temperature", tuple(replace(each, margin=None) for each in SAMPLES), UNREADABLE, "could not be read"),
        ("burn-pcie", worse(generation=1), WARN, "the link of GPU 1 runs at PCIe 1 at work, it could at 5"),
        ("burn-pcie", tuple(replace(each, generation=None) for each in SAMPLES), UNREADABLE, "could not be read"),
    ],
)
def test_what_a_gpu_at_work_shows_is_judged(
    check: str, samples: tuple[Sample, ...], severity: Severity, said: str
) -> None:
    found = told(check, samples)
    assert (found.severity, said in found.what) == (severity, True), found
    assert found.why


def test_what_is_usual_of_a_busy_gpu_and_what_an_idle_one_does_is_no_fault() -> None:
    """The limit of power holds it; one sample of a slowdown may be a change of clocks; idle, clock and link are low."""
    assert told("burn-clocks", SAMPLES).what == "85% of the highest clock on the slowest, nothing slowed down"
    assert told("burn-clocks", worse(1, reasons=0x48)).severity is Severity.PASS
    assert told("burn-temperature", SAMPLES).what == "the hottest has 60 degrees, 27 before it slows down"
    assert told("burn-pcie", SAMPLES).what == "PCIe 5 at work"


def test_how_much_was_kept_up_is_told() -> None:
    burn = replace(TWO, loads=(Load(0, 10.1, 6.9e14), Load(1, 10.0, 6.8e14)))
    found = next(each for each in judge(burn, read("h100x2")) if each.check == "burn-clocks")
    assert found.what.endswith("; 680 TFLOP/s kept up for 10 s")


@pytest.mark.parametrize("check", CHECKS)
def test_without_a_sample_of_a_busy_gpu_nothing_is_claimed(check: str) -> None:
    assert told(check, (), "NVML: Driver Not Loaded").why == "NVML: Driver Not Loaded"
    idle = told(check, tuple(replace(each, busy=0) for each in SAMPLES))
    assert (idle.severity, idle.why) == (UNREADABLE, "GPU 0, 1 was not seen at work")


def test_a_gpu_that_was_not_seen_at_work_is_not_called_well_and_hides_no_other() -> None:
    one_idle = tuple(replace(each, busy=0) if each.gpu == 0 else each for each in SAMPLES)
    assert told("burn-clocks", one_idle).why == "GPU 0 was not seen at work"
    slow = tuple(replace(each, busy=0) if each.gpu == 0 else each for each in worse(generation=1))
    assert told("burn-pcie", slow).severity is WARN
    silent = tuple(replace(each, reasons=None) for each in SAMPLES)
    assert told("burn-clocks", silent).what.endswith("what holds it is not told")


class FakeError(Exception):
    """As NVML's."""


class FakeNvml:
    """Two GPUs; what is asked of them is answered by `answers`, or refused."""

    NVMLError = FakeError

    def __init__(self, answers: dict[str, object], starts: bool = True) -> None:
        self._answers, self._starts = answers, starts
        self.ended = False

    def nvmlInit(self) -> None:
        if not self._starts:
            raise FakeError("Driver Not Loaded")

    def nvmlShutdown(self) -> None:
        self.ended = True

    def nvmlDeviceGetCount(self) -> int:
        return 2

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        return index

    def __getattr__(self, name: str) -> Callable[..., object]:
        def answer(*_: object) -> object:
            if name not in self._answers:
                raise FakeError("Not Supported")
            return self._answers[name]

        return answer


def test_each_gpu_is_asked_and_what_it_does_not_tell_hides_nothing_else() -> None:
    nvml = FakeNvml({"nvmlDeviceGetTemperature": 71, "nvmlDeviceGetPowerUsage": 275_000})
    asked = readings(nvml)
    first = next(asked)
    assert [each.gpu for each in first] == [0, 1]
    assert replace(first[1], at=0.0) == Sample(1, 0.0, temperature=71, power=275.0)
    asked.close()
    assert nvml.ended


def test_the_margin_is_told_by_new_cards_and_computed_of_old_ones() -> None:
    old = {"nvmlDeviceGetTemperature": 71, "nvmlDeviceGetTemperatureThreshold": 95}
    assert next(readings(FakeNvml(old)))[0].margin == 24
    assert next(readings(FakeNvml({**old, "nvmlDeviceGetMarginTemperature": 16})))[0].margin == 16


def test_samples_are_taken_while_the_block_runs_and_not_after_it() -> None:
    enough = threading.Event()
    closed = threading.Event()

    def reading() -> Readings:
        try:
            for at in range(1_000_000):
                yield (Sample(0, at), Sample(1, at))
                if at == 3:
                    enough.set()
        finally:
            closed.set()

    with sampling(reading, interval=0.001) as samples:
        assert enough.wait(30)
    assert closed.is_set()
    assert len(samples.taken) >= 8
    assert samples.problem == ""


def test_nvml_that_does_not_answer_stops_no_burn_in() -> None:
    refused = threading.Event()

    def reading() -> Readings:
        try:
            yield from readings(FakeNvml({}, starts=False))
        finally:
            refused.set()

    with sampling(reading) as samples:
        assert refused.wait(30)
    assert (samples.taken, samples.problem) == ([], "NVML: Driver Not Loaded")


class FakeTorch:
    """Products that take a second each fifty, by a clock of its own."""

    bfloat16 = "bfloat16"

    def __init__(self) -> None:
        self.products = 0
        self.cuda = self

    def randn(self, *_: object, **__: object) -> FakeTorch:
        return self

    def __matmul__(self, _other: object) -> None:
        self.products += 1

    def synchronize(self) -> None:
        pass


def test_the_gpus_are_kept_busy_for_ten_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else NVML, which tells the clocks of a moment, is asked about GPUs that have nothing to do."""
    torch = FakeTorch()
    looks: Iterator[float] = iter(range(1000))
    monkeypatch.setattr("bundler.node.burn_script.time.monotonic", lambda: next(looks))
    measured = burn_script.load(torch, 0)
    assert measured["seconds"] == burn_script.LOAD
    assert torch.products == 10 * burn_script.PRODUCTS
    assert measured["flops"] == 2 * burn_script.MATRIX**3 * burn_script.PRODUCTS

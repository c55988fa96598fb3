"""What the GPUs do while they are put to work: NVML, asked each half second in a thread of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

Value = TypeVar("Value")

INTERVAL = 0.5
"""Seconds between two readings: twenty while the burn-in keeps a GPU busy."""
_SM = 1
"""NVML_CLOCK_SM, and the sensor and threshold below, by their numbers in nvml.h."""
_GPU_SENSOR = 0
_SLOWDOWN = 1


@dataclass(frozen=True, slots=True)
class Sample:
    """A GPU at one moment; None is what it does not tell.

    Clocks are MHz, power is watts, `temperature` is degrees Celsius, and `margin` how many more there may be before
    the GPU slows down for it. `usual_limit` is the limit of power that the card has before anybody changes it.
    `reasons` are the bits of NVML's clocks event reasons, `busy` the percent of the last sampling period in which
    something ran.
    """

    gpu: int
    at: float
    busy: int | None = None
    clock: int | None = None
    max_clock: int | None = None
    reasons: int | None = None
    temperature: int | None = None
    margin: int | None = None
    power: float | None = None
    limit: float | None = None
    usual_limit: float | None = None
    generation: int | None = None


Readings = Generator[tuple[Sample, ...], None, None]
"""One reading of all GPUs each time that it is asked."""


@dataclass(slots=True)
class Samples:
    """What has been sampled so far; `problem` says why it ended early, or never began."""

    taken: list[Sample]
    problem: str = ""


@contextmanager
def sampling(read: Callable[[], Readings] | None = None, interval: float = INTERVAL) -> Iterator[Samples]:
    """Sample for the length of a block.

    What NVML refuses ends the sampling and nothing else: the burn-in is worth more than what is seen beside it.
    """
    samples = Samples([])
    over = threading.Event()

    def sample() -> None:
        try:
            with closing((read or _readings)()) as all_readings:
                for reading in all_readings:
                    samples.taken.extend(reading)
                    if over.wait(interval):
                        return
        except (OSError, RuntimeError) as error:
            samples.problem = str(error)

    thread = threading.Thread(target=sample, name="gpu-samples", daemon=True)
    thread.start()
    try:
        yield samples
    finally:
        over.set()
        thread.join()


def _readings() -> Readings:
    """Readings without end. Raises RuntimeError where NVML does not answer."""
    import pynvml

    yield from readings(pynvml)


def readings(nvml: Any) -> Readings:
    """The same, of this binding of NVML."""
    try:
        nvml.nvmlInit()
    except nvml.NVMLError as error:
        raise RuntimeError(f"NVML: {error}") from error
    began = time.monotonic()
    try:
        handles = [nvml.nvmlDeviceGetHandleByIndex(index) for index in range(nvml.nvmlDeviceGetCount())]
        while True:
            at = round(time.monotonic() - began, 1)
            yield tuple(_sample(nvml, handle, index, at) for index, handle in enumerate(handles))
    except nvml.NVMLError as error:
        raise RuntimeError(f"NVML: {error}") from error
    finally:
        nvml.nvmlShutdown()


def _sample(nvml: Any, handle: Any, index: int, at: float) -> Sample:
    def ask(question: Callable[[], Value]) -> Value | None:
        try:
            return question()
        except (nvml.NVMLError, AttributeError):
            return None

    temperature = ask(lambda: int(nvml.nvmlDeviceGetTemperature(handle, _GPU_SENSOR)))
    slowdown = ask(lambda: int(nvml.nvmlDeviceGetTemperatureThreshold(handle, _SLOWDOWN)))
    return Sample(
        gpu=index,
        at=at,
        busy=ask(lambda: int(nvml.nvmlDeviceGetUtilizationRates(handle).gpu)),
        clock=ask(lambda: int(nvml.nvmlDeviceGetClockInfo(handle, _SM))),
        max_clock=ask(lambda: int(nvml.nvmlDeviceGetMaxClockInfo(handle, _SM))),
        reasons=ask(lambda: int(nvml.nvmlDeviceGetCurrentClocksEventReasons(handle))),
        temperature=temperature,
        margin=_margin(ask(lambda: int(nvml.nvmlDeviceGetMarginTemperature(handle))), temperature, slowdown),
        power=ask(lambda: nvml.nvmlDeviceGetPowerUsage(handle) / 1000),
        limit=ask(lambda: nvml.nvmlDeviceGetEnforcedPowerLimit(handle) / 1000),
        usual_limit=ask(lambda: nvml.nvmlDeviceGetPowerManagementDefaultLimit(handle) / 1000),
        generation=ask(lambda: int(nvml.nvmlDeviceGetCurrPcieLinkGeneration(handle))),
    )


def _margin(told: int | None, temperature: int | None, slowdown: int | None) -> int | None:
    """Hopper tells the margin alone (its `T.Limit`), older cards the threshold alone."""
    if told is not None or temperature is None or slowdown is None:
        return told
    return slowdown - temperature

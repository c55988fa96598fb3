"""The burn-in, as it runs inside the training image: torch and the standard library, nothing of this package.

`python3 -c THIS GPUS` writes JSON lines, one for each measurement. What fails is a line with `error`, and the rest
goes on. One process a GPU, forked before anything touches CUDA; bytes are bytes, rates are a second's.
"""

from __future__ import annotations

import glob
import json
import os
import resource
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

MATRIX = 8192
"""Rows and columns of the matrices: large enough that a GPU's tensor cores are busy."""
PRODUCTS = 50
LOAD = 10.0
"""Seconds of products without a pause, long enough that clocks, power and the link are as in training, and are sampled
twenty times from outside. The heat goes on rising for minutes."""
CHUNK = 256 << 20
"""Bytes that are tested at a time; all but a tenth of the free memory is written before anything is read back."""
COPY = 1 << 30
"""Bytes of a copy between host and device; four times as many within the device."""
SIZES = (8 << 20, 256 << 20, 1 << 30)
"""Bytes of an all-reduce. Bus bandwidth is algorithm bandwidth x 2(n-1)/n (nccl-tests, doc/PERFORMANCE.md)."""
ROUNDS = 20


def say(step: str, **values: Any) -> None:
    """One line at once: lines of several processes must not mix."""
    os.write(1, (json.dumps({"step": step, **values}) + "\n").encode())


def matmul(torch: Any, gpu: int) -> dict[str, Any]:
    """A product in bfloat16 against one in float32, row by row; then the rate."""
    generator = torch.Generator(device="cuda").manual_seed(gpu)
    left, right = (torch.randn(MATRIX, MATRIX, device="cuda", generator=generator).to(torch.bfloat16) for _ in range(2))
    product = left @ right
    torch.backends.cuda.matmul.allow_tf32 = False
    exact = left[:256].float() @ right.float()
    # a sum of MATRIX products of normal numbers is about sqrt(MATRIX); bfloat16 keeps 8 bits of it
    error = float((product[:256].float() - exact).abs().max()) / MATRIX**0.5
    same = all(bool(torch.equal(left @ right, product)) for _ in range(3))
    for _ in range(10):
        left @ right
    seconds = timed(torch, lambda: [left @ right for _ in range(PRODUCTS)])
    return {"error": error, "repeats": same, "flops": 2 * MATRIX**3 * PRODUCTS / seconds}


def memory(torch: Any, _gpu: int) -> dict[str, Any]:
    """Write patterns to nearly all free memory, then read them back; count the words that differ."""
    free, _total = torch.cuda.mem_get_info()
    chunks = [torch.empty(CHUNK // 8, dtype=torch.int64, device="cuda") for _ in range(int(free * 0.9) // CHUNK - 1)]
    count = torch.arange(CHUNK // 8, dtype=torch.int64, device="cuda")
    wrong = 0
    began = time.monotonic()
    for pattern in (0x5555555555555555, -0x5555555555555556):  # 0101... and 1010...
        for chunk in chunks:
            chunk.fill_(pattern)
        wrong += sum(int((chunk != pattern).sum()) for chunk in chunks)
    for number, chunk in enumerate(chunks):  # each word its own address, which finds lines that are crossed
        torch.add(count, number * CHUNK, out=chunk)
    for number, chunk in enumerate(chunks):
        wrong += int((chunk - number * CHUNK != count).sum())
    torch.cuda.synchronize()
    return {"bytes": len(chunks) * CHUNK, "wrong": wrong, "seconds": time.monotonic() - began}


def device_memory(torch: Any, _gpu: int) -> dict[str, Any]:
    """The rate at which the GPU copies within its own memory, bytes read and written."""
    source = torch.ones(COPY, dtype=torch.float32, device="cuda")
    target = torch.empty_like(source)
    target.copy_(source)
    seconds = timed(torch, lambda: [target.copy_(source) for _ in range(20)])
    return {"rate": 2 * 4 * COPY * 20 / seconds}


def copies(torch: Any, _gpu: int) -> dict[str, Any]:
    """Host to device and back, from pinned memory; and whether what came back is what went."""
    host = torch.randint(0, 255, (COPY,), dtype=torch.uint8).pin_memory()
    back = torch.empty_like(host).pin_memory()
    device = torch.empty(COPY, dtype=torch.uint8, device="cuda")
    device.copy_(host, non_blocking=True)
    there = timed(torch, lambda: [device.copy_(host, non_blocking=True) for _ in range(5)])
    again = timed(torch, lambda: [back.copy_(device, non_blocking=True) for _ in range(5)])
    return {"to_device": 5 * COPY / there, "to_host": 5 * COPY / again, "same": bool(torch.equal(host, back))}


def load(torch: Any, _gpu: int) -> dict[str, Any]:
    """Products without a pause, and their rate: what is sampled from outside meanwhile is a GPU at work."""
    left, right = (torch.randn(MATRIX, MATRIX, dtype=torch.bfloat16, device="cuda") for _ in range(2))
    products, seconds = 0, 0.0
    while seconds < LOAD:
        seconds += timed(torch, lambda: [left @ right for _ in range(PRODUCTS)])
        products += PRODUCTS
    return {"seconds": seconds, "flops": 2 * MATRIX**3 * products / seconds}


def timed(torch: Any, work: Callable[[], object]) -> float:
    """Seconds until the GPU has done it."""
    torch.cuda.synchronize()
    began = time.monotonic()
    work()
    torch.cuda.synchronize()
    return time.monotonic() - began


def rounds(torch: Any, numbers: Any) -> None:
    """As many sums as are timed together."""
    for _ in range(ROUNDS):
        torch.distributed.all_reduce(numbers)


def all_reduce(torch: Any, gpu: int, gpus: int, rendezvous: str) -> Iterator[dict[str, Any]]:
    """The sum of numbers that each rank knows in advance, and how fast it comes."""
    from datetime import timedelta

    torch.distributed.init_process_group(
        "nccl", init_method=f"file://{rendezvous}", rank=gpu, world_size=gpus, timeout=timedelta(seconds=120)
    )
    for size in SIZES:
        numbers = torch.full((size // 2,), float(gpu + 1), dtype=torch.bfloat16, device="cuda")
        torch.distributed.all_reduce(numbers)
        wrong = int((numbers != gpus * (gpus + 1) / 2).sum())
        numbers.zero_()
        for _ in range(3):
            torch.distributed.all_reduce(numbers)
        torch.distributed.barrier()
        seconds = timed(torch, partial(rounds, torch, numbers))
        rate = size * ROUNDS / seconds
        yield {"bytes": size, "wrong": wrong, "algorithm": rate, "bus": rate * 2 * (gpus - 1) / gpus}
    torch.distributed.destroy_process_group()


def run(gpu: int, gpus: int, rendezvous: str) -> None:
    """All measurements of one GPU, then those of all together."""
    import torch  # type: ignore[import-not-found]

    torch.cuda.set_device(gpu)
    properties = torch.cuda.get_device_properties(gpu)
    say(
        "gpu",
        gpu=gpu,
        name=properties.name,
        capability=f"{properties.major}.{properties.minor}",
        torch=torch.__version__,
        cuda=torch.version.cuda or "",
        arches=torch.cuda.get_arch_list(),
    )
    for measure in (matmul, memory, device_memory, copies, load):
        try:
            say(measure.__name__.replace("_", "-"), gpu=gpu, **measure(torch, gpu))
        except Exception as error:  # noqa: BLE001 - whatever a sick GPU makes of it is the finding
            say("failed", gpu=gpu, at=measure.__name__.replace("_", "-"), error=f"{type(error).__name__}: {error}")
        torch.cuda.empty_cache()
    if gpus < 2:
        return
    try:
        for measured in all_reduce(torch, gpu, gpus, rendezvous):
            say("all-reduce", gpu=gpu, **measured)
    except Exception as error:  # noqa: BLE001
        say("failed", gpu=gpu, at="all-reduce", error=f"{type(error).__name__}: {error}")


def nccl_lines(directory: str) -> Iterator[str]:
    """What NCCL_DEBUG=INFO wrote: each thing once, however many ranks and channels say it."""
    seen = set()
    for path in sorted(glob.glob(f"{directory}/nccl.*")):
        with open(path, errors="replace") as log:
            for line in log:
                text = line.split(" NCCL ", 1)[-1].strip()
                if text not in seen and ("Channel" not in text or " 00/" in text):
                    seen.add(text)
                    yield text


def main(gpus: int) -> int:
    """Fork a process for each GPU, wait for all, then tell what NCCL said."""
    status = os.statvfs("/dev/shm")
    say("container", shm=status.f_blocks * status.f_frsize, memlock=resource.getrlimit(resource.RLIMIT_MEMLOCK)[0])
    directory = tempfile.mkdtemp()
    os.environ.setdefault("NCCL_DEBUG", "INFO")
    os.environ["NCCL_DEBUG_FILE"] = f"{directory}/nccl.%p"
    children = []
    for gpu in range(gpus):
        child = os.fork()
        if child == 0:
            try:
                run(gpu, gpus, f"{directory}/rendezvous")
            except BaseException as error:  # noqa: BLE001
                say("failed", gpu=gpu, at="start", error=f"{type(error).__name__}: {error}")
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        children.append((gpu, child))
    for gpu, child in children:
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if code:
            say("failed", gpu=gpu, at="process", error=f"it ended with code {code}")
    for text in nccl_lines(directory):
        say("nccl", text=text)
    say("done", gpus=gpus)
    return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))

"""A workload's container with another command in it: the probe, one training step, or a server that is asked once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from importlib.resources import files

from bundler.core.digest import Digest
from bundler.manifest.lock import Lock, LockedImage, Question, Workload
from bundler.node.needs import setting
from bundler.workloads.api_key import KEY_FILE, behind_key
from bundler.workloads.container import WAY_OUT, Bind, ContainerSpec, Placement, container
from bundler.workloads.paths import ADAPTER, MODEL
from bundler.workloads.way_out import through

PROBES, PLAN, REPORT = "/bundle/probes", "/bundle/plan", "/bundle/report"
ROLE = "rehearse"
ONE_STEP = ("max_steps=1", "save_strategy='no'", "eval_strategy='no'", "logging_steps=1", "plot_loss=false")
"""What LLaMA-Factory is told behind its YAML (0.9.3, hparams/parser.py, read_args): a step, and no checkpoints.

It reads each value as YAML 1.1, in which a bare `no` is false.
"""

_IMPORTS = {
    "train": ("torch", "transformers", "datasets", "peft", "trl", "accelerate", "llamafactory"),
    "vllm": ("torch", "transformers", "vllm"),
    "sglang": ("torch", "transformers", "sglang"),
    "swanlab": ("swanlab",),
}
_LIKE_TRAIN = {"merge": "train", "evaluate": "train", "llamafactory-api": "train", "llamaboard": "train"}
_ASKED_BY = {
    "quantization_bit": "bitsandbytes", "deepspeed": "deepspeed", "use_unsloth": "unsloth",
    "enable_liger_kernel": "liger_kernel", "use_swanlab": "swanlab",
}  # fmt: skip
"""A key of a job's YAML, and the module that LLaMA-Factory imports for it (0.9.3, hparams/parser.py; model/)."""
_WATCH = "watch.py"
_PROBES = (_WATCH, "probe.py", "trainer.py", "server.py", "chat.py")
_CHATS = ("vllm", "sglang", "llamafactory-api")
_PROBED = {"train": "train", "merge": "merge", "evaluate": "evaluate", "llamafactory-api": "api", "vllm": "vllm"}


@dataclass(frozen=True, slots=True)
class Machine:
    """What this machine has for a rehearsal: how many GPUs a container may be given."""

    gpus: int

    def suffices(self, workload: Workload) -> bool:
        """Whether a workload can run here as it is: on the CPU always."""
        return self.gpus >= workload.gpus


def scripts() -> Mapping[str, str]:
    """The probes' files, from the package or from the agent's zip, by the names under which they are written out."""
    place = files("bundler.rehearsal.probes")
    texts = {name: place.joinpath(name).read_text(encoding="utf-8") for name in _PROBES}
    return {"sitecustomize.py" if name == _WATCH else name: text for name, text in texts.items()}


def program(workload: Workload) -> tuple[str, ...]:
    """A workload's command without what stands before it and wants the node: its way out, and the reader of its key."""
    before = len(through(())) if workload.way_out else 0
    before += len(behind_key((), "VARIABLE")) if workload.api_key else 0
    return workload.command[before:]


def one_step(workload: Workload) -> tuple[str, ...]:
    """The command of one training step. What it would report to is not reached from here, so it reports nothing;
    early stopping wants the evaluations that are left out (transformers, EarlyStoppingCallback.on_train_begin).
    """
    quiet = ("use_swanlab=false",) if workload.way_out else ()
    unstopped = ("early_stopping_steps=null",) if setting(workload, "early_stopping_steps") else ()
    return (*program(workload), *ONE_STEP, *quiet, *unstopped)


def imports(workload: Workload) -> tuple[str, ...]:
    """The modules that a workload is known to import, those that its files ask for among them."""
    named = _IMPORTS.get(_LIKE_TRAIN.get(workload.kind, workload.kind), ())
    asked = (module for key, module in _ASKED_BY.items() if setting(workload, key) not in ("", "false"))
    flash = ("flash_attn",) if setting(workload, "flash_attn") == "fa2" else ()
    return tuple(dict.fromkeys((*named, *asked, *flash)))


def probed(workload: Workload) -> bool:
    """Whether there is a probe that knows more of a workload than versions and imports."""
    return workload.kind in _PROBED


def plan(workload: Workload, image: LockedImage, here: Machine, *, known: bool = False) -> dict[str, object]:
    """What the probe is told. Of an image that is `known` already, packages and modules are not asked again."""
    command = program(workload)
    pinned = dict(image.build.packages) if image.build else {}
    told = list(pinned) or [name.replace("_", "-") for name in imports(workload)]
    yaml = next((name for name in workload.files if name.endswith(".yaml") and name != "accelerate.yaml"), "")
    arguments = [command[0], f"/bundle/config/{yaml}"] if yaml else list(command)
    return {
        "kind": _PROBED.get(workload.kind, workload.kind),
        "program": command[0],
        "arguments": arguments,
        "packages": [] if known else told,
        "imports": [] if known else list(imports(workload)),
        "without_gpus": not here.suffices(workload),
    }


def chat_plan(workload: Workload, question: Question | None, patience: int) -> dict[str, object]:
    """What `chat.py` is told; nothing where a service is none that chats."""
    if workload.kind not in _CHATS:
        return {}
    command = program(workload)
    ours = question if question and question.service == workload.name else None
    model = ours.model if ours else _served_name(workload, command)
    return {
        "command": list(command),
        "port": workload.inner or workload.port,
        "health": workload.health,
        "model": model,
        "question": ours.text if ours else "Hello",
        "tokens": ours.max_tokens if ours else 16,
        "patience": patience,
    }


def _served_name(workload: Workload, command: tuple[str, ...]) -> str:
    flag = "--served-model-name"
    after = command[command.index(flag) + 1 :] if flag in command else ()
    return next(iter(after), workload.environment.get("API_MODEL_NAME", MODEL))


def stand_in(workload: Workload, lock: Lock) -> Workload:
    """The workload, with the base model in the place of one that only a training makes: config and tokenizer are its.

    An adapter's mount stays: it is empty, or what one step has left.
    """
    jobs = {one.name: one for one in (*lock.workloads, *lock.evaluations)}

    def source(given: str) -> str:
        for _ in jobs:
            kind, _, name = given.partition("/")
            if kind != "results" or name not in jobs:
                break
            given = next((m.source for m in jobs[name].mounts if m.target == MODEL), given)
        return given

    mounts = (m if m.target == ADAPTER else replace(m, source=source(m.source)) for m in workload.mounts)
    return replace(workload, mounts=tuple(mounts))


def placed(bundle: str, at: Placement) -> Placement:
    """Names of its own, so that a release of the same bundle on the same engine is not in its way."""
    return replace(at, project=f"rehearse-{bundle}")


def trial(
    workload: Workload, image: str, at: Placement, here: Machine, command: tuple[str, ...], path: str = ""
) -> ContainerSpec:
    """The container in which a workload is tried: its own, but for the command, the network and a place to report to.

    `path` is the image's own PYTHONPATH. GPUs are given where all that it needs are here.
    """
    fingerprint = Digest.of("\n".join(command).encode())
    spec = container(workload, image, fingerprint, at)
    own = workload.environment.get("PYTHONPATH", path)
    extra = (
        Bind(str(at.directory / "probes"), PROBES),
        Bind(str(at.directory / "plans" / workload.name), PLAN),
        Bind(str(at.directory / "reports" / workload.name), REPORT, read_only=False),
    )
    return replace(
        spec,
        command=command,
        network="none",
        alias="",
        labels=at.labels(workload.name, ROLE, fingerprint),
        environment={
            **spec.environment,
            "PYTHONPATH": f"{PROBES}:{own}" if own else PROBES,
            "PYTHONDONTWRITEBYTECODE": "1",
            "BUNDLE_PLAN": f"{PLAN}/plan.json",
            "BUNDLE_REPORT": REPORT,
        },
        binds=(*(bind for bind in spec.binds if bind.target not in (KEY_FILE, WAY_OUT)), *extra),
        gpus=spec.gpus if here.suffices(workload) else 0,
    )


def ending(seconds: int, command: Iterable[str], part: str = "") -> tuple[str, ...]:
    """A command that is ended by the kernel after so many seconds: an alarm outlives execve(2)."""
    source = f"import os, signal, sys; signal.alarm({seconds}); os.environ['BUNDLE_PART'] = sys.argv[1]"
    return ("python3", "-c", f"{source}; os.execvp(sys.argv[2], sys.argv[2:])", part or "start", *command)

"""LLaMA-Factory's own API: the trained model answers as it was trained, template and all (LF 0.9.3, api/app.py)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bundler.manifest.lock import Mount, Workload
from bundler.manifest.names import TRAIN
from bundler.workloads.api_key import behind_key
from bundler.workloads.container import CONFIG
from bundler.workloads.flat_yaml import document
from bundler.workloads.paths import ADAPTER, MODEL, OFFLINE, shared_memory

if TYPE_CHECKING:  # pydantic is not where the agent runs
    from bundler.manifest.schema import Target
    from bundler.manifest.serving import LlamaFactoryApi


def serve(name: str, service: LlamaFactoryApi, target: Target, model: str) -> Workload:
    """The service of this name. It takes one GPU: LLaMA-Factory puts the whole model on the current one.

    `/docs` needs no key, and is there once the model is loaded.
    """
    arguments = {
        "model_name_or_path": MODEL,
        **({"adapter_name_or_path": ADAPTER} if service.adapter else {}),
        "template": service.template,
        "trust_remote_code": False,
        "infer_backend": "huggingface",
    }
    command = ("llamafactory-cli", "api", f"{CONFIG}/api.yaml")
    gpus = 1 if target.count else 0
    return Workload(
        name=name,
        kind=service.kind,
        image=service.image,
        command=behind_key(command, "API_KEY") if service.api_key_file else command,
        mounts=(Mount(model, MODEL), *((Mount(f"results/{TRAIN}", ADAPTER),) if service.adapter else ())),
        environment={
            **OFFLINE,
            "API_HOST": "0.0.0.0",  # inside the container; `bind` is the node's side
            "API_PORT": str(service.port),
            "API_MODEL_NAME": service.name,
        },
        files={"api.yaml": document(arguments | service.extra)},
        gpus=gpus,
        port=service.port,
        bind=service.bind,
        health="/docs",
        shm=shared_memory(gpus=gpus),
        api_key=service.api_key_file or "",
    )

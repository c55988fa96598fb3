"""LLaMA Board: LLaMA-Factory's web page, over the models and datasets of the bundle (LF 0.9.3, webui/interface.py)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bundler.manifest.lock import Mount, Workload
from bundler.workloads.container import CONFIG
from bundler.workloads.dataset_info import dataset_info
from bundler.workloads.paths import DATA, MODELS, OFFLINE, STATE, shared_memory

if TYPE_CHECKING:  # pydantic is not where the agent runs
    from bundler.manifest.apps import LlamaBoard
    from bundler.manifest.schema import Manifest

_START = f"cd {STATE} && ln -sfn {CONFIG} data && exec llamafactory-cli webui"
"""It writes `cache`, `config` and `saves`, and looks for `data`, where it is started (LF 0.9.3, webui/common.py)."""


def serve(name: str, service: LlamaBoard, manifest: Manifest) -> Workload:
    """The service of this name. It sees all GPUs, and takes none of their memory before someone trains on it.

    So where there are GPUs it waits for the jobs: one click would end a training that has needed hours.
    """
    datasets = sorted(manifest.datasets.items())
    return Workload(
        name=name,
        kind=service.kind,
        image=service.image,
        command=("sh", "-c", _START),
        mounts=(
            *(Mount(f"models/{model}", f"{MODELS}/{model}") for model in sorted(manifest.models)),
            *(Mount(f"datasets/{dataset}", f"{DATA}/{dataset}") for dataset, _ in datasets),
        ),
        environment={
            **OFFLINE,
            "GRADIO_SERVER_NAME": "0.0.0.0",  # inside the container; `bind` is the node's side
            "GRADIO_SERVER_PORT": str(service.port),
            "GRADIO_SHARE": "0",  # a shared page is a tunnel to the internet, whose program it would download (LF#9753)
            "GRADIO_ANALYTICS_ENABLED": "False",
        },
        files={"dataset_info.json": dataset_info(datasets)},
        gpus=manifest.target.count,
        port=service.port,
        bind=service.bind,
        health="/",
        shm=shared_memory(gpus=manifest.target.count),
        state=(Mount("board", STATE),),
        starts="" if manifest.target.count else "early",
    )

"""What the manifest says of services that people use in a browser."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, Tag

from bundler.manifest.artifacts import one_of
from bundler.manifest.fields import FilePath, VersionField
from bundler.manifest.serving import LlamaFactoryApi, PortField, Service, SglangService, VllmService


class LlamaBoard(Service):
    """LLaMA Board, LLaMA-Factory's web page: trains and chats by hand, with all models and datasets of the bundle.

    They lie under `/bundle/models/NAME`; what it makes stays in the release, under `state/NAME`.
    """

    kind: Literal["llamaboard"] = Field(default="llamaboard", description="What runs.")
    llamaboard: VersionField = Field(description="The version of LLaMA-Factory in that image, in quotes.")
    port: PortField = Field(default=7860, description="The port that it answers on.")


class EasyDataset(Service):
    """Easy Dataset: makes datasets out of documents, with the help of a model. Its data stays in the release.

    A service of this bundle is reached from it as `http://NAME:PORT/v1`.
    """

    kind: Literal["easy-dataset"] = Field(default="easy-dataset", description="What runs.")
    easy_dataset: VersionField = Field(description="The version of Easy Dataset in that image, in quotes.")
    port: PortField = Field(default=1717, description="The port on the node.")


class SwanlabBoard(Service):
    """SwanLab's local dashboard over what the training job logged; the image needs `swanlab[dashboard]`."""

    kind: Literal["swanlab"] = Field(default="swanlab", description="What runs.")
    swanlab: VersionField = Field(description="The version of SwanLab in that image, in quotes.")
    logdir: FilePath = Field(
        default="swanlog", description="Where the logs are, in the training job's results (`swanlab_logdir`)."
    )
    port: PortField = Field(default=5092, description="The port that it answers on.")


AnyService = Annotated[
    Annotated[VllmService, Tag("VllmService")]
    | Annotated[SglangService, Tag("SglangService")]
    | Annotated[LlamaFactoryApi, Tag("LlamaFactoryApi")]
    | Annotated[LlamaBoard, Tag("LlamaBoard")]
    | Annotated[EasyDataset, Tag("EasyDataset")]
    | Annotated[SwanlabBoard, Tag("SwanlabBoard")],
    one_of(
        vllm=VllmService,
        sglang=SglangService,
        llamafactory_api=LlamaFactoryApi,
        llamaboard=LlamaBoard,
        easy_dataset=EasyDataset,
        swanlab=SwanlabBoard,
    ),
]

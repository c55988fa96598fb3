"""What the manifest says of serving: models behind an API, by vLLM, SGLang or LLaMA-Factory."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, GetJsonSchemaHandler, Tag
from pydantic_core import CoreSchema

from bundler.manifest.artifacts import one_of
from bundler.manifest.fields import Address, Extra, Line, NodePath, Section, VersionField

PortField = Annotated[int, Field(ge=1, le=65535)]


class Service(Section):
    """What services have in common: an image, and where on the node they answer."""

    image: Line = Field(description="The image that it runs in, one of `images`.")
    port: PortField = Field(description="The port that it answers on.")
    bind: Address = Field(default="127.0.0.1", description="The node's address that it answers on; `0.0.0.0` for all.")


class ModelService(Service):
    """What the servers of models have in common: which model, and under which name."""

    model: Line = Field(description="One of `models`, or `train`: what the training job made, merged.")
    name: Line = Field(description="The model's name, which clients ask for.")


class AdaptedService(ModelService):
    """A server that can take an adapter over its model, and asks clients for a key."""

    adapter: Literal["train"] | None = Field(
        default=None,
        description="`train`: the adapter that the training job made is served as `name`, over `model`, without a "
        "merge. vLLM serves the model beside it, under its own name in `models`.",
    )
    api_key_file: NodePath | None = Field(
        default=None,
        description="A file on the node with the key that clients must send (`Authorization: Bearer ...`), for `/v1` "
        "alone. Only its path crosses the gap.",
    )


class ShardedService(ModelService):
    """A server that spreads a model over GPUs."""

    tensor_parallel: int = Field(default=1, ge=1, description="GPUs that share each layer.")
    dtype: Literal["auto", "half", "float16", "bfloat16", "float32"] | None = Field(
        default=None,
        description="Numbers to compute with; left out: the model's own, `half` below compute capability 8.0.",
    )


class VllmService(AdaptedService, ShardedService):
    """A model served by vLLM over its OpenAI-compatible API."""

    kind: Literal["vllm"] = Field(default="vllm", description="What serves.")
    vllm: VersionField = Field(description="The version of vLLM in that image, in quotes: it decides the flags.")
    port: PortField = Field(default=8000, description="The port that it answers on.")
    pipeline_parallel: int = Field(default=1, ge=1, description="Groups of GPUs that the layers are spread over.")
    quantization: (
        Literal["awq", "awq_marlin", "gptq", "gptq_marlin", "fp8", "bitsandbytes", "compressed-tensors"] | None
    ) = Field(default=None, description="How the weights are quantized; left out: as the model's config says.")
    max_model_len: int | None = Field(
        default=None, ge=1, description="Tokens of prompt and answer; left out: the model's."
    )
    max_num_seqs: int | None = Field(default=None, ge=1, description="Requests that run at once.")
    gpu_memory_utilization: float = Field(
        default=0.9, gt=0, le=1, description="Share of each GPU's memory that it may take."
    )
    reasoning_parser: Line | None = Field(
        default=None,
        description="Splits thinking from answer: `qwen3`, `deepseek_r1`, `granite`, ... "
        "Rendered as the image's version wants it.",
    )
    enforce_eager: bool = Field(
        default=False, description="No CUDA graphs and no compilation: starts sooner, answers slower."
    )
    extra: Extra = Field(
        default={},
        description="Further flags without `--`. true gives the flag alone, false its `--no-` form, a list several.",
    )


class SglangService(ShardedService):
    """A model served by SGLang over its OpenAI-compatible API."""

    kind: Literal["sglang"] = Field(default="sglang", description="What serves.")
    sglang: VersionField = Field(description="The version of SGLang in that image, in quotes.")
    port: PortField = Field(default=30000, description="The port that it answers on.")
    context_length: int | None = Field(
        default=None, ge=1, description="Tokens of prompt and answer (`--context-length`); left out: the model's."
    )
    max_running_requests: int | None = Field(default=None, ge=1, description="Requests that run at once.")
    mem_fraction_static: float = Field(
        default=0.85, gt=0, lt=1, description="Share of each GPU's memory for weights and KV cache."
    )
    reasoning_parser: Line | None = Field(
        default=None, description="Splits thinking from answer: `qwen3` or `deepseek-r1`."
    )
    extra: Extra = Field(
        default={}, description="Further flags without `--`. true gives the flag alone, a list several values."
    )


class LlamaFactoryApi(AdaptedService):
    """A model served by LLaMA-Factory's own API, on one GPU: slow, and with the very template of the training."""

    kind: Literal["llamafactory-api"] = Field(default="llamafactory-api", description="What serves.")
    llamafactory_api: VersionField = Field(description="The version of LLaMA-Factory in that image, in quotes.")
    template: Line = Field(description="The chat template, by LLaMA-Factory's name.")
    port: PortField = Field(default=8000, description="The port that it answers on.")
    extra: Extra = Field(default={}, description="Further arguments of LLaMA-Factory's inference, by its own names.")


AnyModelService = Annotated[
    Annotated[VllmService, Tag("VllmService")]
    | Annotated[SglangService, Tag("SglangService")]
    | Annotated[LlamaFactoryApi, Tag("LlamaFactoryApi")],
    one_of(vllm=VllmService, sglang=SglangService, llamafactory_api=LlamaFactoryApi),
]


class Ask(Section):
    """A chat question for `serve`, asked once everything is up."""

    text: str = Field(min_length=1, description="The question.")
    max_tokens: int = Field(default=64, ge=1, description="The most tokens of the answer.")

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        schema = handler.resolve_ref_schema(handler(core))
        return {"anyOf": [{"type": "string"}, dict(schema)]}


def _question(value: object) -> object:
    return {"text": value} if isinstance(value, str) else value


AskField = Annotated[Ask, BeforeValidator(_question)]

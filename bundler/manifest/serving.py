"""What the manifest says of serving: vLLM's options, by their names."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, GetJsonSchemaHandler
from pydantic_core import CoreSchema

from bundler.manifest.fields import Address, Extra, Line, Section, VersionField


class VllmService(Section):
    """A model served by vLLM over its OpenAI-compatible API."""

    kind: Literal["vllm"] = Field(default="vllm", description="What serves.")
    image: Line = Field(description="The image that has vLLM, one of `images`.")
    vllm: VersionField = Field(description="The version of vLLM in that image, in quotes: it decides the flags.")
    model: Line = Field(description="One of `models`, or `train`: what the training job made.")
    name: Line = Field(description="The name that clients ask for (`--served-model-name`).")
    port: int = Field(default=8000, ge=1, le=65535, description="The port that it answers on.")
    bind: Address = Field(default="127.0.0.1", description="The node's address that it answers on; `0.0.0.0` for all.")
    tensor_parallel: int = Field(default=1, ge=1, description="GPUs that share each layer.")
    pipeline_parallel: int = Field(default=1, ge=1, description="Groups of GPUs that the layers are spread over.")
    dtype: Literal["auto", "half", "float16", "bfloat16", "float32"] | None = Field(
        default=None,
        description="Numbers to compute with; left out: the model's own, `half` below compute capability 8.0.",
    )
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

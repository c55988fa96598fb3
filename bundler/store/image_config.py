"""What an image's config says of it: when it was made, for what, and with which CUDA and PyTorch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from bundler.core.digest import Digest
from bundler.core.strict_json import parse_object
from bundler.store.layout import Store

_TOLD = (
    "CUDA_VERSION",
    "NVIDIA_REQUIRE_CUDA",
    "NV_CUDNN_VERSION",
    "NCCL_VERSION",
    "PYTHON_VERSION",
    "PYTORCH_VERSION",
    "TORCH_CUDA_ARCH_LIST",
    "VLLM_VERSION",
)
"""Variables by which NVIDIA's, PyTorch's and vLLM's images say what is in them."""


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """`created` as the config has it (RFC 3339), `environment` the variables that tell versions."""

    created: str = ""
    architecture: str = ""
    os: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)


def read_image_facts(store: Store, config: Digest) -> ImageFacts:
    """The facts in an image's config (image-spec 1.1, config.md). Raises IntegrityFailed."""
    document = parse_object(store.read(config), f"the image config {config}")
    settings = document.get("config")
    listed = settings.get("Env") if isinstance(settings, dict) else None
    pairs = (text.partition("=") for text in listed or () if isinstance(text, str))
    variables = {name: value for name, _, value in pairs if name in _TOLD}
    created, architecture, system = (document.get(key) for key in ("created", "architecture", "os"))
    return ImageFacts(
        created if isinstance(created, str) else "",
        architecture if isinstance(architecture, str) else "",
        system if isinstance(system, str) else "",
        variables,
    )

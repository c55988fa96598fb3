"""Where things lie inside a container, beside what container.py mounts itself."""

from __future__ import annotations

from collections.abc import Mapping

MODEL = "/bundle/model"
ADAPTER = "/bundle/adapter"
DATA = "/bundle/data"
MODELS = "/bundle/models"
STATE = "/bundle/state"

OFFLINE: Mapping[str, str] = {
    "HOME": "/tmp",
    "USER": "bundle",
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
}
"""Nothing asks a hub, which would wait and fail; caches go where a container may write.

USER is for PyTorch and vLLM, which ask for the user's name (getpass.getuser), and fail where the user id has none.
"""

_GPU_SHM, _CPU_SHM = 16 << 30, 1 << 30


def shared_memory(*, gpus: int) -> int:
    """Bytes of /dev/shm: NCCL and data loaders pass tensors through it (LF#7315, vllm#1710). Taken only as used."""
    return _GPU_SHM if gpus else _CPU_SHM

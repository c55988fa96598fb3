"""accelerate's configuration for FSDP, which LLaMA-Factory is launched with in the place of torchrun."""

from __future__ import annotations

from bundler.workloads.flat_yaml import document

_MIXED = {"bf16": "bf16", "fp16": "fp16", "fp32": "no"}


def configuration(*, processes: int, numbers: str, offload: bool) -> str:
    """The YAML document for `processes` GPUs of one node that compute in `numbers` (bf16, fp16, fp32).

    Layers are wrapped by the classes that the model itself names (`_no_split_modules`), since no class is given
    (accelerate 1.7, utils/dataclasses.py, set_auto_wrap_policy). Original parameters are kept because LoRA and
    freeze mix trained and frozen ones in a layer (PEFT, docs/source/accelerate/fsdp.md). The state is gathered
    whole, so that what is saved are weights that others can read, and that a run can go on from.
    """
    fsdp = {
        "fsdp_version": 1,
        "fsdp_sharding_strategy": "FULL_SHARD",
        "fsdp_auto_wrap_policy": "TRANSFORMER_BASED_WRAP",
        "fsdp_backward_prefetch": "BACKWARD_PRE",
        "fsdp_forward_prefetch": False,
        "fsdp_offload_params": offload,
        "fsdp_state_dict_type": "FULL_STATE_DICT",
        "fsdp_cpu_ram_efficient_loading": True,  # one rank reads the model, not each of them
        "fsdp_sync_module_states": True,
        "fsdp_use_orig_params": True,
    }
    return document(
        {
            "compute_environment": "LOCAL_MACHINE",
            "distributed_type": "FSDP",
            "num_machines": 1,
            "machine_rank": 0,
            "num_processes": processes,
            "mixed_precision": _MIXED[numbers],
            "main_training_function": "main",
            "rdzv_backend": "static",
            "same_network": True,
            "use_cpu": False,
            "fsdp_config": fsdp,
        }
    )

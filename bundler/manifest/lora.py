"""What vLLM takes of LoRA adapters."""

from __future__ import annotations

LORA_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
"""What `--max-lora-rank` may be (VW config.py, LoRAConfig)."""

"""Carries LLM fine-tuning and serving across an air gap: lock, build, push, up."""

__version__ = "0.1.0"

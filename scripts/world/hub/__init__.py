"""Hubs: the parts of Hugging Face's and ModelScope's HTTP interfaces that downloads use, over a directory."""

from scripts.world.hub.access import Access
from scripts.world.hub.faults import Fault, Faults, Seen
from scripts.world.hub.modelscope import ModelScope
from scripts.world.hub.server import Hub

__all__ = ["Access", "Fault", "Faults", "Hub", "ModelScope", "Seen"]

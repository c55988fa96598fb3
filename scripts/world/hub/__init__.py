"""A hub: the part of the Hugging Face Hub's HTTP interface that downloads use, over a directory."""

from scripts.world.hub.access import Access
from scripts.world.hub.faults import Fault, Faults, Seen
from scripts.world.hub.server import Hub

__all__ = ["Access", "Fault", "Faults", "Hub", "Seen"]

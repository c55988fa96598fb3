"""What is read of a node: whole, also as JSON, and with the reason where it can't be."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from node_cases import OURS, facts

from bundler.core.errors import BundlerError
from bundler.core.strict_json import MalformedJson
from bundler.node.facts import GpuProcess, Xid, encode, parse
from bundler.node.kernel_log import xids
from bundler.node.reading import read_facts


def test_a_node_without_driver_or_engine_is_read_all_the_same_and_says_why_not(tmp_path: Path) -> None:
    found = read_facts(BundlerError("no container engine answers", because="no such socket"), tmp_path)
    assert found.unreadable["engine"] == "no container engine answers: no such socket"
    assert bool(found.gpus) == ("gpus" not in found.unreadable)
    assert found.machine.memory_available
    assert found.disks[str(tmp_path)].free > 0
    assert parse(json.dumps(encode(found)).encode(), "facts") == found


def test_facts_go_to_json_and_back_whole() -> None:
    full = facts({"processes": (GpuProcess(1, "x", 2, OURS),)}, xids=(Xid(79, "0000:3b:00", 1),))
    assert parse(json.dumps(encode(full)).encode(), "facts") == full
    with pytest.raises(MalformedJson, match="facts"):
        parse(b'{"format": 2}', "facts")


def test_xids_are_counted_by_device_and_other_lines_are_not() -> None:
    line = "3,1,2,-;NVRM: Xid (PCI:0000:3b:00): 79, pid='<unknown>', name=<unknown>, GPU has fallen off the bus.\n"
    assert xids([line, line, "6,2,3,-;NVRM: loading\n"]) == (Xid(79, "0000:3b:00", 2),)

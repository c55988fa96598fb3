"""Receipts: kept whole, read strictly, listed by time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bundler.core.digest import Digest
from bundler.core.records import to_json
from bundler.core.strict_json import MalformedJson, canonical
from bundler.transport import receipts
from bundler.transport.receipts import FORMAT, Receipt, Tally

RECEIPT = Receipt(
    format=FORMAT,
    host="ops@[fe80::1]",
    directory="/data/two words",
    when="2026-01-02T03:04:05Z",
    bundle="demo:1.0.0",
    root=Digest.of(b"root"),
    verified=Tally(7, 1234),
    present=Tally(0, 0),
    host_keys=("SHA256:abc",),
)


def test_a_receipt_comes_back_as_it_was_written(tmp_path: Path) -> None:
    path = receipts.write(RECEIPT, tmp_path / "new" / "directory")
    assert receipts.read(path) == RECEIPT
    assert path.name.startswith("2026-01-02T030405Z_demo-1.0.0_ops-fe80-1-_")


def test_receipts_are_listed_from_the_oldest_and_none_replaces_another(tmp_path: Path) -> None:
    later = replace(RECEIPT, when="2026-02-01T00:00:00Z")
    for receipt in (later, RECEIPT, RECEIPT):
        receipts.write(receipt, tmp_path)
    assert [one for _, one in receipts.listed(tmp_path).receipts] == [RECEIPT, RECEIPT, later]
    assert receipts.listed(tmp_path / "none") == receipts.Kept((), ())


def test_a_damaged_receipt_is_named_and_costs_none_of_the_others(tmp_path: Path) -> None:
    whole = receipts.write(RECEIPT, tmp_path)
    damaged = tmp_path / "2020.json"
    damaged.write_bytes(whole.read_bytes()[:-20])
    assert receipts.listed(tmp_path) == receipts.Kept(((whole, RECEIPT),), (damaged,))


def test_a_receipt_of_an_older_version_can_still_be_read(tmp_path: Path) -> None:
    document = {name: value for name, value in to_json(RECEIPT).items() if name not in ("hashed", "rate")}
    path = tmp_path / "old.json"
    path.write_bytes(canonical(document))
    assert receipts.read(path) == replace(RECEIPT, hashed=(), rate=0)


def test_they_lie_in_the_user_s_state_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert receipts.receipts_directory() == tmp_path / "bundle" / "receipts"
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert receipts.receipts_directory() == tmp_path / "home/.local/state/bundle/receipts"


def test_a_receipt_that_was_changed_is_not_read_as_one(tmp_path: Path) -> None:
    path = receipts.write(RECEIPT, tmp_path)
    path.write_text(path.read_text().replace('"bundle"', '"bundel"'))
    with pytest.raises(MalformedJson, match="can't be read"):
        receipts.read(path)

"""A push brings the evidence of a rehearsal along: behind the gap one sees what was tried in front of it."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from bundler.core.events import Silence
from bundler.operations.gc import gc
from bundler.operations.inspect import inspect
from bundler.operations.push import push
from bundler.rehearsal.evidence import FORMAT, Evidence, Kept
from bundler.store.layout import Store
from bundler.store.referrers import attach
from tests.bundles import make_bundle
from tests.far_host import FarHost, assert_sound

pytestmark = pytest.mark.usefixtures("state")


@pytest.mark.parametrize("door", ["store", "sftp_store", "scp_store"])
def test_evidence_arrives_by_every_door_and_a_later_rehearsal_takes_its_place(
    host: FarHost, source: Store, tmp_path: Path, door: str
) -> None:
    bundle = make_bundle(source)
    for number, severity in enumerate(("block", "pass")):
        found = Evidence(
            FORMAT, str(bundle.name), bundle.root.digest, "2026-11-27T20:40:39Z", "0.1.0", "docker 20.10.24",
            "2 cores, no GPU", 0, 12.5, findings=(Kept("train/step", severity, "one training step"),),
        )  # fmt: skip
        attach(source, bundle, found.encode())
        with closing(getattr(host, door)("far")) as remote:
            pushed = push(source, bundle, remote, Silence())
        assert pushed.sent.blobs == (10 if number == 0 else 2), "the second time only the evidence"
        far = Store.open(tmp_path / "far")
        assert inspect(far, far.find("demo")).rehearsal == found
    assert_sound(tmp_path / "far")
    gc(far, Silence())
    assert inspect(far, far.find("demo")).rehearsal == found

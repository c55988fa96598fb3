"""The proof of the images' requirements: what it asks of the index, and what it says of a lock that moved."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.pins.__main__ import ROOT, difference, index_settings, unhashed, versions
from scripts.pins.sets import SETS, PinSet, command

LOCK = "a==1.0 \\\n    --hash=sha256:11 \\\n    --hash=sha256:22\nb==2.0 \\\n    --hash=sha256:33\n"


def test_every_dockerfile_that_has_requirements_is_proved() -> None:
    written = {path.relative_to(ROOT) for path in ROOT.glob("*/*.in")}
    assert written == {pins.written(ROOT).relative_to(ROOT) for pins in SETS}


@pytest.mark.parametrize("pins", SETS, ids=lambda pins: pins.directory)
def test_a_lock_pins_all_that_a_person_wrote_but_for_what_the_base_brings(pins: PinSet) -> None:
    locked = versions(pins.locked(ROOT).read_text())
    wanted = versions(pins.written(ROOT).read_text().replace("_", "-").lower())
    assert {name: version for name, version in wanted.items() if name not in pins.base}.items() <= locked.items()
    assert not locked.keys() & set(pins.base)


def test_only_wheels_count_but_for_what_is_built_on_purpose(tmp_path: Path) -> None:
    words = command("uv", PinSet("x", sources=("deepspeed",), base=("torch",)), tmp_path, tmp_path / "out.txt")
    assert words[words.index("--only-binary") + 1] == ":all:"
    assert words[words.index("--no-binary") + 1] == "deepspeed"
    assert words[words.index("--no-emit-package") + 1] == "torch"


def test_a_lock_that_moved_says_what_moved() -> None:
    assert difference(LOCK, LOCK.replace("b==2.0", "b==2.1")) == "b 2.0 -> 2.1"
    assert difference(LOCK, LOCK + "c==1 \\\n    --hash=sha256:44\n") == "c absent -> 1"
    assert difference(LOCK, LOCK.replace(":22", ":55")) == "the same versions; 1 hashes are new in the index, 1 gone"


def test_the_hashes_that_are_proved_are_the_indexs_and_not_the_locks_own() -> None:
    assert unhashed(LOCK) == "a==1.0\nb==2.0\n"


def test_the_index_that_is_asked_is_pips_with_its_certificate_and_no_other() -> None:
    listed = """global.index-url='https://index.example/simple'
global.extra-index-url='\\nhttps://a.example\\nhttps://b.example'
global.cert='/etc/ca.pem'
install.trusted-host='index.example'
global.timeout='60'
"""
    assert index_settings(listed) == {
        "UV_DEFAULT_INDEX": "https://index.example/simple",
        "SSL_CERT_FILE": "/etc/ca.pem",
        "UV_INSECURE_HOST": "index.example",
    }

"""`extra` of a vLLM service is judged by the pinned version's own flags, before the gap."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from manifest_cases import changed, findings, manifest, write

from bundler.manifest.tables import server_flags


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ({"enable-prefix-cashing": True}, "did you mean 'enable-prefix-caching'"),
        ({"api-server-count": 2}, "a flag of vLLM 0.8.5.post1"),  # came with 0.9
        ({"swap-spaces": 2}, "did you mean 'swap-space'"),
        ({"enable-auto-tool-choice": False}, "has no '--no-enable-auto-tool-choice'"),
    ],
)
def test_a_flag_that_the_server_would_refuse_is_refused_at_lock(
    extra: dict[str, Any], words: str, tmp_path: Path
) -> None:
    (found,) = findings(write(tmp_path, changed({"serve.extra": extra})))
    assert words in str(found)


def test_flags_of_the_version_pass_in_either_spelling(tmp_path: Path) -> None:
    extra = {"enable_prefix_caching": False, "swap-space": 2, "no-enable-chunked-prefill": True}
    assert manifest(tmp_path, {"serve.extra": extra}).serve


def test_a_version_without_a_table_is_not_judged() -> None:
    assert server_flags("0.8.4") == frozenset()
    assert {"tensor-parallel-size", "max-model-len"} <= server_flags("0.9.2") & server_flags("0.8.5.post1")

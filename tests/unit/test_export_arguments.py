"""What `export` is told that can't be: refused before anything is written, with what would be right."""

from __future__ import annotations

from pathlib import Path

import pytest

from bundler.cli.main import cli
from bundler.core.errors import IntegrityFailed, UsageInvalid
from bundler.store.layout import Store
from tests.bundles import make_bundle


@pytest.mark.parametrize("words", [(), ("--docker", "serve")])
@pytest.mark.parametrize("below", ["", "deeper/still"])
def test_an_export_to_a_files_path_is_a_usage_error_as_an_import_from_nowhere_is(
    tmp_path: Path, words: tuple[str, ...], below: str
) -> None:
    store = Store.create(tmp_path / "store")
    make_bundle(store)
    file = tmp_path / "demo.tar"
    file.write_text("somebody's")
    with pytest.raises(UsageInvalid, match="is no directory") as error:
        cli.main(["export", "demo", str(file / below), *words, "--store", str(store.root)], standalone_mode=False)
    assert str(file) in (error.value.because or "")
    assert error.value.hint
    assert file.read_text() == "somebody's"


@pytest.mark.parametrize("content", ["not JSON", "[]", "{}", '{"root": 1}'])
def test_an_export_since_a_file_of_something_else_says_what_would_be_right(tmp_path: Path, content: str) -> None:
    store = Store.create(tmp_path / "store")
    make_bundle(store)
    wrong = tmp_path / "notes.json"
    wrong.write_text(content)
    with pytest.raises(IntegrityFailed, match=r"notes\.json is neither a receipt nor a lock") as error:
        cli.main(
            ["export", "demo", str(tmp_path / "out"), "--since", str(wrong), "--store", str(store.root)],
            standalone_mode=False,
        )
    assert "bundle receipts" in (error.value.hint or "")
    assert not (tmp_path / "out").exists()

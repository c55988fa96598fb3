"""Settings: the nearest place wins, it is said which, and a mistake in a file is told by line and column."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from bundler.cli.main import cli
from bundler.core.errors import UsageInvalid
from bundler.core.reference import Reference
from bundler.manifest.mirrors import Mirrors
from bundler.manifest.settings import Flags, Settings, load_settings
from bundler.manifest.settings_file import SettingsRejected
from tests.commandline import Bundle


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory and a home that no one has set anything in."""
    for variable in ("BUNDLE_STORE", "BUNDLE_STREAMS", "BUNDLE_MIRRORS"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def project(text: str) -> None:
    Path(".bundle.yaml").write_text(text)


def user(text: str) -> None:
    path = Path("config/bundle/config.yaml")
    path.parent.mkdir(parents=True)
    path.write_text(text)


def test_without_any_the_defaults_hold() -> None:
    assert load_settings() == Settings()
    assert load_settings().origin("streams") == "default"


def test_the_nearest_place_wins_and_is_named(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    user("streams: 2\nstore: /user\nmirrors: {docker.io: [user.example]}\n")
    assert load_settings().origin("streams") == f"{place}/config/bundle/config.yaml:1:1"
    project("# ours\nstreams: 3\n")
    settings = load_settings()
    assert (settings.streams, settings.origin("streams")) == (3, ".bundle.yaml:2:1")
    assert settings.store == Path("/user")
    monkeypatch.setenv("BUNDLE_STREAMS", "5")
    assert (load_settings().streams, load_settings().origin("streams")) == (5, "BUNDLE_STREAMS")
    settings = load_settings(Flags(("docker.io=flag.example",), 6))
    assert (settings.streams, settings.origin("streams")) == (6, "--streams")
    assert settings.mirrors == Mirrors({"docker.io": ("flag.example",)})
    assert settings.origin("mirrors") == "--mirror"


def test_all_mistakes_of_a_file_are_told_at_once_by_line_and_column() -> None:
    project("streams: 99\nstor: /x\nmirrors:\n  docker.io: mirror.example\n  x y: []\nstreams: 4\n")
    with pytest.raises(SettingsRejected, match=r"\.bundle\.yaml has 5 problems") as error:
        load_settings()
    lines = str(error.value.because).splitlines()
    assert [line.split()[0] for line in lines] == [
        ".bundle.yaml:1:10:",
        ".bundle.yaml:2:1:",
        ".bundle.yaml:4:14:",
        ".bundle.yaml:5:3:",
        ".bundle.yaml:6:1:",
    ]
    assert "did you mean 'store'" in lines[1]


@pytest.mark.parametrize("text", ["- a list", "streams: [", "7", "mirrors: 3", "store: ''", "\xff\ud7ff: {"])
def test_a_file_that_is_something_else_is_refused_and_not_passed_over(text: str) -> None:
    project(text)
    with pytest.raises(SettingsRejected):
        load_settings()


@pytest.mark.parametrize("text", ["", "# nothing set\n"])
def test_a_file_of_comments_sets_nothing(text: str) -> None:
    project(text)
    assert load_settings() == Settings()


def test_a_login_in_a_mirrors_address_is_refused_and_not_repeated() -> None:
    project("mirrors:\n  docker.io: ['https://me:canary@mirror.example']\n")
    with pytest.raises(SettingsRejected) as error:
        load_settings()
    assert ":2:15:" in str(error.value.because)
    assert "canary" not in f"{error.value}{error.value.because}"


@pytest.mark.parametrize(
    ("variable", "value"), [("BUNDLE_STREAMS", "many"), ("BUNDLE_STREAMS", "0"), ("BUNDLE_MIRRORS", "mirror.example")]
)
def test_a_mistake_in_a_variable_names_it(monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(UsageInvalid, match=variable) as error:
        load_settings()
    mended = (error.value.hint or "").partition("   #")[0]
    assert mended.startswith(f"export {variable}=")
    monkeypatch.setenv(variable, mended.partition("=")[2])
    load_settings()


def test_a_store_is_seen_from_the_file_that_names_it() -> None:
    user("store: store\n")
    assert load_settings().store == Path("config/bundle/store").absolute()


def test_config_shows_each_value_and_where_it_came_from() -> None:
    project("streams: 8\nmirrors: {docker.io: [a.example, b.example/proxy]}\n")
    shown = Bundle()("config", "-o", "json").json["settings"]
    assert shown["streams"] == {"value": 8, "from": ".bundle.yaml:1:1"}
    assert shown["mirrors"]["value"] == {"docker.io": ["a.example", "b.example/proxy"]}
    assert shown["store"]["from"] == "default"
    assert "docker.io -> a.example, b.example/proxy" in Bundle()("config").out


def test_every_verb_looks_into_the_store_that_is_set(place: Path) -> None:
    project(f"store: {place}/mine\n")
    shown = CliRunner().invoke(cli, ["list"])
    assert f"{place}/mine is not a store" in str(shown.exception)


def test_help_reads_no_settings_so_that_a_broken_file_never_stands_in_the_way() -> None:
    project("streams: [")
    assert CliRunner().invoke(cli, ["build", "--help"]).exit_code == 0


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("python:3.11", ["docker.1ms.run/library/python:3.11"]),
        ("vllm/vllm-openai:v1", ["mirror.example/proxy/vllm/vllm-openai:v1", "other.example:5000/vllm-openai:v1"]),
        ("vllmx/y", ["docker.1ms.run/vllmx/y:latest"]),
        ("quay.io/vllm/x:1", []),
        ("docker.io.example/x:1", []),
    ],
)
def test_the_longest_prefix_chooses_the_mirrors(name: str, found: list[str]) -> None:
    mirrors = Mirrors(
        {"docker.io": ("docker.1ms.run",), "docker.io/vllm": ("mirror.example/proxy/vllm", "other.example:5000")}
    )
    assert [str(place) for place in mirrors.of(Reference.parse(name))] == found

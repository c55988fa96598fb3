"""What a person types for a host and a directory."""

from __future__ import annotations

from pathlib import Path

import pytest

from bundler.transport.destination import DEFAULT_DIRECTORY, Destination, MalformedDestination


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("intranet:/data/bundles", Destination("intranet", "/data/bundles")),
        ("ops@intranet:/data", Destination("intranet", "/data", "ops")),
        ("ops@10.0.0.7:store", Destination("10.0.0.7", "store", "ops")),
        ("intranet", Destination("intranet", DEFAULT_DIRECTORY)),
        ("intranet:", Destination("intranet", DEFAULT_DIRECTORY)),
        ("intranet:/a b/ü:x", Destination("intranet", "/a b/ü:x")),
        ("ops@[fe80::1]:/data", Destination("fe80::1", "/data", "ops")),
        ("ssh://ops@intranet:2222/data/x", Destination("intranet", "/data/x", "ops", 2222)),
        ("ssh://intranet", Destination("intranet", DEFAULT_DIRECTORY)),
        ("ssh://[::1]:2222/data", Destination("::1", "/data", port=2222)),
        ("a@b@intranet:/x", None),
    ],
)
def test_a_destination_reads_as_scp_and_ssh_read_it(text: str, expected: Destination | None) -> None:
    if expected is None:
        with pytest.raises(MalformedDestination):
            Destination.parse(text)
    else:
        assert Destination.parse(text) == expected


def test_options_fill_in_what_the_text_leaves_open() -> None:
    got = Destination.parse("intranet:/d", port=22022, identity=Path("/k"), config=Path("/c"))
    assert got == Destination("intranet", "/d", "", 22022, Path("/k"), Path("/c"))
    assert Destination.parse("ssh://h:1/d", port=2).port == 1


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":/data",
        "@intranet:/data",
        "/data/bundles",
        "-oProxyCommand=touch x:/data",
        "-x@intranet:/data",
        "ssh://-oProxyCommand=x/data",
        "two words:/data",
        "intranet:~/data",
        "intranet:/data\nrm",
        "ssh://intranet:99999/data",
    ],
)
def test_what_ssh_could_take_for_an_option_or_a_shell_for_a_command_is_refused(text: str) -> None:
    with pytest.raises(MalformedDestination) as error:
        Destination.parse(text)
    assert error.value.exit_code == 2


def test_a_destination_prints_as_it_is_typed() -> None:
    for text in ("ops@intranet:/data", "intranet:store", "ops@[fe80::1]:/data"):
        assert str(Destination.parse(text)) == text

"""`extra` of a vLLM service: flags that the pinned version has, by a table made from its source."""

from __future__ import annotations

import difflib
from collections.abc import Iterator

from bundler.manifest.findings import Problem, shown
from bundler.manifest.rules.arguments import FLAGS, is_told
from bundler.manifest.schema import Manifest
from bundler.manifest.serving import VllmService
from bundler.manifest.tables import server_flags, server_switches


def known(manifest: Manifest) -> Iterator[Problem]:
    """Each flag under `extra` is one of the version's: argparse refuses others, and ends (vLLM 0.8.5, utils.py)."""
    for path, service in manifest.services_of(VllmService):
        flags = server_flags(str(service.vllm))
        for name in service.extra if flags else ():
            flag = name.lstrip("-").replace("_", "-")
            if flag not in flags and flag.removeprefix("no-") not in flags and not is_told(name, FLAGS):
                near = next(iter(difflib.get_close_matches(flag, sorted(flags), n=1)), "")
                expected, because = f"a flag of vLLM {service.vllm}", "the server would refuse to start"
                yield Problem((*path, "extra", name), shown(name), expected, because, near, at_key=True)


def switches(manifest: Manifest) -> Iterator[Problem]:
    """A flag that only switches something on has no `--no-` form, which false would be (argparse, store_true)."""
    for path, service in manifest.services_of(VllmService):
        for name, value in service.extra.items():
            flag = name.lstrip("-").replace("_", "-")
            if value is False and flag in server_switches(str(service.vllm)) and not is_told(name, FLAGS):
                because = f"vLLM {service.vllm} has no '--no-{flag}', and would refuse to start"
                yield Problem((*path, "extra", name), "false", "true, or the flag left out", because)


RULES = (known, switches)

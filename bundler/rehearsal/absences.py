"""What a program wanted and did not find: files of the bundle, hosts of the world.

Libraries look for files that need not be there (adapter_config.json, generation_config.json, added_tokens.json), and
go on without. What tells a real loss from such a look is whether the part that looked came to its end. A file whose
loss is silent is in a table.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from bundler.node.findings import Finding, Severity, good
from bundler.rehearsal.report import Failed, Report, Sighting
from bundler.workloads.paths import MODEL

_SHOWN = 6
_UNREACHED = re.compile(r"offline|connect|reach|resolve|download", re.IGNORECASE)
_MODEL = f"{MODEL}/"
"""Elsewhere, as in an adapter's mount, there is nothing until something is trained."""
_URL = re.compile(r"https?://[^\s'\"<>)]+[^\s'\"<>).,:;]")
SILENT = {
    "tokenizer_config.json": "transformers then guesses the tokenizer's class, and it has no chat template and only "
    "default special tokens (tokenization_utils_base.py, from_pretrained)",
}
"""Files without which transformers goes on, to another result. Every tokenizer that it saves has them."""


def absences(report: Report, workload: str) -> Iterator[Finding]:
    """A finding on files, and one on hosts. The part in which a probe was ended counts as one that failed."""
    failed = {part for part, how in report.failures.items() if isinstance(how, Failed)}
    if not report.finished:
        failed |= {one.part for one in report.sightings} - {*report.parts, *report.failures}
    yield _files([one for one in report.sightings if one.kind != "host"], failed, report, f"{workload}/files")
    hosts = [one for one in report.sightings if one.kind == "host"]
    for part, how in report.failures.items():
        if isinstance(how, Failed):
            hosts += [Sighting("host", url, "", part) for url in urls((how.error, *how.causes))]
    yield _hosts(hosts, failed, f"{workload}/hosts")


def urls(texts: Iterable[str]) -> list[str]:
    """Addresses that an error says it could not reach.

    Offline, hub libraries refuse before they look a host up (huggingface_hub, utils/_http.py, OfflineModeIsEnabled;
    transformers, utils/hub.py): no event tells of those.
    """
    found = (match[0] for text in texts if _UNREACHED.search(text) for match in _URL.finditer(text))
    return list(dict.fromkeys(found))


def _files(seen: list[Sighting], failed: set[str], report: Report, check: str) -> Finding:
    lost = [one for one in seen if one.part in failed]
    if lost:
        spoken = " ".join(
            " ".join((how.error, *how.causes)) for how in report.failures.values() if isinstance(how, Failed)
        )
        named = [one for one in lost if one.what in spoken] or lost
        parts = ", ".join(dict.fromkeys(one.part for one in lost))
        why = f"{parts} failed, after looking for " + ("these" if named is not lost else "one of these")
        remedy = "carry what is missing: bundle build MANIFEST   # see `files` and `exclude` of its models"
        return Finding(check, Severity.BLOCK, f"not in the bundle: {_listed(named)}", why=why, remedy=remedy)
    silent = [one for one in seen if one.what.rpartition("/")[2] in SILENT and one.what.startswith(_MODEL)]
    if silent:
        why = "; ".join(dict.fromkeys(SILENT[one.what.rpartition("/")[2]] for one in silent))
        return Finding(check, Severity.WARN, f"not in the bundle: {_listed(silent)}", why=why)
    if not seen:
        return good(check, "everything that was looked for is there")
    return good(check, f"{len(_paths(seen))} files were looked for, are not there, and not missed: {_listed(seen)}")


def _hosts(seen: list[Sighting], failed: set[str], check: str) -> Finding:
    if not seen:
        return good(check, "no host was looked for")
    lost = [one for one in seen if one.part in failed]
    said = ", ".join(dict.fromkeys(f"{one.what} (by {one.by or 'the program'})" for one in (lost or seen)))
    if lost:
        why = "there is no network behind the gap, and it did not go on without"
        return Finding(check, Severity.BLOCK, f"it wants to reach {said}", why=why)
    why = "there is no network behind the gap; it went on without, each time after what the attempt takes"
    return Finding(check, Severity.WARN, f"it wants to reach {said}", why=why)


def _paths(seen: Iterable[Sighting]) -> list[str]:
    return list(dict.fromkeys(one.what for one in seen))


def _listed(seen: Iterable[Sighting]) -> str:
    paths = _paths(seen)
    more = f" and {len(paths) - _SHOWN} more" if len(paths) > _SHOWN else ""
    return ", ".join(paths[:_SHOWN]) + more

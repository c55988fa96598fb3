"""The first thing to read: whether the manifest can work, and every finding, worst first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bundler.report.figures import count, per_cent, size
from bundler.report.servers import problems, servers

_RANKS = {"block": 0, "error": 0, "warn": 1, "warning": 1, "cannot read": 1, "note": 2, "info": 2, "pass": 3}
_LOOKS = ("bad", "warn", "note", "good")


@dataclass(frozen=True, slots=True)
class FindingView:
    """Something to change or to look at. `look` is `bad`, `warn`, `note` or `good`."""

    look: str
    what: str
    why: str = ""
    remedy: str = ""

    @property
    def severity(self) -> str:
        """For people, as a colour says nothing to some."""
        return {"bad": "error", "warn": "warning", "note": "note", "good": "passed"}[self.look]


@dataclass(frozen=True, slots=True)
class Verdict:
    """The page's headline, and the sentence below it."""

    look: str
    word: str
    sentence: str


def verdict(plan: Mapping[str, Any]) -> Verdict:
    """One word on the whole plan, and why."""
    found = findings(plan)
    wrong = [one.what for one in found if one.look == "bad"]
    if not plan["fits"]:
        return Verdict("bad", "Does not fit", wrong[0] if wrong else "The GPUs have too little memory.")
    if wrong:
        return Verdict("bad", "Can't work", wrong[0])
    train = plan.get("train")
    if train and train["verdict"] == "tight":
        return Verdict("warn", "Tight", _tight(plan))
    if missing := plan.get("not_planned"):
        return _not_planned(plan, tuple(missing))
    if not plan["gpus"]:
        return Verdict("good", "No objection", "It runs on a CPU, whose memory is not planned.")
    return Verdict("good", "Fits", _fits(plan))


def findings(plan: Mapping[str, Any]) -> tuple[FindingView, ...]:
    """All that the plan says against the manifest: memory, data, and the findings that it lists itself."""
    all_of_them = (*_memory(plan), *_data(plan["data"]), *_listed(plan.get("findings") or ()))
    return tuple(sorted(all_of_them, key=lambda one: _LOOKS.index(one.look)))


def _not_planned(plan: Mapping[str, Any], missing: tuple[str, ...]) -> Verdict:
    """Never "fits": nothing is known of a part of it."""
    said = f"The memory of {_listing(missing)} is not planned, so nothing is said of it."
    planned = ["training"] if plan.get("train") else []
    planned += [name for name, _ in servers(plan)]
    planned += ["evaluation"] if plan.get("evaluate") else []
    if not planned:
        return Verdict("warn", "Not planned", said)
    does = "fits" if len(planned) == 1 else "fit"
    return Verdict("warn", f"Not planned: {_listing(missing)}", f"{said} What is planned, {_listing(planned)}, {does}.")


def _listing(names: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _fits(plan: Mapping[str, Any]) -> str:
    said = []
    if train := plan.get("train"):
        used = train["per_gpu"]["device_bytes"]
        said.append(f"Training takes {size(used)} of each GPU's {size(plan['gpu_bytes'])}.")
    for name, server in servers(plan):
        if tokens := server["per_gpu"].get("kv_tokens"):
            said.append(f"{'Serving' if name == 'serve' else name} has room for {count(tokens)} tokens at once.")
    return " ".join(said) or "Nothing of it needs a GPU's memory that is planned."


def _tight(plan: Mapping[str, Any]) -> str:
    train = plan["train"]
    used = train["per_gpu"]["device_bytes"]
    where = "it fits only if torch's reserve stays small" if train["measured"] else "by formula, it may fit or not"
    return (
        f"Training takes {size(used)} of each GPU with the usual fragmentation, and a GPU has "
        f"{size(plan['gpu_bytes'])}: {where}."
    )


def _memory(plan: Mapping[str, Any]) -> Iterator[FindingView]:
    train = plan.get("train")
    if train and train["verdict"] == "does not fit":
        used = train["per_gpu"]["device_bytes"]
        what = f"Training takes {size(used)} of each GPU, and a GPU has {size(plan['gpu_bytes'])}."
        remedy = f"{train['advice'][0]['change']}" if train["advice"] else ""
        yield FindingView("bad", what, f"The peak is at {train['per_gpu']['moment']}.", remedy)
    elif train and train["verdict"] == "tight":
        yield FindingView("warn", _tight(plan), remedy=train["advice"][0]["change"] if train["advice"] else "")
    if train and not train["measured"]:
        why = "No such training was compared with a GPU."
        yield FindingView("note", "The training's memory is by formula alone.", why)
    for name, server in servers(plan):
        for problem in problems(server):
            yield FindingView("bad", f"{'Serving' if name == 'serve' else name} can't start: {problem}.")
    evaluate = plan.get("evaluate")
    if evaluate and evaluate["verdict"] == "does not fit":
        used = evaluate["per_gpu"]["device_bytes"]
        what = f"The evaluation takes {size(used)} of each GPU, and a GPU has {size(plan['gpu_bytes'])}."
        yield FindingView("bad", what, "It holds the whole model on each GPU, whatever shares the training.")


def _data(data: Mapping[str, Any]) -> Iterator[FindingView]:
    for name, one in data.items():
        if one.get("failure"):
            yield FindingView("bad", f"Dataset {name} ends the training before its first step.", one["failure"])
        elif not one["usable"]:
            yield FindingView("bad", f"No record of dataset {name} is kept.", _reasons(one))
        elif one["dropped"]:
            many = f"{count(one['dropped'])} of {count(one['records'])} records of {name}"
            part = per_cent(one["dropped"] / one["records"])
            yield FindingView("warn", f"{many} ({part}) are dropped silently.", _reasons(one))
        if one.get("unread"):
            yield FindingView("note", f"Dataset {name} was not judged.", one["unread"])
        for note in one.get("notes") or ():
            yield FindingView("warn", f"Dataset {name}: {note}")
        lengths = one.get("lengths")
        if lengths and lengths["truncated"]:
            part = per_cent(lengths["truncated_share"])
            what = f"{count(lengths['truncated'])} records of {name} ({part}) are cut at {count(lengths['cutoff_len'])}"
            yield FindingView("warn", f"{what} tokens.", "What is cut off is not learned.")


def _reasons(one: Mapping[str, Any]) -> str:
    most = sorted(one["reasons"].items(), key=lambda item: -item[1])[:3]
    return "; ".join(f"{reason} ({count(many)})" for reason, many in most)


def _listed(found: Any) -> Iterator[FindingView]:
    for one in found:
        look = _LOOKS[_RANKS.get(str(one.get("severity", "")), 1)]
        why = one.get("why") or one.get("because") or ""
        yield FindingView(look, str(one.get("what", "")), why, one.get("remedy") or one.get("hint") or "")

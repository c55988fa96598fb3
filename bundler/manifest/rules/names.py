"""Names: each that is used is there, none stands for two things."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator

from bundler.manifest.findings import KeyPath, Problem, dotted, shown
from bundler.manifest.names import MERGE, SERVE, TRAIN, TRAINED
from bundler.manifest.schema import Manifest
from bundler.manifest.serving import ModelService


def known(manifest: Manifest) -> Iterator[Problem]:
    """Images, models and datasets that are used are described."""
    train = manifest.train
    if train:
        yield from _unknown(("train", "image"), train.image, "images", manifest.images)
        yield from _unknown(("train", "model"), train.model, "models", manifest.models)
        for key, datasets in (("datasets", train.datasets), ("eval_datasets", train.eval_datasets or ())):
            for at, dataset in enumerate(datasets):
                yield from _unknown(("train", key, at), dataset, "datasets", manifest.datasets)
    for path, service in manifest.all_services():
        yield from _unknown((*path, "image"), service.image, "images", manifest.images)
    for path, service in manifest.services_of(ModelService):
        if service.model != TRAINED:
            offered = [*manifest.models, TRAINED] if train else [*manifest.models]
            yield from _unknown((*path, "model"), service.model, "models", offered)
        elif train is None:
            yield Problem(
                (*path, "model"),
                shown(TRAINED),
                "a name in 'models'",
                "there is no section 'train'",
                concerns=(("train",), ("models",)),
            )


def _unknown(path: KeyPath, wanted: str, section: str, names: Iterable[str]) -> Iterator[Problem]:
    offered = list(names)
    if wanted in offered:
        return
    close = next(iter(difflib.get_close_matches(wanted, offered, n=1)), "")
    expected = f"one of {', '.join(offered)}" if offered else f"a name in '{section}', which is empty"
    yield Problem(path, shown(wanted), expected, suggestion=close, concerns=((section, wanted),))


def free(manifest: Manifest) -> Iterator[Problem]:
    """A name that the program gives itself is not used for something else."""
    if TRAINED in manifest.models:
        because = f"'model: {TRAINED}' means what the training job made"
        yield Problem(("models", TRAINED), "this name", "another one", because, at_key=True)
    for name in manifest.services:
        if name in (TRAIN, MERGE, SERVE):
            because = "merging the adapter has it" if name == MERGE else f"the section '{name}' has it"
            yield Problem(("services", name), "this name", "another one", because, at_key=True)


def distinct(manifest: Manifest) -> Iterator[Problem]:
    """In a store, an artifact is found as NAME:VERSION/ARTIFACT, whatever kind it is."""
    seen: dict[str, str] = {}
    sections: dict[str, Iterable[str]] = {
        "images": manifest.images,
        "models": manifest.models,
        "datasets": manifest.datasets,
    }
    for section, names in sections.items():
        for name in names:
            first = seen.setdefault(name, section)
            if first != section:
                because = f"'{dotted((first, name))}' has it; artifacts of a bundle are told apart by name"
                yield Problem((section, name), "this name", "another one", because, at_key=True)


def ports(manifest: Manifest) -> Iterator[Problem]:
    """Services answer on different ports."""
    seen: dict[int, KeyPath] = {}
    for path, service in manifest.all_services():
        first = seen.setdefault(service.port, path)
        if first != path:
            yield Problem(
                (*path, "port"),
                f"the port {service.port}",
                "another one",
                f"'{dotted(first)}' has it",
                concerns=((*first, "port"),),
            )


def asked(manifest: Manifest) -> Iterator[Problem]:
    """A question needs somebody to answer it."""
    if manifest.ask and not manifest.serve:
        because = "the question is put to 'serve'"
        yield Problem(("ask",), "a question", "a section 'serve' too", because, concerns=(("serve",),), at_key=True)


RULES = (known, free, distinct, ports, asked)

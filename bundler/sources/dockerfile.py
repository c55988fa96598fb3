"""Images built from a dockerfile template: rendered with pinned versions, built by the engine, taken into the store.

A dockerfile is a directory with `Dockerfile.j2` and the files that it uses. Its recipe is the digest of all that
goes into the build: the rendered text, those files, and the base image's digest. The same recipe is never built
twice, because a build is not reproducible and would give other digests.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import ChoiceLoader, Environment, FileSystemLoader, StrictUndefined, TemplateError

from bundler.core.digest import Digest
from bundler.core.errors import ManifestInvalid
from bundler.core.events import Events, Noted, StepEnded, StepStarted, Warned
from bundler.core.media_types import OCI_CONFIG, OCI_MANIFEST
from bundler.core.strict_json import MalformedJson, canonical, parse_object
from bundler.engine.build import ContextFile, build
from bundler.engine.loopback_registry import serving
from bundler.manifest.lock import BuildRecord, LockedImage
from bundler.sources.layers import STEP, diff_ids, take_layers
from bundler.sources.oci_manifest import oci_manifest
from bundler.store.layout import Store

if TYPE_CHECKING:
    from bundler.engine.docker import DockerEngine

TEMPLATE = "Dockerfile.j2"
SHARED = "include"
"""Templates in the directory of this name beside a dockerfile's own may be included by it."""


class BadDockerfile(ManifestInvalid):
    """A dockerfile that can't be rendered, or whose files are not there."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """All that goes into a build, and the digest of it. `render` gives the Dockerfile's text on a base."""

    source: str
    render: Callable[[str], str]
    files: tuple[ContextFile, ...]
    digest: Digest
    record: BuildRecord

    def context(self, base: str) -> tuple[ContextFile, ...]:
        """The build context, with a Dockerfile that takes the base by this name."""
        return (ContextFile("Dockerfile", self.render(base).encode()), *self.files)


def write_recipe(
    directory: Path, base: str, arguments: Mapping[str, str], files: Mapping[str, Path], *, source: str = ""
) -> Recipe:
    """Render a dockerfile on a pinned base. `files` are further directories or files, by their name in the context.

    `source` is how the lock calls it: as the manifest does, so that the lock is the same in another directory.

    Raises BadDockerfile.
    """
    shared = directory.parent / SHARED
    loader = ChoiceLoader([FileSystemLoader(directory), FileSystemLoader(shared)])
    environment = Environment(loader=loader, undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False)

    def render(base: str) -> str:
        return environment.get_template(TEMPLATE).render(base=base, arguments=dict(arguments))

    try:
        text = render(base)
        open_text = render("")
    except (TemplateError, OSError) as error:
        raise BadDockerfile(
            f"{directory / TEMPLATE} can't be rendered",
            because=f"{type(error).__name__}: {error}",
            hint="give every variable that it uses under 'arguments:' of the image in the manifest",
        ) from error
    context: list[ContextFile] = []
    for prefix, path in [
        ("", directory),
        (f"{SHARED}/", shared),
        *((f"{name}/", path) for name, path in files.items()),
    ]:
        context += [ContextFile(f"{prefix}{name}", file) for name, file in _files(path, optional=path == shared)]
    plain = {file.path: (_content_digest(file), file.mode) for file in context if not file.path.endswith(".j2")}
    entries = {"Dockerfile": [str(Digest.of(text.encode())), 0o644]}
    entries |= {path: [str(content), mode] for path, (content, mode) in plain.items()}
    names = {path: content for path, (content, _) in plain.items()}
    record = BuildRecord(base, Digest.of(open_text.encode()), dict(arguments), names)
    return Recipe(source or str(directory), render, tuple(context), Digest.of(canonical(entries)), record)


def _files(path: Path, *, optional: bool) -> Iterator[tuple[str, Path]]:
    if path.is_file():
        yield path.name, path
        return
    if not path.is_dir():
        if optional:
            return
        raise BadDockerfile(
            f"{path} does not exist",
            because="the manifest puts it into the build of an image",
            hint=f"ls -l {path.parent}   # make it, or correct 'files:' in the manifest",
        )
    for file in sorted(path.rglob("*")):
        if file.is_file():
            yield file.relative_to(path).as_posix(), file


def _content_digest(file: ContextFile) -> Digest:
    if isinstance(file.content, bytes):
        return Digest.of(file.content)
    return Digest.of_file(file.content)


def build_image(
    name: str, recipe: Recipe, base: LockedImage, engine: DockerEngine, store: Store, events: Events
) -> LockedImage:
    """Build a recipe and take the image into the store, beside its base, whose layers keep their digests.

    Raises EngineFailed, NoSpace.
    """
    step = f"build {name}"
    events.emit(StepStarted(step))
    with serving(store, (base,)) as address:
        # BuildKit keeps its cache by the base's content: another port is the same base (seen with 20.10)
        served = f"{address}/base@{base.manifest.digest}"
        if not engine.reaches(served):
            served = recipe.record.base
            events.emit(Warned(f"the engine can't reach this machine's loopback: it pulls {served} itself"))
        built = build(recipe.context(served), _secrets(), lambda line: events.emit(Noted(step, line)))
    events.emit(StepEnded(step, built))
    events.emit(StepStarted(STEP))
    known = dict(zip(diff_ids(store.read(base.blobs[0].digest)), base.blobs[1:], strict=True))
    saved = take_layers(engine.save(built), known, store, events)
    config = store.put(saved.config, OCI_CONFIG)
    manifest = store.put(oci_manifest(config, saved.layers), OCI_MANIFEST)
    events.emit(StepEnded(STEP, f"{len(saved.layers)} layers"))
    record = replace(recipe.record, packages=_packages(built, engine))
    return LockedImage(name, recipe.source, manifest, (config, *saved.layers), recipe.digest, record)


_LIST = (
    "import importlib.metadata as m, json; "
    "print(json.dumps({d.metadata['Name']: d.version for d in m.distributions()}))"
)


def _packages(image: str, engine: DockerEngine) -> dict[str, str]:
    """The Python packages of an image, as its own `python3` lists them; none where it has no Python."""
    printed = engine.output(image, ("python3", "-c", _LIST))
    try:
        listed = parse_object(printed or b"{}", "the image's list of packages")
    except MalformedJson:
        return {}
    return {str(name): str(version) for name, version in sorted(listed.items())}


def _secrets() -> dict[str, Path]:
    """What a build may read and may not keep: the CA certificates and the pip configuration of this user."""
    pip = Path.home() / ".config/pip/pip.conf"
    candidates = {
        "ca.crt": (os.environ.get("PIP_CERT"), os.environ.get("SSL_CERT_FILE"), "/etc/ssl/certs/ca-certificates.crt"),
        "pip.conf": (os.environ.get("PIP_CONFIG_FILE"), str(pip), "/etc/pip.conf"),
    }
    found = {
        name: [Path(path) for path in paths if path and Path(path).is_file()] for name, paths in candidates.items()
    }
    return {name: paths[0] for name, paths in found.items() if paths}

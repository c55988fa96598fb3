"""Where a rehearsal happens: a directory like a release's, in the store, which is gone when the rehearsal is over.

STORE/rehearsals/NAME/
  lock       who rehearses this bundle right now     images/   which images a rehearsal loaded (as a release's)
  run/       models/ datasets/ config/ results/ state/ as a release has them; probes/, plans/W/, reports/W/
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bundler.core.durable import explained
from bundler.core.events import Events, Noted, Warned
from bundler.core.strict_json import canonical, parse_object
from bundler.engine.docker import DockerEngine
from bundler.engine.log_lines import lines
from bundler.manifest.lock import Lock, LockedImage, Workload
from bundler.operations.rehearsals_left import REHEARSALS, RUN, clear
from bundler.operations.release import Release
from bundler.rehearsal.plain import plain
from bundler.rehearsal.report import Report, parse
from bundler.rehearsal.trial import Machine, placed, scripts, trial
from bundler.store.layout import BundleEntry, Store
from bundler.store.locking import holding
from bundler.workloads import labels
from bundler.workloads.container import Placement
from bundler.workloads.paths import ADAPTER

_LONGEST_REPORT = 8 << 20
_LAST_LINES = 6


@dataclass(frozen=True, slots=True)
class Place:
    """A rehearsal's directories, and the release that is laid out in them."""

    directory: Path
    release: Release

    @property
    def notes(self) -> Path:
        """Where it is noted which images a rehearsal has loaded."""
        return self.directory / "images"

    @property
    def placement(self) -> Placement:
        """Where and as whom its containers run, under names of their own."""
        return placed(self.release.name.name, self.release.placement)

    def prepare(self, store: Store, lock: Lock) -> None:
        """Lay out the bundle as a release is, beside it the probes, and places for what is written."""
        run = self.release.directory
        self.release.lay_out(store, lock)
        for name, text in scripts().items():
            _write(run / "probes" / name, text.encode())
        for workload in lock.workloads:
            self._writable(run / "reports" / workload.name)
            for mount in workload.state:
                self._writable(Path(self.placement.state(workload.name, mount)))
            if not workload.is_service:
                self._writable(self.release.results(workload.name))

    def plan(self, workload: str, document: Mapping[str, object]) -> None:
        """What a workload's probe is told."""
        _write(self.release.directory / "plans" / workload / "plan.json", canonical(dict(document)))

    def has_what_is_mounted(self, workload: Workload) -> bool:
        """Whether an adapter that a workload serves has been made here."""
        made = [mount.source for mount in workload.mounts if mount.target == ADAPTER]
        return all(any((self.release.directory / source).glob("*.safetensors")) for source in made)

    def run(
        self,
        store: Store,
        lock: Lock,
        workload: Workload,
        image: str,
        here: Machine,
        command: tuple[str, ...],
        engine: DockerEngine,
        events: Events,
    ) -> tuple[int, Report, tuple[str, ...]]:
        """Run a workload's container with a command. Returns its exit code, what was reported, its last lines.

        Raises NameTaken, EngineFailed.
        """
        reports = self.release.directory / "reports" / workload.name
        clear(reports)
        self._writable(reports)
        path = _python_path(store, next(one for one in lock.images if one.name == workload.image))
        spec = trial(workload, image, self.placement, here, command, path)
        self.release.find(spec.name, engine)  # raises where another store's rehearsal has a container of this name
        identity = engine.start(spec)
        try:
            for line in lines(engine.logs(identity, follow=True)):
                if text := plain(line):
                    events.emit(Noted(f"rehearse {workload.name}", text))
            code = engine.wait(identity)
            last = tuple(map(plain, engine.last_words(identity, _LAST_LINES))) if code else ()
        finally:
            engine.remove(identity)
        return code, parse(_read(reports, "probe.jsonl"), _read(reports, "watch-")), last

    def _writable(self, directory: Path) -> None:
        owner, group = (int(number) for number in self.placement.user.split(":"))
        with explained(directory):
            directory.mkdir(parents=True, exist_ok=True)
            os.chown(directory, owner, group)


@contextmanager
def rehearsing(store: Store, bundle: BundleEntry) -> Iterator[Place]:
    """A place to rehearse a bundle in, empty: what a killed rehearsal left is removed first, and all of it at the end.

    Raises LockedByAnother while another rehearses it.
    """
    directory = store.root.resolve() / REHEARSALS / bundle.name.name
    release = Release(directory / RUN, bundle.name, bundle.root.digest)
    with explained(directory):
        directory.mkdir(parents=True, exist_ok=True)
    with holding(directory / "lock", f"the rehearsal of {bundle.name.name}", patience=0):
        clear(release.directory)
        try:
            yield Place(directory, release)
        finally:
            clear(release.directory)


def remove_containers(place: Place, engine: DockerEngine) -> None:
    """Remove containers that a rehearsal of this place left: the one that ran when it was killed."""
    here = str(place.release.directory.absolute())
    for found in engine.list_containers({"label": f"{labels.DIRECTORY}={here}"}):
        engine.remove(found["Id"])


def warn_of_rest(place: Place, events: Events) -> None:
    """Say what could not be removed."""
    if place.release.directory.exists():
        events.emit(Warned(f"{place.release.directory} could not be removed whole"))


def _write(path: Path, data: bytes) -> None:
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def _read(directory: Path, prefix: str) -> Iterator[str]:
    """The lines of the reports of a name: regular files only, and of each no more than can be meant."""
    with explained(directory), os.scandir(directory) as entries:
        names = sorted(entry.name for entry in entries if entry.name.startswith(prefix))
    for name in names[:1000]:
        try:
            handle = os.open(directory / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:  # a link, or no longer there
            continue
        with open(handle, "rb") as file:
            if stat.S_ISREG(os.fstat(handle).st_mode):
                yield from file.read(_LONGEST_REPORT).decode(errors="replace").splitlines()


def _python_path(store: Store, image: LockedImage) -> str:
    """PYTHONPATH as the image's config sets it (image-spec 1.1, config.md), which ours must not hide."""
    settings = parse_object(store.read(image.blobs[0].digest), f"the config of image {image.name}").get("config")
    listed = settings.get("Env") if isinstance(settings, dict) else None
    pairs = (text.partition("=") for text in listed or () if isinstance(text, str))
    return next((value for name, _, value in pairs if name == "PYTHONPATH"), "")

"""`bundle config`."""

from __future__ import annotations

from pathlib import Path

import click

from bundler.cli import options
from bundler.cli.table import table
from bundler.core.events import Events
from bundler.manifest.settings import Settings, load_settings, project_file, user_file


@click.command("config")
@options.output
@options.running("config")
def command(output: str, events: Events) -> None:  # noqa: ARG001 - every verb has it
    """Show the settings: each value, and where it came from.

    Flags go before BUNDLE_* variables, then .bundle.yaml in the working directory, then
    ~/.config/bundle/config.yaml. A key is taken whole from the first that has it:

    \b
    store: /data/bundles                         # BUNDLE_STORE, --store
    streams: 4                                   # BUNDLE_STREAMS, --streams: connections at once
    engine: podman                               # BUNDLE_ENGINE, --engine: auto, docker or podman
    mirrors:                                     # BUNDLE_MIRRORS="docker.io=docker.1ms.run", --mirror
      docker.io: [docker.1ms.run]
      docker.io/vllm: [mirror.example/proxy/vllm]

    \b
    bundle config
    bundle config -o json
    BUNDLE_STREAMS=8 bundle config
    """
    settings = load_settings()
    mirrors = {prefix: list(listed) for prefix, listed in sorted(settings.mirrors.by_prefix.items())}
    store = str(_store(settings))
    values = {"mirrors": mirrors, "store": store, "streams": settings.streams, "engine": settings.engine}
    files = {str(path): path.exists() for path in (project_file().absolute(), user_file())}
    options.show(
        output,
        {
            "settings": {key: {"value": value, "from": settings.origin(key)} for key, value in values.items()},
            "files": [{"path": path, "exists": exists} for path, exists in files.items()],
        },
        "\n".join(
            [
                table(["KEY", "VALUE", "FROM"], [(key, _shown(v), settings.origin(key)) for key, v in values.items()]),
                "",
                *(f"{path}: {'read' if exists else 'not there'}" for path, exists in files.items()),
            ]
        ),
    )


def _store(settings: Settings) -> Path:
    return settings.store or options.builtin_store()


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return "; ".join(f"{prefix} -> {', '.join(listed)}" for prefix, listed in value.items()) or "none"
    return str(value)

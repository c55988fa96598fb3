"""The manifest: what a person wants carried across the gap, and run there. docs/manifest.md is made from this."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TypeVar

from pydantic import Field

from bundler.core.reference import BundleName
from bundler.manifest.apps import AnyService
from bundler.manifest.artifacts import AnyDataset, Image, Model
from bundler.manifest.evaluation import Evaluate
from bundler.manifest.fields import (
    BundleNameText,
    BundleVersionText,
    CapabilityField,
    DriverText,
    Line,
    Name,
    Section,
    SizeField,
)
from bundler.manifest.names import TRAINED
from bundler.manifest.serving import AdaptedService, AnyModelService, AskField, ModelService, Service
from bundler.manifest.training import Train

S = TypeVar("S", bound=Service)


class Target(Section):
    """The node that the bundle is for. Left out, it runs on the CPU."""

    gpu: Line | None = Field(
        default=None, description="The model of GPU, like `L20`; its memory and capability are looked up."
    )
    count: int = Field(default=1, ge=0, le=64, description="How many GPUs; 0 means the CPU.")
    memory: SizeField | None = Field(
        default=None, description="Memory of each GPU, as `48GiB`; left out: the smallest that this GPU is sold with."
    )
    capability: CapabilityField | None = Field(default=None, description='Compute capability in quotes, like "8.9".')
    driver: DriverText | None = Field(
        default=None,
        description='The oldest driver to accept, in quotes, like "550"; left out: what CUDA 12 needs at least.',
    )


class Manifest(Section):
    """A bundle: its artifacts, the job that trains, the services that stay up."""

    name: BundleNameText = Field(description="The bundle's name.")
    version: BundleVersionText = Field(description='The version, in quotes where it looks like a number: "1.0".')
    target: Target = Field(
        default=Target(count=0), description="The node that the bundle is for; the CPU when left out."
    )
    images: dict[Name, Image] = Field(default={}, description="Container images, by name.")
    models: dict[Name, Model] = Field(default={}, description="Models, by name.")
    datasets: dict[Name, AnyDataset] = Field(default={}, description="Datasets, by name.")
    train: Train | None = Field(default=None, description="The training job.")
    evaluate: Evaluate | None = Field(default=None, description="What `bundle evaluate` asks.")
    serve: AnyModelService | None = Field(default=None, description="The service that answers `ask`.")
    services: dict[Name, AnyService] = Field(default={}, description="Further services, by name.")
    ask: AskField | None = Field(
        default=None,
        description="A question for `serve` once everything is up: text, or a mapping of `text` and `max_tokens`.",
    )

    @property
    def bundle(self) -> BundleName:
        """The bundle's name and version."""
        return BundleName(self.name, self.version)

    def all_services(self) -> Iterator[tuple[tuple[str, ...], Service]]:
        """Each service, and the keys under which it stands; `serve` first."""
        if self.serve:
            yield ("serve",), self.serve
        for name, service in self.services.items():
            yield ("services", name), service

    def services_of(self, kind: type[S]) -> Iterator[tuple[tuple[str, ...], S]]:
        """The services of one class, and the keys under which they stand."""
        for path, service in self.all_services():
            if isinstance(service, kind):
                yield path, service

    @property
    def serves_adapter(self) -> bool:
        """Whether a service takes the training job's adapter without a merge."""
        return any(service.adapter for _, service in self.services_of(AdaptedService))

    @property
    def needs_merge(self) -> bool:
        """Whether an adapter is merged: unless every service that there is for it takes it as it is."""
        return not self.serves_adapter or any(service.model == TRAINED for _, service in self.services_of(ModelService))


def schema_json() -> str:
    """The manifest's JSON Schema (draft 2020-12), for editors and for docs/manifest.md."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **Manifest.model_json_schema()}
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"

"""What the manifest says of artifacts: images, models, datasets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag

from bundler.manifest.fields import Line, Lines, Name, PathField, ReferenceField, Section

DATASET_TYPES = frozenset({"arrow", "csv", "json", "jsonl", "parquet", "txt"})
"""File types that LLaMA-Factory reads (0.9.3, extras/constants.py, FILEEXT2TYPE)."""


class DockerfileImage(Section):
    """An image that is built before the gap from a dockerfile template, on a base image pinned by digest."""

    dockerfile: PathField = Field(description="The directory of `Dockerfile.j2` and the files that it uses.")
    base: ReferenceField = Field(description="The image to build on; the lock pins it to its digest.")
    arguments: dict[Line, str] = Field(default={}, description="Variables of the template, as `arguments.NAME` in it.")
    files: dict[Name, PathField] = Field(
        default={}, description="Further files or directories, put into the build context under these names."
    )


class RegistryImage(Section):
    """An image that a registry holds. Its manifest and blobs are carried as they are, with their digests."""

    registry: ReferenceField = Field(description="The image, as `docker pull` takes it; the lock pins its digest.")
    plain_http: bool = Field(
        default=False,
        description="Speak HTTP without TLS to this registry. A registry on the loopback needs no such word.",
    )


class HuggingFaceModel(Section):
    """A model of the Hugging Face Hub, or of a mirror of it."""

    huggingface: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)?$")] = Field(
        description="The repository, like `Qwen/Qwen3-32B`."
    )
    revision: Line = Field(default="main", description="Branch, tag or commit; the lock pins the commit.")
    include: Lines = Field(default=(), description="Glob patterns of the files to take; all when empty.")
    exclude: Lines = Field(default=(), description="Glob patterns of files to leave out, of those included.")


class LocalModel(Section):
    """A model that lies in a directory of this machine."""

    path: PathField = Field(description="The directory with `config.json` and the weights.")


class Columns(Section):
    """Which column of a dataset is which. `null` says that there is none.

    The defaults are LLaMA-Factory's (0.9.3, data/parser.py, DatasetAttr). Members left out keep them here,
    because all are written to dataset_info.json: LLaMA-Factory itself takes a member left out for none.
    """

    prompt: Line | None = Field(default="instruction", description="alpaca: the instruction.")
    query: Line | None = Field(
        default="input", description="alpaca: the input; a column missing in the data is an error."
    )
    response: Line | None = Field(default="output", description="alpaca: the answer.")
    history: Line | None = Field(default=None, description="alpaca: earlier turns, pairs of instruction and answer.")
    messages: Line | None = Field(default="conversations", description="sharegpt, openai: the list of messages.")
    system: Line | None = Field(default=None, description="The system prompt.")
    tools: Line | None = Field(default=None, description="The tools, as a JSON string.")
    images: Line | None = Field(default=None, description="Paths of images.")
    videos: Line | None = Field(default=None, description="Paths of videos.")
    audios: Line | None = Field(default=None, description="Paths of audio files.")
    chosen: Line | None = Field(default=None, description="ranking: the better answer.")
    rejected: Line | None = Field(default=None, description="ranking: the worse answer.")
    kto_tag: Line | None = Field(default=None, description="kto: whether the answer is wanted, a JSON boolean.")


class Tags(Section):
    """The keys and roles of messages (formatting sharegpt and openai). Defaults are LLaMA-Factory's."""

    role_tag: Line = Field(default="from", description="The key of a message's role.")
    content_tag: Line = Field(default="value", description="The key of a message's text.")
    user_tag: Line = Field(default="human", description="The role of the user.")
    assistant_tag: Line = Field(default="gpt", description="The role of the assistant.")
    observation_tag: Line = Field(default="observation", description="The role of a tool's result.")
    function_tag: Line = Field(default="function_call", description="The role of a tool's call.")
    system_tag: Line = Field(default="system", description="The role of the system prompt.")


class Dataset(Section):
    """A dataset that lies on this machine."""

    path: PathField = Field(
        description="A file (arrow, csv, json, jsonl, parquet, txt), or a directory with files of one of these types."
    )
    formatting: Literal["alpaca", "sharegpt", "openai"] = Field(
        default="alpaca", description="The shape of a record; `openai` from LLaMA-Factory 0.9.4."
    )
    ranking: bool = Field(default=False, description="Records hold a better and a worse answer (stages rm and dpo).")
    columns: Columns = Field(default_factory=Columns, description="Which column is which.")
    tags: Tags = Field(default_factory=Tags, description="Keys and roles of messages.")

    @property
    def file_name(self) -> str | None:
        """The file's name; None when the path is a directory's. By its suffix alone: it may not be there yet."""
        path = self.path.resolved
        return path.name if path.suffix.lstrip(".") in DATASET_TYPES else None


def _one_of(**kinds: type[Section]) -> Discriminator:
    """Choose the class by the one key that is there, so that errors speak of that class alone."""

    def choose(value: object) -> str | None:
        if isinstance(value, Section):
            return type(value).__name__
        present = [kind.__name__ for key, kind in kinds.items() if isinstance(value, Mapping) and key in value]
        return present[0] if len(present) == 1 else None

    keys = " or ".join(f"'{key}:'" for key in kinds)
    return Discriminator(
        choose, custom_error_type="one_source", custom_error_message=f"a mapping with either {keys}, not both"
    )


Image = Annotated[
    Annotated[DockerfileImage, Tag("DockerfileImage")] | Annotated[RegistryImage, Tag("RegistryImage")],
    _one_of(dockerfile=DockerfileImage, registry=RegistryImage),
]
Model = Annotated[
    Annotated[HuggingFaceModel, Tag("HuggingFaceModel")] | Annotated[LocalModel, Tag("LocalModel")],
    _one_of(huggingface=HuggingFaceModel, path=LocalModel),
]

"""What the manifest says of artifacts: images, models, datasets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal
from urllib.parse import unquote, urlsplit

from pydantic import AfterValidator, Discriminator, Field, Tag, model_validator

from bundler.manifest.fields import (
    FilePath,
    Line,
    Lines,
    Name,
    OwnedRepositoryField,
    PathField,
    ReferenceField,
    RepositoryField,
    Section,
    Sha256Field,
    UrlField,
)
from bundler.manifest.lock import Origin

DATASET_TYPES = frozenset({"arrow", "csv", "json", "jsonl", "parquet", "txt"})
"""File types that LLaMA-Factory reads (0.9.3, extras/constants.py, FILEEXT2TYPE)."""


def one_of(**kinds: type[Section]) -> Discriminator:
    """Choose the class by the one key that is there, so that errors speak of that class alone."""

    def choose(value: object) -> str | None:
        if isinstance(value, Section):
            return type(value).__name__
        present = [kind.__name__ for key, kind in kinds.items() if isinstance(value, Mapping) and key in value]
        return present[0] if len(present) == 1 else None

    *most, last = (f"'{key}:'" for key in kinds)
    keys = f"either {most[0]} or {last}, not both" if len(most) == 1 else f"one of {', '.join(most)} or {last}"
    return Discriminator(choose, custom_error_type="one_source", custom_error_message=f"a mapping with {keys}")


class DockerfileImage(Section):
    """An image that is built before the gap from a dockerfile template, on a base image pinned by digest."""

    dockerfile: PathField = Field(description="The directory of `Dockerfile.j2` and the files that it uses.")
    base: ReferenceField = Field(description="The image to build on; the lock pins it to its digest.")
    plain_http: bool = Field(
        default=False,
        description="Speak HTTP without TLS to the base's registry. One on the loopback needs no such word.",
    )
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


def _different(hubs: tuple[Section, ...]) -> tuple[Section, ...]:
    if not hubs or len(set(hubs)) != len(hubs):
        raise ValueError("at least one repository, none of them twice")
    return hubs


class HuggingFaceOrigin(Section):
    """A repository of the Hugging Face Hub, or of a mirror of it (`HF_ENDPOINT`)."""

    huggingface: RepositoryField = Field(description="The repository, like `Qwen/Qwen3-32B`.")
    revision: Line = Field(default="main", description="Branch, tag or commit; the lock pins the commit.")

    @property
    def origin(self) -> Origin:
        """As the lock writes it."""
        return Origin(f"hf://{self.huggingface}", self.revision)


class ModelScopeOrigin(Section):
    """A repository of ModelScope."""

    modelscope: OwnedRepositoryField = Field(description="The repository, like `Qwen/Qwen3-32B`.")
    revision: Line = Field(default="master", description="Branch, tag or commit; the lock pins the commit.")

    @property
    def origin(self) -> Origin:
        """As the lock writes it."""
        return Origin(f"modelscope://{self.modelscope}", self.revision)


Hubs = Annotated[
    tuple[
        Annotated[
            Annotated[HuggingFaceOrigin, Tag("HuggingFaceOrigin")]
            | Annotated[ModelScopeOrigin, Tag("ModelScopeOrigin")],
            one_of(huggingface=HuggingFaceOrigin, modelscope=ModelScopeOrigin),
        ],
        ...,
    ],
    Field(strict=False, json_schema_extra={"minItems": 1}),
    AfterValidator(_different),
]


class HubModel(Section):
    """What the models of all hubs have: which files are taken."""

    include: Lines = Field(default=(), description="Glob patterns of the files to take; all when empty.")
    exclude: Lines = Field(default=(), description="Glob patterns of files to leave out, of those included.")
    allow: Lines = Field(
        default=(),
        description="Files to take although they can run code when they are loaded: pickled weights (`.bin`, `.pt`, "
        "`.pth`, `.ckpt`) and `*.py`. Paths in full: no pattern brings them in.",
    )

    @property
    def origins(self) -> tuple[Origin, ...]:
        """The repositories, in the order in which they are asked."""
        raise NotImplementedError


class HuggingFaceModel(HubModel, HuggingFaceOrigin):
    """A model of the Hugging Face Hub, or of a mirror of it."""

    @property
    def origins(self) -> tuple[Origin, ...]:
        """The one repository."""
        return (self.origin,)


class ModelScopeModel(HubModel, ModelScopeOrigin):
    """A model of ModelScope."""

    @property
    def origins(self) -> tuple[Origin, ...]:
        """The one repository."""
        return (self.origin,)


class ManyHubsModel(HubModel):
    """A model that several hubs have. They are asked in this order; where two state a SHA-256 for the same file, they
    must agree. What one can't give is fetched from the next."""

    hubs: Hubs = Field(alias="from", description="The repositories, the preferred one first.")

    @property
    def origins(self) -> tuple[Origin, ...]:
        """The repositories, in their order."""
        return tuple(hub.origin for hub in self.hubs)


class UrlFile(Section):
    """A file on a web server. Redirects are followed; proxies are the environment's."""

    url: UrlField = Field(description="Its address: http or https, without user name and password.")
    sha256: Sha256Field = Field(description="The SHA-256 that its bytes must have, 64 hexadecimal digits.")


class UrlModel(Section):
    """A model whose files lie on web servers."""

    files: dict[FilePath, UrlFile] = Field(
        min_length=1, description="The files, by their path in the model: `config.json`, `model.safetensors`, ..."
    )


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
    """What datasets have in common, wherever they are: how a record reads."""

    formatting: Literal["alpaca", "sharegpt", "openai"] = Field(
        default="alpaca", description="The shape of a record; `openai` from LLaMA-Factory 0.9.4."
    )
    ranking: bool = Field(default=False, description="Records hold a better and a worse answer (stages rm and dpo).")
    columns: Columns = Field(default_factory=Columns, description="Which column is which.")
    tags: Tags = Field(default_factory=Tags, description="Keys and roles of messages.")

    @property
    def file_name(self) -> str | None:
        """The file's name; None where it is a directory of them."""
        raise NotImplementedError


class LocalDataset(Dataset):
    """A dataset that lies on this machine."""

    path: PathField = Field(
        description="A file (arrow, csv, json, jsonl, parquet, txt), or a directory with files of one of these types."
    )

    @property
    def file_name(self) -> str | None:
        """The file's name; None when the path is a directory's. By its suffix alone: it may not be there yet."""
        path = self.path.resolved
        return path.name if path.suffix.lstrip(".") in DATASET_TYPES else None


class UrlDataset(Dataset, UrlFile):
    """A dataset on a web server: one file."""

    name: Line | None = Field(
        default=None,
        description="The file's name, which says its type (arrow, csv, json, jsonl, parquet, txt); left out: the "
        "URL's last part.",
    )

    @model_validator(mode="after")
    def _named(self) -> UrlDataset:
        name = self.file_name
        if "/" in name or name.startswith(".") or name.rpartition(".")[2] not in DATASET_TYPES:
            types = ", ".join(f".{suffix}" for suffix in sorted(DATASET_TYPES))
            raise ValueError(f"a file that ends in {types}: say it with 'name:', as the URL ends in {name!r}")
        return self

    @property
    def file_name(self) -> str:
        """The file's name."""
        return self.name or unquote(urlsplit(self.url).path.rpartition("/")[2])


Image = Annotated[
    Annotated[DockerfileImage, Tag("DockerfileImage")] | Annotated[RegistryImage, Tag("RegistryImage")],
    one_of(dockerfile=DockerfileImage, registry=RegistryImage),
]
Model = Annotated[
    Annotated[HuggingFaceModel, Tag("HuggingFaceModel")]
    | Annotated[ModelScopeModel, Tag("ModelScopeModel")]
    | Annotated[ManyHubsModel, Tag("ManyHubsModel")]
    | Annotated[LocalModel, Tag("LocalModel")]
    | Annotated[UrlModel, Tag("UrlModel")],
    one_of(
        **{"huggingface": HuggingFaceModel, "modelscope": ModelScopeModel, "from": ManyHubsModel},
        path=LocalModel,
        files=UrlModel,
    ),
]
AnyDataset = Annotated[
    Annotated[LocalDataset, Tag("LocalDataset")] | Annotated[UrlDataset, Tag("UrlDataset")],
    one_of(path=LocalDataset, url=UrlDataset),
]

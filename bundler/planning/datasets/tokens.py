"""Counts tokens with a model's own tokenizer.json, by the library that LLaMA-Factory's tokenizers stand on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bundler.core.strict_json import MalformedJson, parse_object
from bundler.planning.datasets.convert import Aligned
from bundler.planning.datasets.description import Stage
from bundler.planning.datasets.lengths import Lengths, Spread
from bundler.planning.datasets.packing import Packing
from bundler.planning.datasets.template import Template, without_bos
from bundler.planning.datasets.verdict import Place

if TYPE_CHECKING:
    from tokenizers import Tokenizer

LARGEST = 64 << 20
"""Bytes of the largest tokenizer.json that is read. Gemma 3's has 33 MB."""
BATCH = 1 << 20
"""Characters that are tokenized at once, over all cores."""
BUDGET = 100_000_000
"""Bytes of a dataset's files that are tokenized. Of more, an evenly spaced part of the records is."""


class NoTokenizer(Exception):
    """There is none to count with; `str()` says why."""


class ModelTokenizer:
    """A tokenizer.json, and what its neighbour tokenizer_config.json says."""

    def __init__(self, path: Path, config: Path | None, template: Template) -> None:
        """Raises NoTokenizer."""
        self._tokenizer = _loaded(path)
        said = _config(config)
        self.template = template if said is None or said.get("bos_token") else without_bos(template)
        self.first = 1 if _begins_with_bos(said or {}) else 0
        # transformers adds what its config names, LLaMA-Factory the words at which its template stops.
        known = {one.content for one in self._tokenizer.get_added_tokens_decoder().values()}
        wanted = dict.fromkeys((*_named(said), *template.stop_words))
        self._tokenizer.add_special_tokens([one for one in wanted if one not in known])

    def count(self, texts: Sequence[str]) -> list[int]:
        """The tokens of each text, without any that a post-processor would put around it.

        One of more than BATCH characters is cut, so that memory stays bounded: that may make a few tokens more.
        """
        counts = []
        group: list[str] = []
        characters = 0
        for text in texts:
            if len(text) > BATCH:
                counts += [*self._encoded(group), sum(sum(self._encoded([part])) for part in _parts(text))]
                group, characters = [], 0
                continue
            group.append(text)
            characters += len(text)
            if characters > BATCH:
                counts += self._encoded(group)
                group, characters = [], 0
        return counts + self._encoded(group)

    def _encoded(self, texts: Sequence[str]) -> list[int]:
        try:
            found = self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        except TypeError:  # half a surrogate pair, which a JSON array may hold, is no text to the library
            texts = [text.encode("utf-8", "replace").decode() for text in texts]
            found = self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        return [len(one) for one in found]


def _parts(text: str) -> Iterator[str]:
    for at in range(0, len(text), BATCH):
        yield text[at : at + BATCH]


def _loaded(path: Path) -> Tokenizer:
    from tokenizers import Tokenizer

    try:
        if not path.is_file():  # a pipe might never end
            raise NoTokenizer(f"{path} is no file" if path.exists() else f"there is no {path}")
        if path.stat().st_size > LARGEST:
            raise NoTokenizer(f"{path} has more than {LARGEST >> 20} MiB")
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise NoTokenizer(f"{path} can't be read: {error}") from error
    try:
        made = Tokenizer.from_str(text)
    except Exception as error:  # the library raises nothing narrower
        raise NoTokenizer(f"{path} is no tokenizer.json: {str(error)[:120]}") from error
    made.no_truncation()
    made.no_padding()
    return made


def _config(path: Path | None) -> dict[str, Any] | None:
    """A tokenizer_config.json; None where there is none."""
    if path is None or not path.is_file():
        return None
    try:
        return parse_object(path.read_bytes(), str(path))
    except (OSError, MalformedJson) as error:
        raise NoTokenizer(f"{path} can't be read: {error}") from error


def _begins_with_bos(config: dict[str, Any]) -> bool:
    """Whether stage pt puts a first token before each text: `add_bos_token` is known to these classes alone, and on
    unless said otherwise (transformers 4.51.3).
    """
    known = str(config.get("tokenizer_class", "")).removesuffix("Fast") in ("LlamaTokenizer", "GemmaTokenizer")
    return known and bool(config.get("bos_token")) and bool(config.get("add_bos_token", True))


def _named(config: dict[str, Any] | None) -> list[str]:
    """The added tokens of a tokenizer_config.json."""
    named = (config or {}).get("added_tokens_decoder")
    contents = (
        [one.get("content") for one in named.values() if isinstance(one, dict)] if isinstance(named, dict) else []
    )
    return [one for one in contents if isinstance(one, str) and one]


class TokenWatch:
    """Counts the tokens of each record that the judge keeps, every `stride`th of them."""

    def __init__(
        self,
        tokenizer: ModelTokenizer,
        stage: Stage,
        *,
        stride: int = 1,
        packed: bool = False,
        packing: Callable[[], Packing] | None = None,
        files: int = 1,
    ) -> None:
        """`packing` makes what counts the sequences of packed records; `files` is how many the dataset has."""
        self._files = files
        self._tokenizer = tokenizer
        self._new_packing = packing
        self._stage = stage
        self._stride = stride
        self._packed = packed
        self.begin()

    def begin(self) -> None:
        """Forget what was counted: the dataset is read once more."""
        self._spread = Spread()
        self._packing = self._new_packing() if self._new_packing else None
        self._seen = 0
        self._waiting: list[tuple[Callable[[], Place], list[tuple[int, int]]]] = []
        self._texts: list[str] = []
        self._characters = 0

    def take(self, aligned: Aligned, place: Callable[[], Place]) -> None:
        """One record."""
        self._seen += 1
        if (self._seen - 1) % self._stride:
            return
        sequences = []
        for texts, tokens in self._sequences(aligned):
            self._texts += texts
            self._characters += sum(map(len, texts))
            sequences.append((len(texts), tokens))
        self._waiting.append((place, sequences))
        if self._characters >= BATCH:
            self._count()

    def _sequences(self, aligned: Aligned) -> Iterable[tuple[list[str], int]]:
        if self._stage == "pt":  # the text and its end (data/processor/pretrain.py)
            text = aligned.prompt[0][1]
            return [([text] if text else [], 1 + (0 if self._packed else self._tokenizer.first))]
        return [(one.texts, one.tokens) for one in self._tokenizer.template.pieces(aligned, self._stage)]

    def _count(self) -> None:
        counts = iter(self._tokenizer.count(self._texts))
        totals = [
            max(tokens + sum(next(counts) for _ in range(number)) for number, tokens in sequences)
            for _, sequences in self._waiting
        ]
        self._spread.take(totals, [place for place, _ in self._waiting])
        if self._packing:
            self._packing.take(totals)
        self._waiting, self._texts, self._characters = [], [], 0

    def lengths(self, name: str, cutoff: int) -> Lengths | None:
        """What was counted; None where no record was kept."""
        self._count()
        truncates = not (self._stage == "pt" and self._packed)
        found = self._spread.lengths(name, cutoff, sampled=self._stride > 1, truncates=truncates)
        if found and self._packing:
            return replace(found, packed=self._packing.sequences(), files=self._files)
        return found

"""Directories that transformers writes: config.json, weights in shards, tokenizer files, the model card's front matter.

What is true here:

- Values are given as the files give them; two files that disagree are asked in a written order, and no file is asked for
  what it does not say.
- Nothing is imported and no code of the repository is run; that a configuration asks for it is noted.

Not known here: what the settings mean, and any model by name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from commands.inspect import safetensors
from commands.inspect.reading import DamagedError, Findings, count, json_object, pickles, said, written
from commands.observe import read_small
from commands.plain import NotPlainError, Row, Table, Word, parse

CONFIG, GENERATION, CARD = "config.json", "generation_config.json", "README.md"
TOKENIZER, TOKENIZER_CONFIG = "tokenizer.json", "tokenizer_config.json"

# What a configuration says beside the fields of its own: sizes, and how numbers were kept.
_SETTINGS = (
    "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "head_dim",
    "num_experts", "num_local_experts", "num_experts_per_tok", "hidden_act", "rope_theta", "sliding_window",
    "tie_word_embeddings", "attention_dropout", "torch_dtype", "dtype", "transformers_version",
)  # fmt: skip
_GENERATION = ("do_sample", "temperature", "top_k", "top_p", "repetition_penalty", "max_length", "max_new_tokens")
_CONTEXT = ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length")
_MAX_CARD = 4 * 1024 * 1024


def describe(root: Path, names: Sequence[str]) -> Findings:
    """Describe a model that stands for itself."""
    found = Findings("transformers-model")
    with found.noting(CONFIG):
        _tell(json_object(root / CONFIG), found)
    if GENERATION in names:
        with found.noting(GENERATION):
            generation = json_object(root / GENERATION)
            found.settings |= {f"generation.{key}": value for key, value in _chosen(generation, _GENERATION)}
    safetensors.gather(root, "model", names, found)
    tell_surroundings(root, names, found)
    return found


def describe_tokenizer(root: Path, names: Sequence[str]) -> Findings:
    """Describe a tokenizer without a model."""
    found = Findings("tokenizer")
    tell_surroundings(root, names, found)
    return found


def tell_surroundings(root: Path, names: Sequence[str], found: Findings) -> None:
    """Add what stands beside any model: tokenizer, model card, files that are not opened."""
    _tell_tokenizer(root, names, found)
    if CARD in names:
        with found.noting(CARD):
            _tell_card(front_matter(root / CARD), found)
    found.notes += pickles(names)


def is_model(root: Path, names: Sequence[str]) -> bool:
    """Tell whether config.json is that of a model: other programs have files of that name."""
    try:
        config = json_object(root / CONFIG)
    except DamagedError:
        return any(name.startswith("model") and name.endswith((".safetensors", ".index.json")) for name in names)
    return bool(said(config.get("model_type")) or config.get("architectures"))


def _tell(config: Mapping[str, Any], found: Findings) -> None:
    parts = [config, *(part for part in (config.get("text_config"),) if isinstance(part, dict))]
    found.architecture_family = said(config.get("model_type"))
    architectures = config.get("architectures")
    found.architecture = said(architectures[0]) if isinstance(architectures, list) and architectures else None
    found.context_length = _first(parts, _CONTEXT)
    found.vocabulary = _first(parts, ("vocab_size",))
    for part in reversed(parts):
        found.settings |= dict(_chosen(part, _SETTINGS))
    found.quantization = _quantization(config.get("quantization_config"))
    if config.get("auto_map"):
        found.notes.append(f"{CONFIG}: auto_map asks for code that came with the model; it was not run")


def _first(parts: Sequence[Mapping[str, Any]], keys: Sequence[str]) -> int | None:
    return next((number for part in parts for key in keys if (number := count(part.get(key))) is not None), None)


def _chosen(config: Mapping[str, Any], keys: Sequence[str]) -> Iterator[tuple[str, str]]:
    return ((key, written(config[key])) for key in keys if config.get(key) is not None)


def _quantization(config: object) -> str | None:
    """Give method and width, as in "gptq 4 bit"."""
    if not isinstance(config, dict) or not (method := said(config.get("quant_method"))):
        return None
    bits = count(config.get("bits")) or next((n for n in (4, 8) if config.get(f"load_in_{n}bit") is True), None)
    return f"{method} {bits} bit" if bits else method


def _tell_tokenizer(root: Path, names: Sequence[str], found: Findings) -> None:
    if TOKENIZER_CONFIG in names:
        with found.noting(TOKENIZER_CONFIG):
            found.tokenizer = said(json_object(root / TOKENIZER_CONFIG).get("tokenizer_class"))
    if TOKENIZER in names and (found.tokenizer is None or found.vocabulary is None):
        with found.noting(TOKENIZER):
            tokenizer = json_object(root / TOKENIZER)
            model = tokenizer.get("model")
            if not isinstance(model, dict):
                raise DamagedError("it holds no tokenizer model")
            found.tokenizer = found.tokenizer or said(model.get("type"))
            found.vocabulary = found.vocabulary or _vocabulary(model.get("vocab"), tokenizer.get("added_tokens"))


def _vocabulary(vocab: object, added: object) -> int | None:
    """Count the tokens; an added token may stand in the vocabulary as well (BPE), where entries are known by number."""
    if isinstance(vocab, list):  # Unigram: pairs of token and score; the number is the place
        numbers = set(range(len(vocab)))
    elif isinstance(vocab, dict):
        numbers = {number for number in vocab.values() if type(number) is int}
    else:
        return None
    tokens = added if isinstance(added, list) else []
    numbers |= {token["id"] for token in tokens if isinstance(token, dict) and type(token.get("id")) is int}
    return len(numbers)


def front_matter(path: Path) -> Table:
    """Give the YAML between the lines of dashes that a model card may begin with. Raises DamagedError."""
    if path.stat().st_size > _MAX_CARD:
        raise DamagedError(f"longer than {_MAX_CARD} bytes, not read")
    lines = read_small(path, _MAX_CARD).splitlines()
    if not lines or lines[0].rstrip() != b"---":
        return Table()
    end = next((n for n, line in enumerate(lines[1:], 1) if line.rstrip() == b"---"), None)
    if end is None:
        raise DamagedError("its front matter does not end")
    try:
        matter = parse(b"\n".join(lines[1:end]))
    except NotPlainError as error:
        raise DamagedError(f"its front matter cannot be read: {error}") from None
    return matter if isinstance(matter, Table) else Table()


def _tell_card(card: Table, found: Findings) -> None:
    """Add what the model card says, where the files themselves were silent (keys: the Hub's model card specification)."""
    licence = _words(card, "license")
    named = _words(card, "license_name") if licence == ["other"] else []
    found.license = found.license or " AND ".join(named or licence) or None
    bases = _words(card, "base_model")
    if found.base_model is None and bases:
        found.base_model = bases[0]
    if len(bases) > 1:
        found.notes.append(f"{CARD}: more base models than one: {', '.join(bases)}")
    found.name = found.name or next(iter(_words(card, "model_name")), None)


def _words(card: Table, key: str) -> list[str]:
    value = card.entries.get(key)
    items = value.items if isinstance(value, Row) else [value]
    return [item.text.strip() for item in items if isinstance(item, Word) and not item.is_null and item.text.strip()]

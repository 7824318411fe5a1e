"""What the headers of an artifact say of it.

What is true here:

- Only headers and small text files are read: no weights, no pickles, no code.
- What is damaged, missing or contradictory becomes a note, and nothing that depends on it is told; no value is invented.
- What is returned is valid for the ledger: redacted, encodable, within the bounds of its fields.
- The digest is the caller's: it was made by reading the same path before. Both readings follow links to files.

Not known here: what the artifact was given as, and what becomes of the description.
"""

from __future__ import annotations

import re
from pathlib import Path

from commands.cleaning import Cleaner
from commands.inspect import adapter, gguf, safetensors, transformers
from commands.inspect.reading import MAX_NOTES, MAX_SETTINGS, Findings, members, pickles
from commands.redaction import Redactor
from ledger.events.artifact import ArtifactDescribed

__all__ = ["describe"]

_MAX_SETTING, _MAX_NOTE = 4096, 1000
_FILES = {".safetensors": safetensors.describe, ".gguf": gguf.describe}


def describe(path: Path, sha256: str, redactor: Redactor | None = None) -> ArtifactDescribed | None:
    """Describe a file or a directory whose digest is `sha256`; None where there is no header to read.

    Raises InputError where it cannot be read at all.
    """
    found = _directory(path) if path.is_dir() else _file(path)
    return None if found is None else _event(found, sha256, Cleaner(redactor))


def _file(path: Path) -> Findings | None:
    reader = _FILES.get(path.suffix.lower())
    if reader is not None:
        return reader(path)
    notes = list(pickles([path.name]))
    return Findings("other", notes=notes) if notes else None


def _directory(root: Path) -> Findings | None:
    """Recognise a directory by its files: the most telling first."""
    names = members(root)
    if adapter.CONFIG in names:
        return adapter.describe(root, names)
    if transformers.CONFIG in names and transformers.is_model(root, names):
        return transformers.describe(root, names)
    if parts := [name for name in names if name.lower().endswith(".gguf")]:
        return gguf.describe_parts(root, parts)
    if weights := [name for name in names if name.endswith(".safetensors")]:
        found = Findings("safetensors")
        safetensors.gather(root, re.sub(r"(-\d{5}-of-\d{5})?\.safetensors\Z", "", weights[0]), names, found)
        transformers.tell_surroundings(root, names, found)
        return found
    if transformers.TOKENIZER in names or transformers.TOKENIZER_CONFIG in names:
        return transformers.describe_tokenizer(root, names)
    notes = list(pickles(names))
    return Findings("other", notes=notes) if notes else None


def _event(found: Findings, sha256: str, cleaner: Cleaner) -> ArtifactDescribed:
    settings = dict(list(found.settings.items())[:MAX_SETTINGS])
    if len(found.settings) > len(settings):
        found.notes.insert(0, f"{len(found.settings) - len(settings)} more settings were left out")
    notes = found.notes[: MAX_NOTES - 1]
    if len(found.notes) > len(notes):
        notes.append(f"and {len(found.notes) - len(notes)} more")
    tensors = found.tensors
    return ArtifactDescribed(
        sha256=sha256,
        format=found.format,
        parameters=tensors.parameters if tensors else None,
        tensors=len(tensors.names) if tensors else None,
        dtypes=dict(sorted(tensors.dtypes.items())) if tensors else {},
        architecture_family=cleaner.name(found.architecture_family),
        architecture=cleaner.name(found.architecture),
        name=cleaner.name(found.name),
        license=cleaner.name(found.license),
        base_model=cleaner.name(found.base_model),
        base_revision=cleaner.name(found.base_revision),
        context_length=found.context_length,
        vocabulary=found.vocabulary,
        tokenizer=cleaner.name(found.tokenizer),
        quantization=cleaner.name(found.quantization),
        settings=cleaner.settings(settings, _MAX_SETTING),
        notes=[cleaner.text(note, _MAX_NOTE) for note in notes],
    )

"""Reading the beginnings of files that nobody has vouched for.

What is true here:

- Only regular files are opened (a link counts as what it leads to, as in `commands.observe`), and never to their end.
- Nothing is believed about a length before it was compared with the file's size.
- A file that is not what its name claims raises `DamagedError`; whoever asked makes it a note. A file that cannot be
  read at all is an `InputError`: it was readable when it was hashed.
- `Findings` holds what was read, as it was read; nothing in it is a guess.

Not known here: any format.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Literal

from commands.errors import InputError, because, quoted
from commands.observe import MAX_FILES, kind_of, read_small

MAX_HEADER = 100_000_000
"""Bytes of a header (the limit of the safetensors format)."""
MAX_JSON = 64 * 1024 * 1024
"""Bytes of a JSON file: tokenizers of 30 MB exist."""
MAX_DEPTH = 32
MAX_NOTES = 100
MAX_SETTINGS = 300
MAX_COUNT = 2**53 - 1

Format = Literal["gguf", "safetensors", "peft-adapter", "transformers-model", "tokenizer", "other"]

_PICKLES = re.compile(r"\.(bin|pt|pth|ckpt|pkl|pickle)\Z", re.IGNORECASE)
_OPEN = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY


class DamagedError(ValueError):
    """A file does not hold what its name claims. The message is one sentence without the file's name."""


@dataclass
class Tensors:
    """What headers say of tensors: names, and how many parameters there are of each type."""

    names: list[str] = field(default_factory=list)
    dtypes: Counter[str] = field(default_factory=Counter)

    @property
    def parameters(self) -> int:
        """All of them."""
        return self.dtypes.total()


@dataclass
class Findings:
    """An artifact's description in the making; the fields are those of `ArtifactDescribed`."""

    format: Format
    tensors: Tensors | None = None
    architecture_family: str | None = None
    architecture: str | None = None
    name: str | None = None
    license: str | None = None
    base_model: str | None = None
    base_revision: str | None = None
    context_length: int | None = None
    vocabulary: int | None = None
    tokenizer: str | None = None
    quantization: str | None = None
    settings: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @contextmanager
    def noting(self, name: str) -> Iterator[None]:
        """Turn damage in the file `name` into a note."""
        try:
            yield
        except DamagedError as error:
            self.notes.append(f"{name}: {error}")


@contextmanager
def opened(path: Path) -> Iterator[tuple[BinaryIO, int]]:
    """Open a regular file; give it with its size in bytes. Raises InputError."""
    try:
        if not stat.S_ISREG((status := path.stat()).st_mode):  # before opening: some devices act when opened
            raise InputError(f"{quoted(path)} is {kind_of(status)}", "name a regular file")
        with os.fdopen(os.open(path, _OPEN), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise InputError(f"{quoted(path)} is {kind_of(status)}", "name a regular file")
            yield file, status.st_size
    except (OSError, ValueError) as error:
        if isinstance(error, DamagedError):
            raise
        reason = because(error) if isinstance(error, OSError) else "no file can have that name"
        raise InputError(f"cannot read {quoted(path)}: {reason}") from error


def members(root: Path) -> list[str]:
    """Give the names of the files right below `root`, sorted. Raises InputError."""
    try:
        with os.scandir(root) as entries:
            names = [entry.name for entry in entries if entry.is_file()]
    except OSError as error:
        raise InputError(f"cannot read {quoted(root)}: {because(error)}") from error
    if len(names) > MAX_FILES:
        raise InputError(f"{quoted(root)} holds more than {MAX_FILES} files")
    return sorted(names)


def json_object(path: Path) -> dict[str, Any]:
    """Give the object in a JSON file of at most `MAX_JSON` bytes and `MAX_DEPTH` levels. Raises DamagedError.

    Python's reader, since transformers writes with Python's: `Infinity` is no JSON and stands in published configurations.
    """
    try:
        if path.stat().st_size > MAX_JSON:
            raise DamagedError(f"longer than {MAX_JSON} bytes, not read")
    except OSError as error:
        raise InputError(f"cannot read {quoted(path)}: {because(error)}") from error
    try:
        value = json.loads(read_small(path, MAX_JSON))
    except (ValueError, RecursionError):
        raise DamagedError("not JSON") from None
    if not isinstance(value, dict):
        raise DamagedError("no JSON object")
    level: list[Any] = [value]
    for _ in range(MAX_DEPTH):
        level = [child for node in level for child in _children(node)]
    if level:
        raise DamagedError(f"nested deeper than {MAX_DEPTH}")
    return value


def _children(node: Any) -> Iterator[Any]:
    inner = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    return (child for child in inner if isinstance(child, (dict, list)))


def written(value: object) -> str:
    """Give a JSON value as text: a string as it is, everything else as JSON with sorted keys."""
    if isinstance(value, str):
        return value
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def said(value: object) -> str | None:
    """Give a value that should be text, if it is text."""
    return value if isinstance(value, str) and value.strip() else None


def count(value: object) -> int | None:
    """Give a value that should be a count, if it is one."""
    return value if type(value) is int and 0 <= value <= MAX_COUNT else None


def pickles(names: Sequence[str]) -> Iterator[str]:
    """Say which files may hold a pickle: loading one runs what its author wrote into it."""
    for name in names:
        if _PICKLES.search(name):
            yield f"{name}: may be a pickle, which can run code when it is read; not opened"

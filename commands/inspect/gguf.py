"""Headers of GGUF files: typed keys and values, then where each tensor lies.

What is true here:

- A header is believed as a whole or not at all. Every count and length is compared with the bytes that are left before
  anything is read or reserved for it; the header ends within 100 MB.
- Tensors lie within the file, aligned, do not overlap, and are as long as their type's blocks say.
- Weights are never read; of an array only its length is kept.

The `gguf` package needs numpy, maps the whole file and takes seconds for a large vocabulary; the format is one page
(github.com/ggml-org/ggml, docs/gguf.md; versions 2 and 3, either byte order).

Not known here: what llama.cpp does with the keys.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from itertools import pairwise
from math import prod
from pathlib import Path
from typing import BinaryIO

from commands.inspect.reading import (
    MAX_COUNT,
    MAX_HEADER,
    DamagedError,
    Findings,
    Tensors,
    count,
    opened,
    said,
)

Value = int | float | bool | str | range
"""A value; an array is the range of its indices."""

_MAGIC = b"GGUF"
_VERSIONS = (2, 3)
_ALIGNMENT = 32
_MAX_KEY, _MAX_NAME, _MAX_DIMENSIONS, _MAX_NESTING = 65_535, 1024, 8, 4
_MIN_PAIR, _MIN_TENSOR = 13, 24  # bytes: the shortest pair (an empty key, one byte) and entry for a tensor
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_FLOAT, _STRING, _ARRAY = 6, 8, 9

# enum ggml_type: name, weights in a block, bytes of a block (ggml/src/ggml-common.h).
_TYPES = {
    0: ("F32", 1, 4), 1: ("F16", 1, 2), 2: ("Q4_0", 32, 18), 3: ("Q4_1", 32, 20), 6: ("Q5_0", 32, 22),
    7: ("Q5_1", 32, 24), 8: ("Q8_0", 32, 34), 10: ("Q2_K", 256, 84), 11: ("Q3_K", 256, 110), 12: ("Q4_K", 256, 144),
    13: ("Q5_K", 256, 176), 14: ("Q6_K", 256, 210), 15: ("Q8_K", 256, 292), 16: ("IQ2_XXS", 256, 66),
    17: ("IQ2_XS", 256, 74), 18: ("IQ3_XXS", 256, 98), 19: ("IQ1_S", 256, 50), 20: ("IQ4_NL", 32, 18),
    21: ("IQ3_S", 256, 110), 22: ("IQ2_S", 256, 82), 23: ("IQ4_XS", 256, 136), 24: ("I8", 1, 1), 25: ("I16", 1, 2),
    26: ("I32", 1, 4), 27: ("I64", 1, 8), 28: ("F64", 1, 8), 29: ("IQ1_M", 256, 56), 30: ("BF16", 1, 2),
    34: ("TQ1_0", 256, 54), 35: ("TQ2_0", 256, 66), 39: ("MXFP4", 32, 17), 40: ("NVFP4", 64, 36),
}  # fmt: skip
# enum llama_ftype (llama.cpp/include/llama.h), which `general.file_type` holds.
_FILE_TYPES = {
    0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 7: "Q8_0", 8: "Q5_0", 9: "Q5_1", 10: "Q2_K", 11: "Q3_K_S", 12: "Q3_K_M",
    13: "Q3_K_L", 14: "Q4_K_S", 15: "Q4_K_M", 16: "Q5_K_S", 17: "Q5_K_M", 18: "Q6_K", 19: "IQ2_XXS", 20: "IQ2_XS",
    21: "Q2_K_S", 22: "IQ3_XS", 23: "IQ3_XXS", 24: "IQ1_S", 25: "IQ4_NL", 26: "IQ3_S", 27: "IQ3_M", 28: "IQ2_S",
    29: "IQ2_M", 30: "IQ4_XS", 31: "IQ1_M", 32: "BF16", 36: "TQ1_0", 37: "TQ2_0", 38: "MXFP4_MOE", 39: "NVFP4",
}  # fmt: skip
_GENERAL = ("type", "version", "finetune", "size_label", "quantization_version")
_SPLIT = re.compile(r"(?P<stem>.+)-(?P<part>\d{5})-of-(?P<parts>\d{5})\.gguf\Z", re.ASCII | re.DOTALL)


class _Cursor:
    """Reads on; `left` bytes may still be read."""

    def __init__(self, file: BinaryIO, left: int) -> None:
        self._file = file
        self.left = left
        self.order = "<"

    def take(self, size: int) -> bytes:
        if size > self.left:
            raise DamagedError("cut short: the header would end behind the file, or is too long")
        self.left -= size
        taken = self._file.read(size)
        if len(taken) != size:
            raise DamagedError("cut short while it was read")
        return taken

    def skip(self, size: int) -> None:
        self.demand(size)
        self.left -= size
        self._file.seek(size, 1)

    def demand(self, size: int) -> None:
        if size > self.left:
            raise DamagedError("the header claims more than the file can hold")

    def number(self, form: str) -> int:
        return int(struct.unpack(self.order + form, self.take(struct.calcsize(f"<{form}")))[0])

    def string(self, limit: int = MAX_HEADER) -> str:
        length = self.number("Q")
        if length > limit:
            raise DamagedError(f"a name of {length} bytes")
        return self.take(length).decode("utf-8", "backslashreplace")


def read(path: Path) -> tuple[Tensors, dict[str, Value]]:
    """Give the tensors, and the keys with their values. Raises DamagedError, InputError where it cannot be read."""
    with opened(path) as (file, size):
        cursor = _Cursor(file, min(size, MAX_HEADER))
        if cursor.take(min(size, len(_MAGIC))) != _MAGIC:
            raise DamagedError("not GGUF: it does not begin with those letters")
        tensors, pairs = _counts(cursor)
        values: dict[str, Value] = {}
        for _ in range(pairs):
            key = cursor.string(_MAX_KEY)
            if key in values:
                raise DamagedError(f"the key {key[:100]!r} stands twice")
            values[key] = _value(cursor, cursor.number("I"))
        alignment = values.get("general.alignment", _ALIGNMENT)
        if type(alignment) is not int or alignment <= 0 or alignment % 8:
            raise DamagedError("general.alignment is no multiple of 8")
        found = Tensors()
        places = [_tensor(cursor, alignment, found) for _ in range(tensors)]
        begin = min(size, MAX_HEADER) - cursor.left
        _demand_truth(found, places, size - (begin + -begin % alignment))
    return found, values


def _counts(cursor: _Cursor) -> tuple[int, int]:
    version = cursor.number("I")
    if not version & 0xFFFF:  # written by a big-endian machine
        cursor.order, version = ">", int.from_bytes(version.to_bytes(4, "little"), "big")
    if version not in _VERSIONS:
        raise DamagedError(f"GGUF of version {version} is not known here")
    tensors, pairs = cursor.number("Q"), cursor.number("Q")
    cursor.demand(pairs * _MIN_PAIR + tensors * _MIN_TENSOR)
    return tensors, pairs


def _value(cursor: _Cursor, kind: int, depth: int = 0) -> Value:
    """Read one value; an array is passed over, and only its length kept."""
    if kind == _STRING:
        return cursor.string()
    if kind == _ARRAY:
        return _array(cursor, depth + 1)
    if kind not in _SCALARS:
        raise DamagedError(f"a value of the unknown type {kind}")
    form = _SCALARS[kind]
    (value,) = struct.unpack(cursor.order + form, cursor.take(struct.calcsize(f"<{form}")))
    return _shortest(value) if kind == _FLOAT else value


def _array(cursor: _Cursor, depth: int) -> range:
    if depth > _MAX_NESTING:
        raise DamagedError("arrays are nested too deep")
    kind, length = cursor.number("I"), cursor.number("Q")
    if kind in _SCALARS:
        cursor.skip(length * struct.calcsize(f"<{_SCALARS[kind]}"))
    else:
        cursor.demand(length * 8)
        for _ in range(length):
            _value(cursor, kind, depth)
    return range(length)


def _shortest(value: float) -> float:
    """Give the shortest decimal that a 32-bit float stands for: 1e-05, not 9.999999747378752e-06."""
    for digits in range(6, 9):
        if struct.pack("<f", short := float(f"{value:.{digits}g}")) == struct.pack("<f", value):
            return short
    return float(f"{value:.9g}")


def _tensor(cursor: _Cursor, alignment: int, found: Tensors) -> tuple[int, int]:
    """Read where a tensor lies, and count its parameters; give its offset and its size in bytes."""
    name = cursor.string(_MAX_NAME)
    dimensions = cursor.number("I")
    if dimensions > _MAX_DIMENSIONS:
        raise DamagedError(f"the tensor {name[:100]!r} has {dimensions} dimensions")
    shape = [cursor.number("Q") for _ in range(dimensions)]
    kind, offset = cursor.number("I"), cursor.number("Q")
    if kind not in _TYPES:
        raise DamagedError(f"the tensor {name[:100]!r} is of the unknown type {kind}")
    dtype, block, size = _TYPES[kind]
    if (shape[0] if shape else 1) % block:
        raise DamagedError(f"the tensor {name[:100]!r} does not fill its blocks of {block}")
    if offset % alignment:
        raise DamagedError(f"the tensor {name[:100]!r} is not aligned")
    found.names.append(name)
    found.dtypes[dtype] += prod(shape)
    return offset, prod(shape) // block * size


def _demand_truth(found: Tensors, places: list[tuple[int, int]], data: int) -> None:
    """Compare what was said with itself and with the `data` bytes behind it. Raises DamagedError."""
    if len(set(found.names)) != len(found.names):
        raise DamagedError("two tensors have one name")
    places.sort()
    if any(offset + size > following for (offset, size), (following, _) in pairwise(places)):
        raise DamagedError("tensors overlap")
    if places and sum(places[-1]) > data:
        raise DamagedError("cut short: a tensor would end behind the file")
    if found.parameters > MAX_COUNT:
        raise DamagedError("the header claims more parameters than can be counted")


def describe(path: Path) -> Findings:
    """Describe one file."""
    found = Findings("gguf")
    with found.noting(path.name):
        tensors, values = read(path)
        _tell(values, found)
        if count(values.get("split.count")) in (None, 0, 1):
            found.tensors = tensors
        else:
            found.notes.append(f"{path.name}: one part of several; the parameters of the whole are not known")
    return found


def describe_parts(root: Path, names: list[str]) -> Findings:
    """Describe a directory of GGUF files: one file, or the parts of one. Several models are not told apart."""
    if len(names) == 1:
        return describe(root / names[0])
    found = Findings("gguf")
    splits = [_SPLIT.match(name) for name in names]
    numbered = {(split["stem"], split["parts"]) for split in splits if split}
    if None in splits or len(numbered) != 1 or int(next(iter(numbered))[1]) != len(names):
        found.notes.append(f"{len(names)} GGUF files that are not the parts of one; name the one that is meant")
        return found
    total, broken = Tensors(), len(found.notes)
    for name in names:
        with found.noting(name):
            part, values = read(root / name)
            total.names += part.names
            total.dtypes += part.dtypes
            if count(values.get("split.no")) == 0:
                _tell(values, found)
    if len(found.notes) == broken:
        found.tensors = total
    return found


def _tell(values: Mapping[str, Value], found: Findings) -> None:
    """Put what the keys say where it belongs."""
    family = said(values.get("general.architecture"))
    found.architecture_family = family
    found.name = said(values.get("general.name"))
    found.license = said(values.get("general.license"))
    found.base_model = next(
        (base for key in ("repo_url", "name") if (base := said(values.get(f"general.base_model.0.{key}")))), None
    )
    found.base_revision = said(values.get("general.base_model.0.version"))
    found.context_length = count(values.get(f"{family}.context_length"))
    tokens = values.get("tokenizer.ggml.tokens")
    found.vocabulary = count(values.get(f"{family}.vocab_size")) or (len(tokens) if isinstance(tokens, range) else None)
    found.tokenizer = said(values.get("tokenizer.ggml.model"))
    found.quantization = (
        _FILE_TYPES.get(count(values.get("general.file_type")) or 0) if "general.file_type" in values else None
    )
    own = {key.removeprefix(f"{family}."): value for key, value in values.items() if key.startswith(f"{family}.")}
    own |= {f"general.{key}": values[f"general.{key}"] for key in _GENERAL if f"general.{key}" in values}
    found.settings = {
        key: str(value).lower() if isinstance(value, bool) else str(value)
        for key, value in sorted(own.items())
        if not isinstance(value, range)
    }

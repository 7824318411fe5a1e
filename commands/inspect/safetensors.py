"""Headers of safetensors files: eight bytes of length, then JSON that says where each tensor lies.

What is true here:

- A header is believed as a whole or not at all. It is held to what the format demands: at most 100 MB, tensors that
  cover the data exactly, without a hole or an overlap, each as long as its shape and type say.
- Weights are never read. A sum over shards exists only if every shard was read.

The `safetensors` package would do the same, but belongs to the training extra, and says of a damaged file only that it
is invalid; the format is small enough to be read here (github.com/huggingface/safetensors, "Format").

Not known here: what the tensors mean.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from math import prod
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from commands.inspect.reading import (
    MAX_COUNT,
    MAX_HEADER,
    DamagedError,
    Findings,
    Tensors,
    count,
    json_object,
    opened,
    said,
)

_LENGTH = 8  # bytes: unsigned, little-endian
_BITS = {
    "BOOL": 8, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8,
    "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8, "I16": 16, "U16": 16, "F16": 16, "BF16": 16, "I32": 32, "U32": 32, "F32": 32,
    "C64": 64, "F64": 64, "I64": 64, "U64": 64,
}  # fmt: skip
_SHARD = re.compile(r"-(\d{5})-of-(\d{5})\.safetensors\Z", re.ASCII)
# Where a file without a directory around it says more of itself: github.com/Stability-AI/ModelSpec.
_MODELSPEC = {
    "name": "modelspec.title",
    "license": "modelspec.license",
    "architecture": "modelspec.architecture",
}

_Size = Annotated[int, Meta(ge=0, le=2**63 - 1)]


class _Tensor(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    dtype: str
    shape: Annotated[list[_Size], Meta(max_length=64)]
    data_offsets: tuple[_Size, _Size]


def read(path: Path) -> tuple[Tensors, dict[str, str]]:
    """Give the tensors and the metadata of one file. Raises DamagedError, and InputError where it cannot be read."""
    with opened(path) as (file, size):
        length = int.from_bytes(file.read(_LENGTH), "little")
        if size < _LENGTH or length > size - _LENGTH:
            raise DamagedError("not safetensors, or cut short: the header would end behind the file")
        if length > MAX_HEADER:
            raise DamagedError(f"its header of {length} bytes is longer than the format allows")
        header = file.read(length)
    if not header.startswith(b"{"):
        raise DamagedError("not safetensors: the header does not begin with {")
    try:
        entries = msgspec.json.decode(header, type=dict[str, msgspec.Raw])
        metadata = msgspec.json.decode(entries.pop("__metadata__", msgspec.Raw(b"{}")), type=dict[str, str])
        decode = msgspec.json.Decoder(_Tensor).decode
        tensors = {name: decode(entry) for name, entry in entries.items()}
    except (ValueError, RecursionError):
        raise DamagedError("not safetensors: the header is no table of tensors") from None
    _demand_truth(tensors, size - _LENGTH - length)
    found = Tensors(list(tensors))
    for tensor in tensors.values():
        found.dtypes[tensor.dtype] += prod(tensor.shape)
    if found.parameters > MAX_COUNT:
        raise DamagedError("the header claims more parameters than can be counted")
    return found, metadata


def _demand_truth(tensors: dict[str, _Tensor], data: int) -> None:
    """Compare what the header says with itself and with the `data` bytes behind it. Raises DamagedError."""
    for name, tensor in tensors.items():
        bits = _BITS.get(tensor.dtype)
        if bits is None:
            raise DamagedError(f"the tensor {name[:100]!r} is of the unknown type {tensor.dtype[:40]!r}")
        begin, end = tensor.data_offsets
        if prod(tensor.shape) * bits != (end - begin) * 8:
            raise DamagedError(f"the tensor {name[:100]!r} has other bytes than its shape and type need")
    places = sorted(tensor.data_offsets for tensor in tensors.values())
    for (_, end), (begin, _) in pairwise([(0, 0), *places]):
        if begin != end:
            raise DamagedError("tensors overlap" if begin < end else "the header leaves bytes without a tensor")
    if (places[-1][1] if places else 0) != data:
        raise DamagedError("the header does not account for the bytes behind it: cut short, or lengthened")


def describe(path: Path) -> Findings:
    """Describe one file that stands for itself."""
    found = Findings("safetensors")
    with found.noting(path.name):
        found.tensors, metadata = read(path)
        for field, key in _MODELSPEC.items():
            setattr(found, field, said(metadata.get(key)))
        found.settings = {key: metadata[key] for key in ("format",) if key in metadata}
    return found


def gather(root: Path, stem: str, names: Sequence[str], found: Findings) -> None:
    """Sum over the file `<stem>.safetensors` or its shards; `names` are the files in `root`."""
    shards = _shards(root, stem, names, found)
    others = [name for name in names if name.endswith(".safetensors") and name not in shards]
    if others:
        found.notes.append(f"{others[0]}: not counted, as {len(others) - 1} more files of that format")
    if not shards:
        return
    total, broken = Tensors(), len(found.notes)
    for shard in shards:
        with found.noting(shard):
            part, _ = read(root / shard)
            total.names += part.names
            total.dtypes += part.dtypes
    if len(set(total.names)) != len(total.names):
        found.notes.append(f"{stem}: a tensor stands in two shards")
    if len(found.notes) == broken:
        found.tensors = total
        _compare_with_index(root, stem, names, total, found)


def _shards(root: Path, stem: str, names: Sequence[str], found: Findings) -> list[str]:
    """Give the files to sum over; none where one is missing, which is noted."""
    whole, index = f"{stem}.safetensors", f"{stem}.safetensors.index.json"
    if whole in names:
        return [whole]
    wanted: set[str] = set()
    if index in names:
        with found.noting(index):
            wanted = set(_weight_map(json_object(root / index)).values())
    else:
        parts = [match for name in names if name.startswith(f"{stem}-") and (match := _SHARD.search(name))]
        wanted = {f"{stem}-{n:05}-of-{part[2]}.safetensors" for part in parts for n in range(1, int(part[2]) + 1)}
    missing = sorted(wanted - set(names))
    if missing:
        found.notes.append(f"{missing[0][:200]}: missing, with {len(missing) - 1} more; the parameters are not known")
        return []
    return sorted(wanted)


def _weight_map(index: dict[str, Any]) -> dict[str, str]:
    shards = index.get("weight_map")
    if not isinstance(shards, dict) or not all(isinstance(name, str) for name in shards.values()):
        raise DamagedError("it has no weight_map from tensors to files")
    return shards


def _compare_with_index(root: Path, stem: str, names: Sequence[str], total: Tensors, found: Findings) -> None:
    index = f"{stem}.safetensors.index.json"
    if index not in names:
        return
    with found.noting(index):
        table = json_object(root / index)
        if f"{stem}.safetensors" not in names and set(_weight_map(table)) != set(total.names):
            raise DamagedError("it lists other tensors than the shards hold")
        stated = table.get("metadata")
        claimed = count(stated.get("total_size")) if isinstance(stated, dict) else None
        actual = sum(number * _BITS[dtype] for dtype, number in total.dtypes.items()) // 8
        if claimed is not None and claimed != actual:
            raise DamagedError(f"it says {claimed} bytes of tensors, the shards hold {actual}")

"""The adapter as files that hash the same whenever it is the same.

What is true here:

- the output is `adapter_model.safetensors` and `adapter_config.json`, as peft loads them, and nothing else; nothing is
  pickled;
- equal weights give equal bytes: safetensors orders its tensors itself, and its metadata has one key, since it writes
  several in random order (safetensors issue 584); `adapter_config.json` has sorted keys, and sets become sorted lists
  (peft writes them in the order of the process);
- the output directory appears whole, by one rename, or not at all; it replaces nothing but an empty directory and
  follows no symlink.

It does not know how the weights came about.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel, get_peft_model_state_dict
from safetensors.torch import save_file

from trainer.errors import OutputError
from trainer.observations import OutputFile

WEIGHTS, SETTINGS = "adapter_model.safetensors", "adapter_config.json"


class Staging:
    """A directory beside the output, which becomes the output by `publish`."""

    def __init__(self, output: str) -> None:
        """Look at `output`, as the user wrote it; touch nothing yet."""
        self.output = output
        # resolve() would follow a symlink in the last component.
        self.destination = Path(os.path.abspath(output))  # noqa: PTH100
        _refuse_occupied(output, self.destination)
        self.path = self.destination.with_name(f".{self.destination.name}.{secrets.token_hex(8)}.partial")

    def publish(self) -> None:
        """Rename to the output, atomically and durably; rename(2) replaces an empty directory and refuses all else."""
        _refuse_occupied(self.output, self.destination)
        try:
            self.path.rename(self.destination)
            _sync(self.destination.parent)
        except OSError as error:
            raise OutputError(self.output, error.strerror or str(error)) from error


@contextmanager
def staged(output: str) -> Iterator[Staging]:
    """Claim a place for `output`, early, so that a long run does not end at a directory that cannot be written.

    Leaves nothing behind unless published. Raises `OutputError` where the output is occupied or the disk refuses.
    """
    staging = Staging(output)
    try:
        staging.path.parent.mkdir(parents=True, exist_ok=True)
        staging.path.mkdir()
    except OSError as error:
        raise OutputError(output, error.strerror or str(error)) from error
    try:
        yield staging
    finally:
        shutil.rmtree(staging.path, ignore_errors=True)  # gone already where it was published


def save(model: PeftModel, staging: Staging) -> tuple[tuple[OutputFile, ...], str]:
    """Write the adapter of `model` durably into `staging`.

    Returns its files with their digests, and `tensors_sha256` of its weights; raises `OutputError` if a weight is not
    finite or the disk refuses.
    """
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in get_peft_model_state_dict(model).items()}
    if broken := [name for name, tensor in tensors.items() if not bool(torch.isfinite(tensor).all())]:
        raise OutputError(staging.output, f"{len(broken)} weights are not finite, first {min(broken)}")
    settings = _settings(model.active_peft_config.to_dict() | {"inference_mode": True})
    try:
        save_file(tensors, staging.path / WEIGHTS, metadata={"format": "pt"})
        (staging.path / SETTINGS).write_text(settings, encoding="ascii")
        shutil.copymode(staging.path / SETTINGS, staging.path / WEIGHTS)  # safetensors ignores the umask: 0600
        files = tuple(_written(staging.path / name) for name in (SETTINGS, WEIGHTS))
        _sync(staging.path)
    except OSError as error:
        raise OutputError(staging.output, error.strerror or str(error)) from error
    return files, tensors_sha256(tensors)


def tensors_sha256(tensors: Mapping[str, torch.Tensor]) -> str:
    """Return a digest of weights that depends on no file format.

    SHA-256 of one line for each tensor, sorted by name: name, data type, shape (as a JSON array) and the SHA-256 of its
    elements' bytes, row-major and little-endian, separated by tabs.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        flat = tensor.detach().cpu().contiguous().flatten().view(torch.uint8)
        content = hashlib.sha256(flat.numpy()).hexdigest()
        data_type = str(tensor.dtype).removeprefix("torch.")
        digest.update(f"{name}\t{data_type}\t{json.dumps(list(tensor.shape))}\t{content}\n".encode())
    return digest.hexdigest()


def _settings(values: Mapping[str, Any]) -> str:
    return json.dumps(_plain(values), indent=2, sort_keys=True, allow_nan=False) + "\n"


def _plain(value: Any) -> Any:
    match value:
        case Enum():
            return value.value
        case set() | frozenset():
            return sorted(value)
        case Mapping():
            return {str(key): _plain(item) for key, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
    return value


def _refuse_occupied(output: str, destination: Path) -> None:
    try:
        mode = destination.lstat().st_mode
        occupied = not stat.S_ISDIR(mode) or any(destination.iterdir())
    except FileNotFoundError:
        return
    except OSError as error:
        raise OutputError(output, error.strerror or str(error)) from error
    if stat.S_ISLNK(mode):
        raise OutputError(output, "is a symlink")
    if occupied:
        raise OutputError(output, "is there already; name another place, or move it away")


def _written(path: Path) -> OutputFile:
    """Make `path` durable and describe it by what was read back from it."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return OutputFile(path.name, file.tell(), digest)


def _sync(directory: Path) -> None:
    """Make the names in `directory` durable (fsync(2): the entry needs a sync of its own)."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

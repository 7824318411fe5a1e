"""The software and hardware that this process finds itself in.

What is true here:

- Everything comes from the installation's own metadata and from the system; nothing is imported, and nothing fetched.
- The order is total: packages by normalised name (PEP 503), so two observations of one environment are equal.
- A distribution is told once, as `import` would find it: the first on the path.
- Texts are redacted; addresses of authors are left out, names stay.
- What is not there is not mentioned: no accelerator is no device, not a device called none.

Not known here: what of all this a command uses.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from email.errors import MessageError
from email.message import Message
from email.parser import HeaderParser
from email.utils import getaddresses
from functools import lru_cache
from importlib.metadata import Distribution, distributions
from pathlib import Path

from packaging.markers import Marker, UndefinedComparison, UndefinedEnvironmentName
from packaging.requirements import InvalidRequirement, Requirement

from commands.cleaning import Cleaner
from commands.redaction import Redactor
from ledger.events.environment import Device, EnvironmentObserved, Package

MAX_PACKAGES = 20_000
_MAX_LICENSE = 200  # characters: longer than that, the field holds the licence itself and not its name
_MIB = 1024 * 1024
_NVIDIA_SMI = ("--query-gpu=name,memory.total,driver_version", "--format=csv,noheader,nounits")
_NVIDIA_SECONDS = 10
# Variables that change what arithmetic gives, or how fast: numbers of threads, instruction sets, determinism.
_VARIABLES = (
    "ATEN_CPU_CAPABILITY", "CUBLAS_WORKSPACE_CONFIG", "CUDA_VISIBLE_DEVICES", "MKL_CBWR", "MKL_NUM_THREADS",
    "OMP_NUM_THREADS", "OMP_WAIT_POLICY", "ONEDNN_MAX_CPU_ISA", "OPENBLAS_NUM_THREADS", "PYTHONHASHSEED",
)  # fmt: skip


def observe_environment(redactor: Redactor | None = None) -> EnvironmentObserved:
    """Look around. Takes some milliseconds a package; never fails for what is damaged, which is counted in `details`."""
    cleaner = Cleaner(redactor)
    installed, unreadable = _installed()
    details = dict(_details())
    if unreadable:
        details["packages that cannot be read"] = str(unreadable)
    return EnvironmentObserved(
        python=platform.python_version(),
        implementation=platform.python_implementation(),
        platform=cleaner.name(platform.platform()) or "unknown",
        packages=[_package(each, installed, cleaner) for _, each in sorted(installed.items())],
        devices=[*_processors(cleaner), *_accelerators(cleaner)],
        details=cleaner.settings(details),
    )


@dataclass
class _Installed:
    name: str
    version: str
    metadata: Message
    record: bytes | None
    requirements: list[str]
    extras: set[str] = field(default_factory=set)  # that others ask for


def _installed() -> tuple[dict[str, _Installed], int]:
    found: dict[str, _Installed] = {}
    unreadable = 0
    for distribution in distributions():
        try:
            read = _read(distribution)
        except (OSError, ValueError, MessageError):
            unreadable += 1
            continue
        if read is None or len(found) >= MAX_PACKAGES:
            unreadable += 1
        else:
            found.setdefault(_normalised(read.name), read)
    _spread_extras(found)
    return found, unreadable


def _read(distribution: Distribution) -> _Installed | None:
    text = distribution.read_text("METADATA") or distribution.read_text("PKG-INFO") or ""
    # The headers end with the first empty line; the description behind it may be long.
    metadata = HeaderParser().parsestr(re.split(r"\r?\n\r?\n", text, maxsplit=1)[0])
    name, version = str(metadata.get("Name", "")).strip(), str(metadata.get("Version", "")).strip()
    if not name or not version:
        return None
    requirements = [str(line) for line in metadata.get_all("Requires-Dist", [])]
    return _Installed(name, version, metadata, _record(distribution), requirements)


def _record(distribution: Distribution) -> bytes | None:
    """Give the bytes of RECORD. `read_text` would change its line ends (RFC 4180: CRLF), and so its digest."""
    directory = getattr(distribution, "_path", None)
    try:
        return directory.joinpath("RECORD").read_bytes() if directory is not None else None
    except OSError:
        return None


def _spread_extras(found: Mapping[str, _Installed]) -> None:
    """Let `name[extra]` in one requirement switch on the requirements of that extra, and so on."""
    waiting = list(found.values())
    while waiting:
        for requirement in _wanted(waiting.pop()):
            target = found.get(_normalised(requirement.name))
            if target and not requirement.extras <= target.extras:
                target.extras |= requirement.extras
                waiting.append(target)


def _wanted(package: _Installed) -> Iterator[Requirement]:
    """Give the requirements whose markers hold here. Most are of extras that nobody asked for: those are not parsed."""
    for line in package.requirements:
        if not package.extras and "extra ==" in line and " or " not in line:
            continue
        requirement = _parsed(line)
        if requirement and (requirement.marker is None or _holds(requirement.marker, package.extras)):
            yield requirement


@lru_cache(maxsize=4096)
def _parsed(line: str) -> Requirement | None:
    try:
        return Requirement(line)
    except InvalidRequirement:
        return None  # a line that says nothing asks for nothing


def _holds(marker: Marker, extras: set[str]) -> bool:
    return any(_evaluated(str(marker), extra) for extra in ("", *sorted(extras)))


@lru_cache(maxsize=4096)
def _evaluated(marker: str, extra: str) -> bool:
    """Evaluate once: most packages use the same few markers."""
    try:
        return Marker(marker).evaluate({"extra": extra})
    except (UndefinedComparison, UndefinedEnvironmentName):
        return False


def _package(package: _Installed, installed: Mapping[str, _Installed], cleaner: Cleaner) -> Package:
    names = {_normalised(requirement.name) for requirement in _wanted(package)}
    return Package(
        name=cleaner.name(package.name) or "?",
        version=cleaner.name(package.version) or "?",
        license=cleaner.name(_license(package.metadata)),
        record_sha256=hashlib.sha256(package.record).hexdigest() if package.record is not None else None,
        supplier=cleaner.name(_supplier(package.metadata)),
        requires=[name for name in sorted(names & installed.keys()) if len(name) <= 1024],  # noqa: PLR2004 - of a Name
    )


def _license(metadata: Message) -> str | None:
    """Give the SPDX expression (PEP 639), else the older field where it is a name, else the classifiers."""
    fields = (str(metadata.get(key, "")).strip() for key in ("License-Expression", "License"))
    for text in fields:
        if text and "\n" not in text and len(text) <= _MAX_LICENSE and text.upper() not in ("UNKNOWN", "NONE"):
            return text
    classifiers = [str(line).split(" :: ") for line in metadata.get_all("Classifier", [])]
    return (
        "; ".join(parts[-1] for parts in classifiers if parts[0] == "License" and parts[-1] != "OSI Approved") or None
    )


def _supplier(metadata: Message) -> str | None:
    """Give the names of the authors, else of the maintainers, without their addresses."""
    for role in ("Author", "Maintainer"):
        if plain := str(metadata.get(role, "")).strip():
            return plain
        named = [name for name, _ in getaddresses([str(metadata.get(f"{role}-email", ""))]) if name]
        if named:
            return ", ".join(named)
    return None


def _normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _details() -> Iterator[tuple[str, str]]:
    yield "kernel", f"{platform.system()} {platform.release()}"
    yield "machine", platform.machine()
    yield "python compiler", platform.python_compiler()
    try:
        yield "libc", os.confstr("CS_GNU_LIBC_VERSION") or " ".join(platform.libc_ver())
        yield "system", platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, ValueError, KeyError):
        pass
    for name in _VARIABLES:
        if name in os.environ:
            yield f"env.{name}", os.environ[name]


def _processors(cleaner: Cleaner) -> Iterator[Device]:
    """Tell the processors as one device. `memory` is the machine's."""
    try:
        information = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        information = ""
    named = re.search(r"^(?:model name|Model|cpu model)\s*:\s*(\S.*)$", information, re.MULTILINE)
    name = named[1] if named else platform.processor() or platform.machine()
    try:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        memory = 0
    yield Device(
        kind="cpu",
        name=cleaner.name(name) or "unknown",
        count=os.cpu_count() or 0,
        memory=memory if memory > 0 else None,
        driver=None,
    )


def _accelerators(cleaner: Cleaner) -> Iterator[Device]:
    """Tell accelerators, equal ones together: as the driver's tool lists them, else as a loaded torch does."""
    found = Counter(_of_nvidia() or _of_torch())
    for (name, memory, driver), number in sorted(found.items(), key=str):
        yield Device(
            kind="gpu",
            name=cleaner.name(name) or "unknown",
            count=number,
            memory=memory,
            driver=cleaner.name(driver),
        )


def _of_nvidia() -> list[tuple[str, int | None, str | None]]:
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return []
    try:
        listed = subprocess.run(  # noqa: S603 - no argument comes from outside
            [tool, *_NVIDIA_SMI],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_NVIDIA_SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return []  # the tool without its driver: no accelerator
    rows = (line.rsplit(", ", 2) for line in listed.stdout.decode("utf-8", "replace").splitlines())
    return [
        (row[0], int(row[1]) * _MIB if row[1].isascii() and row[1].isdigit() else None, row[2])
        for row in rows
        if len(row) == 3  # noqa: PLR2004 - the columns asked for
    ]


def _of_torch() -> list[tuple[str, int | None, str | None]]:
    cuda = getattr(sys.modules.get("torch"), "cuda", None)
    if cuda is None or not cuda.is_available():
        return []
    devices = (cuda.get_device_properties(index) for index in range(cuda.device_count()))
    return [(str(device.name), int(device.total_memory), None) for device in devices]

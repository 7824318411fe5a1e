"""What the checks share: a document, a check, where the tools of others lie, and how one is run.

What is true here:

- A check is somebody else's program or library, asked about one file. It gives complaints; none means that it accepts.
- Each check names a fault that it must refuse, and the words it must refuse it with: a check that cannot fail is none,
  and neither is one that fails of something else.
- No tool reaches the network: proxies point at a closed port, and urllib serves SPDX's three published files from a
  folder (`$SOUP_SPEC_DATA`) and nothing else.

Not known here: which checks there are (`boms`, `attested`), and how soup writes documents (`documents`).
"""

from __future__ import annotations

import json
import os
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from io import BytesIO
from pathlib import Path
from typing import Any, Literal
from urllib.response import addinfourl

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
HOME = ROOT / ".conformance"
PYTHON = HOME / "python" / "bin"
NPM = HOME / "npm" / "node_modules"
LONGEST = 240  # seconds for one tool on one document
NOWHERE = "http://127.0.0.1:9"  # nobody listens on the port of the discard protocol

Form = Literal["cyclonedx", "spdx2", "spdx3", "envelope", "bundle", "keyless", "oms"]


@dataclass(frozen=True)
class Document:
    """A file that soup wrote, and what a verifier must be told from elsewhere."""

    name: str
    path: Path
    form: Form
    complete: bool = False  # the facts file left nothing out: completeness may be demanded
    stack: bool = False  # the installed Python packages are listed
    key: Path | None = None  # public, PEM: whom a verifier trusts
    subject: Path | None = None  # the file or directory that was signed
    trust: Path | None = None  # client trust configuration of a private Sigstore


@dataclass(frozen=True)
class Fault:
    """A change that makes a good document bad, and words of the refusal that is due (a regular expression)."""

    change: Callable[[bytes], bytes]
    says: str


@dataclass(frozen=True)
class Excuse:
    """A demand that no honest document of this form can meet.

    It must occur, since an excuse that nobody needs hides something; but for demands of installed packages, which differ.
    """

    form: Form
    complaint: str  # a regular expression
    because: str
    of_stack: bool = False  # only where installed packages are listed

    def covers(self, document: Document) -> bool:
        """Whether the demand may be made of such a document at all."""
        return document.complete and document.form == self.form and (document.stack or not self.of_stack)


@dataclass(frozen=True)
class Check:
    """One tool's opinion of documents of some forms."""

    name: str
    package: str  # whose version is printed (`version_of`)
    forms: tuple[Form, ...]
    ask: Callable[[Document], list[str]]
    fault: Fault
    complete_only: bool = False
    excuses: tuple[Excuse, ...] = ()
    needs: tuple[str, ...] = ()  # files below $SOUP_SPEC_DATA

    def applies(self, document: Document) -> bool:
        """Whether this tool has a say about the document."""
        return document.form in self.forms and (document.complete or not self.complete_only)

    def missing(self) -> list[str]:
        """Name the published files without which the check cannot run."""
        return [name for name in self.needs if spec(name) is None]


def spec(name: str) -> Path | None:
    """Find a published schema, `spdx-3.0.1/spdx-model.ttl` for example, or None."""
    folder = os.environ.get("SOUP_SPEC_DATA")
    found = Path(folder) / name if folder else None
    return found if found is not None and found.is_file() else None


@cache
def version_of(package: str) -> str:
    """Give the installed version of a Python or npm package, or of openssl; `=1.2` stands for itself."""
    if package.startswith("="):
        return package[1:]
    if package.startswith("@") or package == "ajv":
        return str(json.loads((NPM / package / "package.json").read_text())["version"])
    if package == "openssl":
        return run(["openssl", "version"]).stdout.split()[1]
    return version(package)


@cache
def node() -> str:
    """Give the path of the Node that came with the tools."""
    return str(next((HOME / "node" / "node_modules").glob("node-linux-*/bin/node")))


def run(command: Sequence[str | Path]) -> subprocess.CompletedProcess[str]:
    """Run a tool without a network, and without what this machine's environment says."""
    environ = {name: os.environ[name] for name in ("PATH", "HOME", "SOUP_SPEC_DATA", "TMPDIR") if name in os.environ}
    environ |= dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), NOWHERE)
    environ |= {"no_proxy": "127.0.0.1,localhost", "LC_ALL": "C.UTF-8"}
    words = [str(word) for word in command]
    return subprocess.run(
        words, capture_output=True, text=True, check=False, timeout=LONGEST, env=environ, stdin=subprocess.DEVNULL
    )


def refusal(done: subprocess.CompletedProcess[str]) -> list[str]:
    """Take a tool's exit code for its verdict, and the end of what it said for its complaint."""
    said = (done.stdout + done.stderr).strip().splitlines()
    return [] if done.returncode == 0 else [f"exit code {done.returncode}: " + " / ".join(said[-3:])]


def raised(action: Callable[[], Any]) -> list[str]:
    """Take what a library raises for its complaint."""
    try:
        action()
    except Exception as error:  # noqa: BLE001 - whatever a foreign library raises is its complaint
        return [f"{type(error).__name__}: {error}"]
    return []


PUBLISHED = {  # the addresses that validators load, and the same files as published
    "https://spdx.org/rdf/3.0.1/spdx-context.jsonld": "spdx-3.0.1/spdx-context.jsonld",
    "https://spdx.org/rdf/3.0.1/spdx-model.ttl": "spdx-3.0.1/spdx-model.ttl",
    "https://spdx.org/schema/3.0.1/spdx-json-schema.json": "spdx-3.0.1/schema.json",
}
MEDIA_TYPES = {".jsonld": "application/ld+json", ".ttl": "text/turtle", ".json": "application/json"}


class _Published(urllib.request.BaseHandler):
    """Answers for the published files, and refuses every other address."""

    handler_order = 1

    def https_open(self, request: urllib.request.Request) -> addinfourl:
        from email.message import Message

        file = spec(PUBLISHED.get(request.full_url, "-"))
        if file is None:
            raise urllib.error.URLError(f"{request.full_url} is not among the published files")
        headers = Message()
        headers["Content-Type"] = MEDIA_TYPES[file.suffix]
        answer = addinfourl(BytesIO(file.read_bytes()), headers, request.full_url, 200)
        answer.msg = "OK"  # type: ignore[attr-defined]  # urllib sets it so itself
        return answer

    http_open = https_open


def stay_offline() -> None:
    """Let urllib serve the published files and refuse the rest, in this process."""
    urllib.request.install_opener(urllib.request.build_opener(_Published()))

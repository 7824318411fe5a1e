"""Read a bill of materials of any tool: CycloneDX 1.4 to 1.7, SPDX 2.3 and SPDX 3.0, all as JSON.

What is true:

* The bytes are hostile until checked: at most `MAX_BYTES`, UTF-8, nested at most `MAX_DEPTH` deep, no key twice in an object,
  no NaN, no lone surrogate. What passes is read by total functions; whatever stands in a wrong type is read as absent.
* `read` gives a whole `Document` or raises InvalidDocumentError with one sentence.
* Nothing is fetched and no schema is asked: a document may be invalid and still be read as far as it goes.

It does not know the ledger, and it does not believe what it reads.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Any

from projections.bom.read_cyclonedx import read_cyclonedx
from projections.bom.read_facts import Collector, Document, Json, has_surrogate, items, record, string
from projections.bom.read_spdx2 import read_spdx2
from projections.bom.read_spdx3 import read_spdx3
from projections.bom.read_terms import FORMATS, Format
from projections.errors import InvalidDocumentError

MAX_BYTES = 64 * 1024 * 1024
MAX_DEPTH = 100

_KIND = "BOM"
_READERS: dict[Format, Callable[[Json, Collector], None]] = {
    "cyclonedx": read_cyclonedx,
    "spdx2": read_spdx2,
    "spdx3": read_spdx3,
}
_FORMAT_FIELDS: dict[Format, str] = {"cyclonedx": "/specVersion", "spdx2": "/spdxVersion", "spdx3": "/@context"}
_SPEC_VERSIONS: dict[Format, tuple[str, ...]] = {
    "cyclonedx": ("1.4", "1.5", "1.6", "1.7"),
    "spdx2": ("2.2", "2.3"),
    "spdx3": ("3.0.0", "3.0.1"),
}


def read(raw: bytes) -> Document:
    """Give what a document says. Raises InvalidDocumentError."""
    content = parse(raw)
    form, version = _recognise(content)
    if version not in _SPEC_VERSIONS[form]:
        known = ", ".join(_SPEC_VERSIONS[form])
        raise InvalidDocumentError(_KIND, "", f"version {version[:40]!r} of its format is not known, only {known}")
    found = Collector()
    found.add("document", "format", FORMATS[form], _FORMAT_FIELDS[form])
    found.add("document", "format_version", version, _FORMAT_FIELDS[form])
    _READERS[form](content, found)
    return Document(format=form, spec_version=version, facts=found.facts(), content=content, blanks=found.blanks())


def parse(raw: bytes) -> Json:
    """Give the JSON object in `raw`, its non-integers as Decimal. Raises InvalidDocumentError."""
    if len(raw) > MAX_BYTES:
        raise InvalidDocumentError(_KIND, "", f"it has {len(raw)} bytes, more than the {MAX_BYTES} that are read")
    try:
        value = json.loads(
            raw.decode("utf-8-sig"), object_pairs_hook=_unique, parse_float=Decimal, parse_constant=_no_constant
        )
    except UnicodeDecodeError:
        raise InvalidDocumentError(_KIND, "", "it is not UTF-8 text") from None
    except RecursionError:
        raise InvalidDocumentError(_KIND, "", f"it is nested deeper than {MAX_DEPTH} levels") from None
    except InvalidOperation:
        raise InvalidDocumentError(_KIND, "", "it holds a number with an absurd exponent") from None
    except ValueError as error:
        raise InvalidDocumentError(_KIND, "", f"it is no JSON that can be trusted: {error}") from None
    _require_plain(value)
    if not isinstance(value, dict):
        raise InvalidDocumentError(_KIND, "", "it is JSON, but no object")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> Json:
    """Refuse an object with a key twice: parsers differ on which of the two counts (RFC 8259 section 4)."""
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"the key {twice[:80]!r} stands twice in one object")
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")


def _require_plain(value: Any) -> None:
    """Walk it level by level, without recursion, and refuse depth and lone surrogates."""
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > MAX_DEPTH:
            raise InvalidDocumentError(_KIND, "", f"it is nested deeper than {MAX_DEPTH} levels")
        below: list[Any] = []
        for each in level:
            if isinstance(each, dict):
                below.extend(each)
                below.extend(each.values())
            elif isinstance(each, list):
                below.extend(each)
            elif isinstance(each, str) and has_surrogate(each):
                raise InvalidDocumentError(_KIND, "", "it holds a lone surrogate, which is no text")
        level = below


def _recognise(content: Json) -> tuple[Format, str]:
    """Tell format and version from the fields that each standard demands."""
    if content.get("bomFormat") == "CycloneDX":
        return "cyclonedx", string(content.get("specVersion"))
    spdx = string(content.get("spdxVersion"))
    if spdx.startswith("SPDX-"):
        return "spdx2", spdx.removeprefix("SPDX-")
    if "spdx.org/rdf/3" in str(content.get("@context"))[:1000]:
        return "spdx3", _spdx3_version(content)
    raise InvalidDocumentError(
        _KIND, "", "it is neither CycloneDX JSON (bomFormat) nor SPDX JSON (spdxVersion, or the @context of SPDX 3)"
    )


def _spdx3_version(content: Json) -> str:
    elements = [content, *map(record, items(content.get("@graph")))]
    versions = (record(each.get("creationInfo", each)).get("specVersion", each.get("specVersion")) for each in elements)
    return next((version for version in versions if isinstance(version, str)), "")

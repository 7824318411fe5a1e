"""What an operator typed for a licence, as both formats may say it.

What is true:

* An identifier of the SPDX License List comes back in the list's own spelling (`apache-2.0` is `Apache-2.0`).
* A compound expression comes back only if each of its identifiers is on the list.
* Whatever else was typed stays a name. Nothing is guessed: `llama3` is not matched to some licence of Meta's.

The list is the one in the CycloneDX schema, which decides what `license.id` may be (it counts exceptions in). It does
not know who chose the licence or whether the choice is right.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import cyclonedx
import msgspec

if TYPE_CHECKING:
    from license_expression import LicenseExpression

_LONGEST = 1024  # characters; a longer text is no licence expression, and parsers of other people recurse


class Licence(NamedTuple):
    """A licence: an SPDX `id`, an SPDX `expression`, or a `name` that SPDX does not know."""

    kind: Literal["id", "expression", "name"]
    text: str


def recognise(declared: str) -> Licence:
    """Return `declared` in SPDX's spelling where SPDX knows it, else as it stands."""
    spelling = _identifiers().get(declared.strip().lower()) if declared.isascii() else None
    if spelling:
        return Licence("id", spelling)
    expression = parse_expression(declared) if " " in declared.strip() else None
    return Licence("name", declared) if expression is None else Licence("expression", str(expression))


def known_to_spdx_tools(identifier: str) -> bool:
    """Return whether the list that spdx-tools validates against, which may be older, has the licence too."""
    return identifier in _validated_identifiers()


def parse_expression(text: str) -> LicenseExpression | None:
    """Return `text` (SPDX 2.3, annex D) parsed, or None where it is no expression over listed licences."""
    from license_expression import ExpressionError, ExpressionParseError

    if len(text) > _LONGEST or not text.isascii():
        return None
    try:
        parsed = _licensing().parse(text, validate=True, strict=True)
    except (ExpressionError, ExpressionParseError, ValueError, TypeError, AttributeError, RecursionError):
        return None  # the last four: what the parser lets through on hostile input
    # It takes ScanCode's LicenseRef-* for listed ones; in a document they would dangle.
    return None if parsed is None or any(key.startswith("LicenseRef-") for key in parsed.objects) else parsed


@cache
def _identifiers() -> dict[str, str]:
    schema = Path(cyclonedx.__file__).parent / "schema" / "_res" / "spdx.SNAPSHOT.schema.json"
    return {identifier.lower(): identifier for identifier in json.loads(schema.read_bytes())["enum"]}


class _Listed(msgspec.Struct):
    spdx_license_key: str | None = None
    other_spdx_license_keys: tuple[str, ...] = ()
    is_exception: bool = False


@cache
def _validated_identifiers() -> frozenset[str]:
    from license_expression import vendored_scancode_licensedb_index_location as index

    # Three fields of each entry in 5 ms; building the library's own table of symbols takes 30.
    listed = msgspec.json.decode(Path(index).read_bytes(), type=list[_Listed])
    keys = ((entry.spdx_license_key, *entry.other_spdx_license_keys) for entry in listed if not entry.is_exception)
    return frozenset(key for known in keys for key in known if key)


@cache
def _licensing() -> Any:
    from license_expression import get_spdx_licensing

    return get_spdx_licensing()

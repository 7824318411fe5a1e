"""The Python distributions that were installed, as both versions of SPDX list them.

What is true:

* The order is by name and version, so identifiers do not depend on how an environment was walked.
* A package URL is `pkg:pypi` with the name in lower case, dashes for underscores, and the version percent-encoded: it names a
  distribution, and says nothing of the index that this copy came from.

It does not know whether a distribution was used, only that it was there.
"""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import quote

from ledger.events.environment import Package
from projections.facts import BomFacts


class Installed(NamedTuple):
    """A distribution under the name that a document gives it; `requires` holds such names of others, in their order."""

    ref: str
    package: Package
    requires: tuple[str, ...]


def installed(facts: BomFacts) -> tuple[Installed, ...]:
    """Return the distributions of the recorded environment; nothing where none was recorded."""
    found = facts.environment.value.packages if facts.environment else []
    ordered = sorted(found, key=lambda package: (normalised(package.name), package.version, package.name))
    refs = {normalised(package.name): f"package-{index}" for index, package in enumerate(ordered, 1)}
    return tuple(
        Installed(
            f"package-{index}",
            package,
            tuple(refs[name] for name in sorted(set(map(normalised, package.requires))) if name in refs),
        )
        for index, package in enumerate(ordered, 1)
    )


def purl(package: Package) -> str:
    """Return the package URL (purl-spec, type `pypi`)."""
    name = package.name.lower().replace("_", "-")  # not PEP 503's form: a dot stays (purl-spec, pypi-definition)
    return f"pkg:pypi/{quote(name, safe='')}@{quote(package.version, safe='')}"


def normalised(name: str) -> str:
    """Return `name` as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()

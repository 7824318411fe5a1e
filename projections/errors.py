"""What can go wrong in the projections room, grouped by who is at fault.

One root; each constructor takes the offending value and writes the sentence.
"""

from __future__ import annotations

_LONGEST = 400  # characters of a finding; validators quote the value at fault, which may be the whole document


class ProjectionError(Exception):
    """Root of every error that leaves this room."""


class InvalidFactsError(ProjectionError):
    """The ledger holds a fact that no document may carry: nothing is rendered."""

    def __init__(self, field: str, finding: str) -> None:
        """Say `finding` about `field`, the name of a fact."""
        self.field = field
        self.finding = finding
        super().__init__(f"{field}: {finding}")


class InvalidDocumentError(ProjectionError):
    """A document breaks the rules of its own format."""

    def __init__(self, kind: str, path: str, finding: str) -> None:
        """Say `finding` about the value at `path` (RFC 6901 JSON Pointer, "" for the whole) of a `kind` document."""
        self.kind = kind
        self.path = path
        self.finding = finding if len(finding) <= _LONGEST else f"{finding[:_LONGEST]} ..."
        super().__init__(f"not a valid {kind} document: {path or 'as a whole'}: {self.finding}")


class ValidatorMissingError(ProjectionError):
    """A strict validator was asked for and is not installed."""

    def __init__(self, kind: str, package: str) -> None:
        """Name the `package` that the strict check of a `kind` document needs."""
        super().__init__(f"the strict check of {kind} documents needs {package}: pip install '{package}'")

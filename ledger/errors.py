"""What can go wrong in the ledger room, grouped by who is at fault.

One root; the second level says whose fault it is; each constructor takes the offending value and writes the sentence.
"""

from __future__ import annotations


class LedgerError(Exception):
    """Root of every error that leaves this room."""


class MalformedError(LedgerError):
    """Bytes from outside are not of the form they claim."""


class NotCanonicalError(MalformedError):
    """A value or its bytes lie outside the canonical JSON domain."""


class AlteredError(LedgerError):
    """Evidence was altered: a hash, signature or order does not hold. `position` is the first bad entry, if known."""

    def __init__(self, finding: str, *, position: int | None = None, attack: str = "edited") -> None:
        """Say `finding` about the entry at `position` (1-based); `attack` is a word an auditor knows."""
        self.position = position
        self.attack = attack
        self.finding = finding
        super().__init__(finding if position is None else f"entry {position}: {finding}")


class UnwritableError(LedgerError):
    """The ledger cannot take another entry: nothing was appended."""


class KeyUnavailableError(UnwritableError):
    """A signing key is missing, unreadable or locked."""


class ConflictError(LedgerError):
    """Another writer appended to the same stream first; nothing was appended."""


class TooNewError(LedgerError):
    """A newer soup wrote this; upgrade to read it."""

"""Which rows there are: their digests, the tree over them, who is held out, and what they say of their own origin.

What is true here:

- a row's digest is `SHA-256(0x00 || canonical row)`, the leaf hash of RFC 6962: a row can be shown to be in the training
  data with a handful of digests, and to have been held out, without the rest of the data;
- a row is held out if its digest, as a number, is below that share of 2^256: the same row is on the same side in every
  run, in every order, in whatever company, and copies of a row are never on both;
- languages and sources are what rows declare, counted in bytes of the text that is trained on; nothing is guessed.

It does not know tokens or files.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from fractions import Fraction
from urllib.parse import urlsplit

from trainer.data.formats import Example, canonical
from trainer.observations import Share

DECLARED = frozenset({"language", "lang", "url", "source"})
"""Keys of a row that say where it comes from, whatever its format."""

NAMED = 100  # shares that are told one by one
_LONGEST_URL = 8192
_COUNTED = 100_000  # names that are kept apart while counting
OTHERS, UNDECLARED = "(others)", "(not declared)"

# A language tag as in BCP 47 (RFC 5646, section 2.1), loosely.
_LANGUAGE = re.compile(r"[A-Za-z]{2,8}([-_][A-Za-z0-9]{1,8}){0,4}")
_SOURCE = re.compile(r"[^\x00-\x20\x7f-\x9f]([^\x00-\x1f\x7f-\x9f]{0,198}[^\x00-\x20\x7f-\x9f])?")


def leaf(row: Example) -> bytes:
    """Return the digest of a row (RFC 6962, section 2.1: the hash of a leaf)."""
    return hashlib.sha256(b"\0" + canonical(row)).digest()


def root(leaves: Iterable[bytes]) -> bytes:
    """Return the Merkle tree hash of RFC 6962, section 2.1, over digests that `leaf` gave."""
    stack: list[bytes] = []
    for size, digest in enumerate(leaves, start=1):
        stack.append(digest)
        # As many completed pairs as the size has trailing zero bits.
        for _ in range((size & -size).bit_length() - 1):
            _pair(stack)
    if not stack:
        return hashlib.sha256().digest()
    while len(stack) > 1:
        _pair(stack)
    return stack[0]


def threshold(share: float) -> int:
    """Return the number below which the digest of a row that is held out stands: `share`, as written, of 2^256."""
    return int(Fraction(repr(share)) * (1 << 256))


def is_held_out(row: bytes, below: int) -> bool:
    """Tell whether the row of this digest is held out."""
    return int.from_bytes(row, "big") < below


class Origins:
    """Counts what rows declare about themselves."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._rows: dict[str, Counter[str]] = {"language": Counter(), "source": Counter()}
        self._bytes: dict[str, Counter[str]] = {"language": Counter(), "source": Counter()}

    def count(self, declared: tuple[str, str], size: int) -> None:
        """Count a row of `size` bytes of text that was read as `declared` (language, source)."""
        for kind, name in zip(("language", "source"), declared, strict=True):
            rows = self._rows[kind]
            kept = name if name in rows or len(rows) < _COUNTED else OTHERS
            rows[kept] += 1
            self._bytes[kind][kept] += size

    def shares(self, kind: str) -> tuple[Share, ...]:
        """Return "language" or "source" by bytes, the largest first; empty if no row declared any."""
        sizes, rows = self._bytes[kind], self._rows[kind]
        if set(sizes) <= {UNDECLARED}:
            return ()
        ordered = sorted((name for name in sizes if name != OTHERS), key=lambda name: (-sizes[name], name))
        shares = [Share(name, rows[name], sizes[name]) for name in ordered[:NAMED]]
        rest = [*ordered[NAMED:], *([OTHERS] if OTHERS in sizes else [])]
        if rest:
            shares.append(Share(OTHERS, sum(rows[name] for name in rest), sum(sizes[name] for name in rest)))
        return tuple(shares)


def declared(record: object) -> tuple[str, str]:
    """Return the language and the source that a record declares: a tag, and the host of a URL or a name."""
    if not isinstance(record, Mapping):
        return UNDECLARED, UNDECLARED
    language = next((_language(record[key]) for key in ("language", "lang") if record.get(key)), UNDECLARED)
    source = next((_source(record[key]) for key in ("url", "source") if record.get(key)), UNDECLARED)
    return language, source


def _language(value: object) -> str:
    is_tag = isinstance(value, str) and _LANGUAGE.fullmatch(value)
    return str(value).replace("_", "-").lower() if is_tag else UNDECLARED


def _source(value: object) -> str:
    if not isinstance(value, str) or len(value) > _LONGEST_URL:
        return UNDECLARED
    try:
        host = urlsplit(value).hostname if "://" in value else None
    except ValueError:
        return UNDECLARED
    name = host or ("" if "://" in value else value)
    return name if _SOURCE.fullmatch(name) and name not in {OTHERS, UNDECLARED} else UNDECLARED


def _pair(stack: list[bytes]) -> None:
    right, left = stack.pop(), stack.pop()
    stack.append(hashlib.sha256(b"\1" + left + right).digest())

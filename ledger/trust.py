"""What an auditor brings along, held against what the ledger says: a trust root, and heads seen before."""

from __future__ import annotations

from collections.abc import Sequence

from ledger import note
from ledger.errors import AlteredError
from ledger.identity import Identity
from ledger.note import Checkpoint


def match_trust(identity: Identity, trust: Identity | None) -> None:
    """Demand that genesis names whom the trust root names."""
    if trust is not None and trust != identity:
        names = ("ledger", "origin", "author_key", "log_key")
        wrong = next(name for name in names if getattr(trust, name) != getattr(identity, name))
        raise AlteredError(
            f"genesis names another {wrong.replace('_', ' ')} than the trust root", position=1, attack="foreign key"
        )


def open_heads(identity: Identity, texts: Sequence[str]) -> list[Checkpoint]:
    """Open the heads seen before, lowest first. One that this log did not sign proves nothing, and is refused."""
    heads = []
    for text in texts:
        body = note.parse_checkpoint_body(note.parse_note(text).body)
        if body.origin != identity.origin:
            raise AlteredError(f"the given head is of another ledger ({body.origin})", attack="foreign head")
        heads.append(note.open_checkpoint(text, note.parse_verifier_key(identity.log_verifier_key)))
    return sorted(heads, key=lambda head: head.size)


def match_head(head: Checkpoint, size: int, root: bytes) -> None:
    """Demand that the tree of `size` entries, the first commit's end at or behind the head, is the one seen before."""
    if (head.size, head.root) != (size, root):
        raise AlteredError(
            f"another history: a head of {head.size} entries seen before has another root",
            position=min(head.size, size),
            attack="rewritten",
        )

"""Keys and their validity by position. Stream: `key/<key id>`."""

from __future__ import annotations

from typing import ClassVar, Literal

from ledger.events.base import Event, Hex32, Hex64, Name


class KeyRegistered(Event, frozen=True, kw_only=True):
    """From the commit after this one on, `key` may act in `role`. Signed by a key that is valid already.

    `proof` is the key's own Ed25519 signature over `possession_message`: nobody registers a key they do not hold.
    """

    TYPE: ClassVar[str] = "key.registered/1"

    key: Hex32  # SHA-256 of the public key
    public: Hex32
    role: Literal["author", "log"]
    admin: bool  # may register other keys
    name: Name  # the C2SP verifier key, as other tools want it
    proof: Hex64


def possession_message(ledger: str, role: str, public: str) -> bytes:
    """Give the bytes that a key signs to prove possession; bound to one ledger, so that it cannot be transplanted."""
    return f"soup-key-possession/1\n{ledger}\n{role}\n{public}\n".encode()

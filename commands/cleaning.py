"""Text from outside, made fit for the ledger: redacted, encodable, and no longer than its field.

What is true here:

- Redaction comes first, shortening last: half a secret may be enough.
- A value is judged with its name: what `hf_token` is set to is hidden whole, whatever it looks like.
- Whatever goes in, what comes out is valid for the event structs (`Name`, `Text`, `Key` of `ledger.events.base`).

Not known here: which fields there are, and what the texts say.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from commands.record import printable
from commands.redaction import Redactor, own_redactor
from ledger.events.base import MAX_TEXT

MAX_NAME = 1024
MAX_KEY = 128
_NO_KEY = re.compile(r"[^\x20-\x7e]")


class Cleaner:
    """Clean texts with one redactor. `hidden` counts, by rule, what was hidden since this cleaner was made."""

    def __init__(self, redactor: Redactor | None = None) -> None:
        self._redactor = redactor or own_redactor()
        self._before = self._redactor.counts

    @property
    def hidden(self) -> dict[str, int]:
        """How often each rule has hidden something, in order of their names."""
        counts = {rule: count - self._before.get(rule, 0) for rule, count in self._redactor.counts.items()}
        return {rule: count for rule, count in counts.items() if count}

    def text(self, value: str, limit: int = MAX_TEXT) -> str:
        """Redact; at most `limit` characters are kept."""
        return printable(self._redactor.text(value))[:limit]

    def name(self, value: str | None) -> str | None:
        """As `text`, on one line, for a field that must not be empty: None where nothing is left."""
        return self.text(" ".join(value.split()), MAX_NAME).strip() or None if value else None

    def setting(self, name: str, value: str, limit: int = MAX_TEXT) -> tuple[str, str]:
        """Clean the name and the value of a setting."""
        if "=" in name:
            return self.key(name), self.text(value, limit)
        key, _, kept = self._redactor.argv([f"{name}={value}"])[0].partition("=")
        return self.key(key), printable(kept)[:limit]

    def settings(self, values: Mapping[str, str], limit: int = MAX_TEXT) -> dict[str, str]:
        """Clean many settings; of two names that become one, the first stays."""
        cleaned: dict[str, str] = {}
        for name, value in values.items():
            cleaned.setdefault(*self.setting(name, value, limit))
        return cleaned

    def key(self, value: str) -> str:
        """Give a key of a map: printable ASCII, other characters escaped."""
        escaped = self._redactor.text(value).encode("ascii", "backslashreplace").decode("ascii")
        return _NO_KEY.sub(lambda match: f"\\x{ord(match[0]):02x}", escaped)[:MAX_KEY] or "?"

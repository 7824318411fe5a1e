"""Why a row is left out.

What is true here: each reason is one short sentence, stable from version to version, and names no row: the count and the
first places stand beside it in `Rejection`. It does not know who finds it.
"""

from __future__ import annotations

from enum import StrEnum

MAX_ROW_BYTES = 8 << 20


class Reason(StrEnum):
    """Why a row was left out."""

    TOO_LARGE = f"larger than {MAX_ROW_BYTES} bytes"
    NOT_UTF8 = "not UTF-8"
    NOT_JSON = "not JSON (or with a key twice, or NaN)"
    NOT_CSV = "not CSV, or with another number of cells than the first line"
    NOT_FIELDS = "without the fields of its format, or with one that is not text"
    NOT_MESSAGES = "not a list of messages"
    NOT_A_MESSAGE = "a message is not exactly a role and its content, both text"
    UNKNOWN_ROLE = "a role other than system, user, assistant"
    NO_ANSWER = "no single answer of the assistant where one is compared"
    SAME_ANSWER = "the chosen and the rejected answer are the same"
    CONTROL_TOKEN = "text that holds a control token"  # noqa: S105 - not a secret
    NOT_TEXT = "text with U+0000, a noncharacter or half a surrogate pair"
    NOT_RENDERED = "refused by the chat template"
    NOT_MASKED = "rendered by the chat template so that its turns cannot be told apart"
    NOTHING_LEARNT = "nothing in it carries loss"
    TOO_LONG = "longer than data.max_length tokens"


class UnfitError(ValueError):
    """A row is rejected; never leaves this package."""

    def __init__(self, reason: Reason) -> None:
        """Say why."""
        self.reason = reason
        super().__init__(reason.value)

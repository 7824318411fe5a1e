"""The bytes of a JSON document: one value, one sequence of bytes.

What is true:

* Keys are sorted and the indent is fixed, so the bytes do not depend on the order in which a library fills its objects.
* The bytes are UTF-8 and end in one newline. Other people's scripts stay readable; what steers a terminal or an eye
  (controls, line and paragraph separators, bidirectional and zero-width characters) is written as an escape. A parser
  gets the very same string back: nothing is lost.

It does not know what the document says. These are not the ledger's canonical bytes, which people need not read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

# RFC 8259 makes json escape only U+0000 to U+001F. DEL and C1 steer terminals (ECMA-48), the others deceive readers
# (Unicode TR 36, "Trojan Source").
_DECEPTIVE = re.compile(
    "[\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)


def encode(document: Mapping[str, object]) -> bytes:
    """Return `document` as bytes; ValueError on what JSON cannot say (NaN, infinities)."""
    text = json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
    # Outside strings JSON is ASCII, so each match stands inside one and may be an escape.
    return f"{_DECEPTIVE.sub(lambda match: json.dumps(match[0])[1:-1], text)}\n".encode()

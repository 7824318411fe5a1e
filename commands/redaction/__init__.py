"""Hide secrets and personal data in everything that soup writes down.

* Redaction comes before hashing and before any truncation: a digest of a secret can be searched for, and half a
  token may be enough. No length is too long.
* Each hit leaves a typed placeholder, `[redacted:<rule>]`, which never holds a part of what it hides, and is counted.
  The own home directory becomes `[home]`, which `expand_home` undoes; another person's, `[home-of-another]`.
* The result is a fixed point: redacting it again changes nothing and counts nothing. Placeholders are opaque, and no
  rule reads across one.
* Any `str` is accepted, also with the lone surrogates by which `os.fsdecode` carries bytes that are no UTF-8.
* Too much is hidden rather than too little; digests, UUIDs, versions, times and names of models are not.

It knows forms and names of secrets, no secrets: one without either (a bare password in prose) passes. Deliberately
unknown here: which fields are redacted, and what becomes of the result.
"""

import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

from commands.redaction import names
from commands.redaction.rules import RULES, Rule

__all__ = ["HOME", "HOME_OF_ANOTHER", "Redactor", "expand_home"]

HOME = "[home]"
HOME_OF_ANOTHER = "[home-of-another]"
_MARKS = {"home": HOME, "home-of-another": HOME_OF_ANOTHER}

_UNSETTLED = "unsettled"
_MAX_ROUNDS = 16

# What a rule sees to the left of text that follows a placeholder: a letter, so that hiding one thing gives no start
# to another, and a second redaction finds the boundaries of the first.
_LEFT = "x"

_ASSIGNMENT = re.compile(r"([+\w][\w.:/@-]{0,127}+)=(?=.)", re.ASCII | re.DOTALL)


class Redactor:
    """Redact texts and command lines, and count by rule what was hidden. Cheap to create; not thread-safe.

    `home` is the absolute path of the user's home directory; `homes` are further spellings of the same directory
    (a resolved link, say), which become the same `[home]`.
    """

    def __init__(self, home: str | None = None, homes: Sequence[str] = ()) -> None:
        own = [path.rstrip("/\\") for path in (home or "", *homes)]
        self._rules = _with_own_homes(tuple(sorted({path for path in own if path}, key=len, reverse=True)))
        self._counts: Counter[str] = Counter()

    @property
    def counts(self) -> dict[str, int]:
        """How often each rule has hidden something so far, in order of their names."""
        return dict(sorted(self._counts.items()))

    def text(self, value: str) -> str:
        """Return `value` with a placeholder for each secret."""
        return self._text(value, _likely(self._rules, value))

    def _text(self, value: str, rules: Sequence[Rule]) -> str:
        pieces = _placeholder().split(value) if "[redacted:" in value or "[home" in value else [value]
        for _ in range(_MAX_ROUNDS):
            redacted = self._round(pieces, rules)
            if len(redacted) == len(pieces):
                return "".join(pieces)
            pieces = redacted
        # Each round hides something, so this ends; a text made to take its time is not worth keeping.
        return self._hide(_UNSETTLED)

    def argv(self, argv: Sequence[str]) -> list[str]:
        """Return the command line `argv` redacted, as many arguments long as before.

        What an option or a variable with a secret's name is given is hidden whole, whatever it looks like.
        """
        likely = _likely(self._rules, "\n".join(argv))  # once, since most lines hold no secret
        redacted = []
        option = ""
        for argument in argv:
            if option and not names.is_option(argument):
                redacted.append(self._given(option, argument, likely))
                option = ""
                continue
            redacted.append(self._argument(argument, likely))
            option = argument if names.names_option(argument) else ""
        return redacted

    def _argument(self, argument: str, rules: Sequence[Rule]) -> str:
        """Redact one argument that stands for itself: `--name=value`, `NAME=value`, or a text."""
        if "=" not in argument and names.is_option(argument):
            return argument  # half of a line is such, and no rule finds anything in lower-case letters and dashes
        option, equals, value = argument.partition("=")
        if equals and names.names_option(option):
            return f"{self._text(option, rules)}={self._given(option, value, rules)}"
        assignment = _ASSIGNMENT.match(argument)
        if assignment and names.means_secret(assignment[1]):
            value = self._whole("secret-assignment", argument[assignment.end() :])
            return f"{self._text(assignment[1], rules)}={value}"
        return self._text(argument, rules)

    def _given(self, option: str, value: str, rules: Sequence[Rule]) -> str:
        """Redact the `value` that `option` is given."""
        if names.takes_header(option):
            if not names.tells_header(value):
                return self._argument(value, rules)
            name, _, rest = value.partition(":")
            return f"{self._text(name, rules)}: {self._whole('auth-header', rest.lstrip())}"
        if names.takes_login(option) and names.tells_login(value):
            return self._whole("login-option", value)
        if names.means_secret(option.lstrip("-")):
            return self._whole("option-secret", value)
        return self._argument(value, rules)

    def _whole(self, rule: str, value: str) -> str:
        return value if not value or _is_placeholder(value) else self._hide(rule)

    def _hide(self, rule: str) -> str:
        self._counts[rule] += 1
        return _MARKS.get(rule, f"[redacted:{rule}]")

    def _round(self, pieces: list[str], rules: Sequence[Rule]) -> list[str]:
        """Apply every rule once to the clear pieces; those at odd indices are placeholders and stay so."""
        for rule in _likely(rules, "".join(pieces[::2])):
            pieces = list(self._apply(rule, pieces))
        return pieces

    def _apply(self, rule: Rule, pieces: list[str]) -> Iterator[str]:
        for index, piece in enumerate(pieces):
            if index % 2:
                yield piece
                continue
            clear, end = (_LEFT + piece, 1) if index else (piece, 0)
            for start, stop in _secrets(rule, clear, end):
                yield clear[end:start]
                yield self._hide(rule.name)
                end = stop
            yield clear[end:]


def own_redactor() -> Redactor:
    """Make a redactor that knows the home of the user who runs this process, by each of its names."""
    try:
        home = Path.home()
    except RuntimeError:
        return Redactor()
    return Redactor(home=str(home), homes=(os.path.realpath(home),))


def expand_home(path: str, home: str) -> str | None:
    """Return the path that was redacted to `path`, or None where it holds a placeholder that cannot be undone."""
    if "[redacted:" in path or HOME_OF_ANOTHER in path:
        return None
    return path.replace(HOME, home.rstrip("/"))


def _likely(rules: Sequence[Rule], text: str) -> Sequence[Rule]:
    """Return those of `rules` that may find something in `text`: where none of its hints is, a rule cannot."""
    folded = text.lower()
    return [rule for rule in rules if any(hint in (folded if rule.folds_case else text) for hint in rule.hints)]


def _secrets(rule: Rule, text: str, position: int) -> Iterator[tuple[int, int]]:
    """Yield start and end of each secret of the kind `rule` in `text` from `position` on."""
    find, follow = _compiled(rule.pattern).search, _compiled(rule.value).match
    while found := find(text, position):
        position = found.start() + 1
        if rule.admits and not rule.admits(found):
            continue
        candidate = follow(text, found.end()) if rule.value else found
        if candidate is None:
            continue
        start, end = candidate.span(candidate.lastindex or 0)
        if rule.measure:
            end = start + rule.measure(text[start:end])
        if end > start:
            yield start, end
            position = max(position, end)


def _with_own_homes(homes: tuple[str, ...]) -> tuple[Rule, ...]:
    """Return the rules with one for the own home, before the one for those of others."""
    return RULES if not homes else _own_home_rules(homes)


@cache
def _own_home_rules(homes: tuple[str, ...]) -> tuple[Rule, ...]:
    # Not within a longer path, save behind `-I` and its like; and not the beginning of a longer name.
    left = r"(?:(?<![\w.-])|(?<=-[FIL])(?<![\w-]-[FIL]))"
    right = r"(?![\w-]|\.\w|[^\x00-\x7f])"
    own = Rule("home", "as given", homes, f"{left}(?:{'|'.join(map(re.escape, homes))}){right}")
    others = next(index for index, rule in enumerate(RULES) if rule.name == "home-of-another")
    return (*RULES[:others], own, *RULES[others:])


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    # ASCII: `\w` and `\d` mean what the formats mean, and case folds only as the hints do (no U+017F for `s`).
    return re.compile(pattern, re.ASCII)


def _is_placeholder(value: str) -> bool:
    return value.startswith("[") and _placeholder().fullmatch(value) is not None


@cache
def _placeholder() -> re.Pattern[str]:
    rules = "|".join(re.escape(name) for name in (*(rule.name for rule in RULES), _UNSETTLED) if name not in _MARKS)
    return re.compile(rf"(\[redacted:(?:{rules})\]|{re.escape(HOME)}|{re.escape(HOME_OF_ANOTHER)})")

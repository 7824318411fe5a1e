"""A conversation into text, with the stretches of it that are learnt.

What is true here:

- learnt is each turn of the assistant, whole, with the control token that ends it: a model that never sees the end never
  learns to stop;
- the stretches are exact: taken from `{% generation %}` where a template has it; else a turn is what a template puts out
  for it after its own prompt for an answer, up to the last control token. They are never searched for in the text;
- a template that cannot be masked so is not used: the tokenizer's own gives way to the built-in ChatML, and `note` says
  why; one that was asked for is refused.

It does not know token ids, nor which tokenizer it is for.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING

from trainer.data.formats import CLOSE, OPEN, Turn
from trainer.data.reasons import Reason, UnfitError
from trainer.data.tokens import Tokens
from trainer.errors import ConfigError
from trainer.refusals import TEMPLATES

if TYPE_CHECKING:
    from trainer.data import sandbox

Segments = list[tuple[str, bool]]
"""Consecutive texts, each with whether it is learnt."""

_CONTROL = re.compile(r"<\|\w+\|>|<(?:bos|start_of_turn|end_of_turn)>")  # in a built-in template
_USER, _ASSISTANT = "user", "assistant"
_PROBES: tuple[tuple[Turn, ...], ...] = (
    ((_USER, "One plus one?"), (_ASSISTANT, "Two of them.")),
    ((_USER, "One plus one?"), (_ASSISTANT, "Two of them."), (_USER, "And one?"), (_ASSISTANT, "Three, then.")),
)


class _InexactError(ValueError):
    """A template is not for this room: why."""


@dataclass(frozen=True, slots=True)
class Template:
    """A chat template that can be masked exactly in one tokenizer's tokens."""

    name: str  # "tokenizer", "given", or that of a built-in one
    text: str
    note: str | None  # why it is not the tokenizer's own
    _render: sandbox.Render
    _control: re.Pattern[str]

    @property
    def sha256(self) -> str:
        """The digest of its text."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    def segments(self, turns: Sequence[Turn]) -> Segments:
        """Render `turns`; raise `UnfitError` if the template refuses them or blurs where they begin and end."""
        tagged = "endgeneration" in self.text
        found = self._tagged(turns) if tagged else self._told_apart(turns)
        answers = [content.strip() for role, content in turns if role == _ASSISTANT]
        learnt = [text for text, carries_loss in found if carries_loss]
        if len(answers) != len(learnt) or not all(map(str.__contains__, learnt, answers)):
            raise UnfitError(Reason.NOT_MASKED)
        return found

    def prompt(self, turns: Sequence[Turn]) -> str:
        """Return the text after which the assistant is to answer `turns`, as the model is asked."""
        return self._text(turns, prompt=True).replace(OPEN, "").replace(CLOSE, "")

    def _text(self, turns: Sequence[Turn], *, prompt: bool) -> str:
        from trainer.data import sandbox

        try:
            return self._render([{"role": role, "content": content} for role, content in turns], prompt)
        except sandbox.RenderError as error:
            raise UnfitError(Reason.NOT_RENDERED) from error

    def _tagged(self, turns: Sequence[Turn]) -> Segments:
        """Take the stretches from the template's own marks, each widened to the end of its turn."""
        plain, *marked = self._text(turns, prompt=False).split(OPEN)
        found: Segments = [(plain, False)]
        for stretch in marked:
            learnt, closed, rest = stretch.partition(CLOSE)
            if not closed or CLOSE in rest:
                raise UnfitError(Reason.NOT_MASKED)
            if not self._ends_with_control(learnt):
                end = self._control.match(rest)
                if end is None:
                    raise UnfitError(Reason.NOT_MASKED)
                learnt, rest = learnt + end[0], rest[end.end() :]
            found += [(learnt, True), (rest, False)]
        return [segment for segment in found if segment[0]]

    def _told_apart(self, turns: Sequence[Turn]) -> Segments:
        """Render up to before and up to after each answer; the whole must begin with both."""
        whole, at = self._text(turns, prompt=False), 0
        found: Segments = []
        for index, (role, _) in enumerate(turns):
            if role != _ASSISTANT:
                continue
            before, after = self._text(turns[:index], prompt=True), self._text(turns[: index + 1], prompt=False)
            if len(before) < at or not after.startswith(before) or not whole.startswith(after):
                raise UnfitError(Reason.NOT_MASKED)
            ends = [match.end() for match in self._control.finditer(after, len(before))]
            if not ends:
                raise UnfitError(Reason.NOT_MASKED)
            found += [(whole[at : len(before)], False), (whole[len(before) : ends[-1]], True)]
            at = ends[-1]
        return [segment for segment in (*found, (whole[at:], False)) if segment[0]]

    def _ends_with_control(self, text: str) -> bool:
        return any(match.end() == len(text) for match in self._control.finditer(text))


def choose(wanted: str | None, tokens: Tokens) -> Template:
    """Return the template that `data.chat_template` asks for; raise `ConfigError` if none can be masked exactly."""
    try:
        if wanted is None:
            return _own(tokens)
        if wanted in TEMPLATES:
            return _built_in(wanted, tokens, None)
        return _proven("given", wanted, tokens, None)
    except _InexactError as error:
        raise ConfigError([f"data.chat_template: {error}"]) from error


def _own(tokens: Tokens) -> Template:
    if tokens.template is None:
        note = "the tokenizer has no chat template"
    else:
        try:
            return _proven("tokenizer", tokens.template, tokens, None)
        except _InexactError as error:
            note = f"the tokenizer's own cannot be used: {error}"
    try:
        return _built_in("chatml", tokens, note)
    except _InexactError as error:
        raise _InexactError(f"{note}; nor can chatml: {error}") from error


def _built_in(name: str, tokens: Tokens, note: str | None) -> Template:
    text = (files("trainer.data") / "templates" / f"{name}.jinja").read_text(encoding="utf-8")
    if missing := sorted(set(_CONTROL.findall(text)) - set(tokens.control)):
        raise _InexactError(f"the tokenizer has no {' and '.join(missing)}")
    return _proven(name, text, tokens, note)


def _proven(name: str, text: str, tokens: Tokens, note: str | None) -> Template:
    """Try a template on conversations that any of its kind can render; it must mask them exactly."""
    from trainer.data import sandbox

    try:
        template = Template(name, text, note, sandbox.compiled(text, tokens.names), tokens.pattern)
        for probe in _PROBES:
            segments = template.segments(probe)
            asked = template.prompt(probe[:1])
            if not segments or segments[0] != (asked, False):
                raise _InexactError("what stands before an answer is not what it puts out when asked for one")
    except sandbox.RenderError as error:
        raise _InexactError(str(error)) from error
    except UnfitError as unfit:
        cause = unfit.__cause__
        raise _InexactError(str(cause) if cause else f"a plain conversation is {unfit.reason.value}") from unfit
    return template

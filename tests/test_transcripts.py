"""Sessions of `soup`, as their user sees them: each file in `transcripts/` is run in order, in one empty home.

A transcript is text. `# ` opens a remark, `$ ` a command (`soup` runs in this process, anything else in a shell), `auditor$ `
one of somebody else, with a home of their own. Below it stands what it says: standard output as it is (tabs as two blanks),
standard error behind `! `, an exit code other than 0 as `= 3`. A placeholder stands for what differs from run to run:
`<sha256>`, `<id>` (the beginning of one), `<uuid>`, `<time>`, `<number>`, `<text>`, `<place>` (the home or the working
directory). With a name (`<sha256 bom>`) it stands for the same value wherever it occurs in the transcript.

Where a line differs, the report gives the session as it went, to be read, judged and pasted.
"""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.runner import Soup

TRANSCRIPTS = sorted((Path(__file__).parent / "transcripts").glob("*.txt"))
KINDS = {
    "sha256": r"[0-9a-f]{64}",
    "id": r"[0-9a-f]{16}",
    "uuid": r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}",
    "time": r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d{6}Z)?",
    "number": r"\d+",
    "text": r".+",
    "place": r"/\S+?",
}
PLACEHOLDER = re.compile(rf"<({'|'.join(KINDS)})(?: (\w+))?>")
PROMPT = re.compile(r"(auditor)?\$ (.*)")


class Step:
    """A command and what it is to say."""

    def __init__(self, who: str | None, line: str) -> None:
        self.who, self.line = who, line
        self.expected: list[str] = []


def steps(text: str) -> Iterator[Step]:
    step: Step | None = None
    for line in text.splitlines():
        if prompt := PROMPT.fullmatch(line):
            if step is not None:
                yield step
            step = Step(*prompt.groups())
        elif line and not line.startswith("# ") and step is not None:
            step.expected.append(line)
    if step is not None:
        yield step


def run(soup: Soup, line: str) -> list[str]:
    """Run one line; give what it says, as a transcript has it."""
    words = shlex.split(line)
    if words[0] != "soup":
        done = subprocess.run(line, shell=True, cwd=soup.work, env={"PATH": soup.clean_environ()["PATH"], "LC_ALL": "C"},  # noqa: S602 - our own text
                              capture_output=True, text=True, check=False)  # fmt: skip
        said, err, code = done.stdout, done.stderr, done.returncode
    else:
        outcome = soup(*words[1:])
        said, err, code = outcome.out, outcome.err, outcome.code
    lines = [text.replace("\t", "  ").rstrip() for text in said.splitlines() if text.strip()]
    lines += [f"! {text.rstrip()}" for text in err.splitlines() if text.strip()]
    return [*lines, *([f"= {code}"] if code else [])]


def matches(expected: str, said: str, known: dict[str, str]) -> bool:
    """Hold a line against its pattern; names that it binds are added to `known`."""
    pattern, end, fresh = "", 0, set()
    for found in PLACEHOLDER.finditer(expected):
        kind, name = found.groups()
        pattern += re.escape(expected[end : found.start()])
        if name in known:
            pattern += re.escape(known[name])
        elif name in fresh:
            pattern += f"(?P={name})"
        else:
            pattern += f"(?P<{name}>{KINDS[kind]})" if name else KINDS[kind]
            fresh |= {name} if name else set()
        end = found.end()
    match = re.fullmatch(pattern + re.escape(expected[end:]), said)
    known.update(match.groupdict() if match else {})
    return match is not None


@pytest.mark.slow
@pytest.mark.parametrize("path", TRANSCRIPTS, ids=lambda path: path.stem)
def test_a_session_goes_as_it_is_written_down(path: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    users = {name: Soup(tmp_path / str(name) / ".soup", work) for name in (None, "auditor")}
    known, wrong = dict[str, str](), False
    report: list[str] = []
    for step in steps(path.read_text(encoding="utf-8")):
        said = run(users[step.who], step.line)
        fits = len(said) == len(step.expected) and all(
            matches(expected, line, known) for expected, line in zip(step.expected, said, strict=True)
        )
        report += ["", f"{step.who or ''}$ {step.line}", *said] + (
            [] if fits else ["^^^^ was written down as", *step.expected]
        )
        wrong = wrong or not fits
    assert not wrong, "\n".join(report)


def test_a_transcript_can_fail() -> None:
    known = {"bom": "a" * 64}
    assert matches("m.json  <sha256 bom>", f"m.json  {'a' * 64}", known)
    assert not matches("m.json  <sha256 bom>", f"m.json  {'b' * 64}", known)
    assert not matches("<number> entries", "no entries", known)
    assert not matches("done", "done, nearly", known)
    assert matches("<sha256 x> <sha256 x>", f"{'c' * 64} {'c' * 64}", known)
    assert known["x"] == "c" * 64
    assert not matches("<sha256 y> <sha256 y>", f"{'c' * 64} {'d' * 64}", known)


def test_there_are_transcripts_and_each_has_a_command() -> None:
    assert len(TRANSCRIPTS) >= 4
    assert all(any(True for _ in steps(path.read_text(encoding="utf-8"))) for path in TRANSCRIPTS)

"""Documents of soup before validators and verifiers that others wrote: `make conformance`.

What is true here:

- One line a check: its verdict, the document, the tool and its version; complaints below it. The exit code is 0 only if
  nothing complained, every document could be written, and every check refused the fault that was made for it.
- A check that had no document to look at is a failure. One that lacks published files says so and is skipped.

Not known here: what the tools look at.

usage: run.py [--given FOLDER] [WORD]    only the documents that lie in a folder; only checks whose name has the word
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import attested
import boms
from documents import WORK, given, write_all
from tools import Check, Document, stay_offline, version_of

CHECKS = {check.name: check for check in (*boms.CHECKS, *attested.CHECKS)}


@dataclass(frozen=True)
class Verdict:
    """What one check said of one document."""

    check: str
    document: str
    complaints: tuple[str, ...] = ()
    excused: tuple[str, ...] = ()


def main(words: list[str]) -> int:
    """Write, ask, print; return the exit code."""
    began = time.monotonic()
    from_folder = Path(words[1]) if words[:1] == ["--given"] else None
    rest = words[2:] if from_folder else words
    chosen = [check for check in CHECKS.values() if not rest or rest[0] in check.name]
    written = given(from_folder) if from_folder else write_all()
    for failure in written.failures:
        print(f"FAIL  not written: {failure}", flush=True)
    runnable = [check for check in chosen if not check.missing()]
    for check in chosen:
        if check not in runnable:
            print(f"skip  {check.name}: needs {', '.join(check.missing())} below $SOUP_SPEC_DATA", flush=True)
    with ProcessPoolExecutor(max_workers=os.cpu_count(), initializer=stay_offline) as pool:
        verdicts = show(pool.map(opinion, *pairs(runnable, written.documents)))
        print("\nEach check must refuse a document with a fault:", flush=True)
        verdicts += show(pool.map(self_test, *trials(runnable, written.documents, verdicts)))
    asked = {verdict.check for verdict in verdicts}
    unasked = [check.name for check in runnable if check.name not in asked] if from_folder is None else []
    for name in unasked:
        print(f"FAIL  {name}: there was no document to ask about")
    failed = sum(bool(verdict.complaints) for verdict in verdicts) + len(written.failures) + len(unasked)
    passed = sum(not verdict.complaints for verdict in verdicts)
    print(f"\nin {time.monotonic() - began:.0f} seconds")
    print(f"{passed} passed, {failed} failed, {len(chosen) - len(runnable)} skipped")
    return 1 if failed or not passed else 0


def pairs(checks: Sequence[Check], documents: Sequence[Document]) -> tuple[list[str], list[Document]]:
    """Every check with every document it has a say about."""
    found = [(check.name, document) for document in documents for check in checks if check.applies(document)]
    return [name for name, _ in found], [document for _, document in found]


def trials(
    checks: Sequence[Check], documents: Sequence[Document], verdicts: Iterable[Verdict]
) -> tuple[list[str], list[Document]]:
    """Every check with one document: the fullest that it accepts, else the fullest."""
    accepted = {(verdict.check, verdict.document) for verdict in verdicts if not verdict.complaints}
    found = [
        (check.name, max(eligible, key=lambda one: ((check.name, one.name) in accepted, one.complete)))
        for check in checks
        if (eligible := [document for document in documents if check.applies(document)])
    ]
    return [name for name, _ in found], [document for _, document in found]


def opinion(name: str, document: Document) -> Verdict:
    """Ask one tool about one document."""
    check = CHECKS[name]
    excuses = [excuse for excuse in check.excuses if excuse.covers(document)]
    heard = _ask(check, document)
    matched = {excuse: [one for one in heard if re.search(excuse.complaint, one)] for excuse in excuses}
    complaints = [one for one in heard if not any(one in found for found in matched.values())]
    complaints += [
        f"nobody demands {excuse.complaint!r}: drop the excuse"
        for excuse, found in matched.items()
        if not found and not excuse.of_stack
    ]
    excused = [f"{'; '.join(found)[:200]} ({excuse.because})" for excuse, found in matched.items() if found]
    return Verdict(name, document.name, tuple(complaints), tuple(excused))


def self_test(name: str, document: Document) -> Verdict:
    """Make the fault in a copy, and demand that the tool refuses it for that very reason."""
    check = CHECKS[name]
    folder = WORK / "faults" / re.sub(r"\W+", "-", name)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    faulty = replace(document, path=folder / document.path.name)
    try:
        faulty.path.write_bytes(check.fault.change(document.path.read_bytes()))
    except (KeyError, IndexError, StopIteration, TypeError) as error:
        return Verdict(name, document.name, (f"the fault cannot be made: {error!r}",))
    new = set(_ask(check, faulty)) - set(_ask(check, document))
    if any(re.search(check.fault.says, complaint) for complaint in new):
        return Verdict(name, f"{document.name}, with a fault,")
    return Verdict(name, document.name, (f"accepted a fault: wanted /{check.fault.says}/, heard {sorted(new)}",))


def _ask(check: Check, document: Document) -> list[str]:
    try:
        return check.ask(document)
    except Exception as error:  # noqa: BLE001 - a tool that breaks down has not accepted the document
        return [f"{type(error).__name__}: {error}"]


def show(verdicts: Iterable[Verdict]) -> list[Verdict]:
    """Print each verdict as it comes; return them."""
    shown = []
    for verdict in verdicts:
        tool = f"{verdict.check} [{version_of(CHECKS[verdict.check].package)}]"
        print(f"{'FAIL' if verdict.complaints else 'ok  '}  {verdict.document:<32} {tool}", flush=True)
        for complaint in verdict.complaints:
            print(f"        {complaint}", flush=True)
        for excuse in verdict.excused:
            print(f"        excused: {excuse}", flush=True)
        shown.append(verdict)
    return shown


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

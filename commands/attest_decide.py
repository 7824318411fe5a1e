"""What `soup attest emit` declares: a request and the ledger as it stands, turned into events.

What is true here:

- A run gives its own output, inputs, times and command: beside `--run` none of them can be typed.
- An outcome agrees with its tests; each test has one outcome; a release names its version.
- Nothing is appended here: a request that cannot be met leaves no declaration behind.

Not known here: signatures, targets, and how a statement is rendered.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from commands import attest_inputs
from commands.attest_inputs import Invocation, Looked, Texts
from commands.attest_origin import builder, claimed_ci
from commands.errors import UsageProblem, quoted
from commands.record import Session
from commands.runs import Run, find_run
from ledger.events.attestation import (
    AttestationDeclared2,
    AttestedArtifact,
    EvaluationOutcome,
    Release,
    UsedArtifact,
)
from ledger.events.base import Event
from ledger.reader import Reader

STAGES = ("extract", "train", "eval", "export", "publish")
RESULTS: dict[str, Literal["PASSED", "WARNED", "FAILED"]] = {"passed": "PASSED", "warned": "WARNED", "failed": "FAILED"}
"""Outcomes as they are typed, from good to bad, and as the predicate spells them."""
OF_ONE_STAGE = {
    "result": "eval", "passed_test": "eval", "warned_test": "eval", "failed_test": "eval", "test_url": "eval",
    "purl": "publish", "release_id": "publish",
}  # fmt: skip
STREAMS = {"data": "dataset", "evaluation": "dataset", "config": "config"}
"""Streams of observed dependencies, by role; all others are models, or parts of one."""
# purl-spec: scheme, type, optional namespace, name, version, qualifiers, subpath. Release v0.1 demands the version.
PURL = re.compile(r"pkg:[A-Za-z][A-Za-z0-9.+-]*/[^\s@?#]{1,800}@[^\s@?#/][^\s@]{0,200}", re.ASCII)
URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[^\s<>\"{}|\\^`]{1,1000}")


class Decision(NamedTuple):
    """The declaration, every event to be recorded (it is the last), and the streams that its document is made from."""

    declared: AttestationDeclared2
    events: list[tuple[str, Event]]
    streams: list[str]


class _Ground(NamedTuple):
    """What a request is about: subjects with what was seen of them, what they were made from, and the command that did it."""

    subjects: list[tuple[AttestedArtifact, Looked | None]]
    used: list[UsedArtifact]
    done: Invocation | None


def decide(session: Session, reader: Reader, options: Mapping[str, Any]) -> Decision:
    """Turn a request into events; what happened before is looked up in the ledger. Raises UsageProblem, InputError."""
    texts = Texts()
    run = find_run(reader, options["run"]) if options["run"] else None
    _check_combination(options, run)
    outcome, release = _outcome(options, texts), _release(options, texts)
    invocation = None if options["invocation"] is None else texts.invocation(options["invocation"])
    ground = _ground(session, reader, run, options, texts)
    looked = attest_inputs.dependencies(session, options["dependency"], texts)
    boms = _boms(session, reader, run, ground)
    used = [*ground.used]
    if run is None and not (looked and outcome is not None):  # a test's own configuration beats that of the training
        used += [each for bom in boms for each in attest_inputs.used_by_bom(bom)]
    done = ground.done
    ci = claimed_ci(session.context.environ, texts.shown)
    declared = AttestationDeclared2(
        stage=options["stage"],
        subjects=[subject for subject, _ in ground.subjects],
        builder=builder(ci) if options["builder"] is None else texts("--builder", options["builder"]),
        ci=ci,
        run=run.id if run else None,
        invocation=invocation if invocation is not None else done.line if done else None,
        invocation_id=f"urn:uuid:{done.command}" if done else None,
        started_on=done.started_on if done else None,
        finished_on=done.finished_on if done else None,
        dependencies=_distinct([*used, *(each for each, _ in looked)]),
        byproducts=[document for bom in boms for document in attest_inputs.documents_of_bom(bom)],
        outcome=outcome,
        release=release,
        redactions=dict(texts.redactor.counts),
    )
    events, directories = _observations(options["stage"], ground, looked)
    return Decision(
        declared,
        [*events, (session.stream, declared)],
        [session.stream, *directories, *([run.stream] if run else ())],
    )


def hints(declared: AttestationDeclared2) -> Iterator[str]:
    """Say what the stage's own predicate would have needed."""
    if declared.stage == "eval" and declared.outcome is None:
        yield "this is provenance, and tells no outcome: give --result, or --passed-test and --failed-test"
    if declared.stage == "publish" and declared.release is None:
        yield "this is provenance, and names no release: give --purl"


def _check_combination(options: Mapping[str, Any], run: Run | None) -> None:
    """Refuse what does not belong together, instead of ignoring it."""
    stage = options["stage"]
    for name, owner in OF_ONE_STAGE.items():
        if options[name] and owner != stage:
            raise UsageProblem(f"--{name.replace('_', '-')} does not belong to --stage {stage}", f"it is for {owner}")
    if run is None:
        if not options["subject"]:
            raise UsageProblem("--subject is missing", "name the artifact, or give --run RUN")
        return
    if stage == "extract":
        raise UsageProblem("a run extracts no data", "name the data set with --subject")
    if stage == "export":
        if not options["subject"]:
            raise UsageProblem("--subject is missing", "name what was exported; --run says what it was made from")
        return
    typed = [f"--{name}" for name in ("subject", "sha") if options[name]]
    if stage == "train" and options["invocation"] is not None:
        typed.append("--invocation")
    if typed:
        raise UsageProblem(f"{', '.join(typed)} cannot stand beside --run", "the run has recorded it; leave it out")


def _ground(session: Session, reader: Reader, run: Run | None, options: Mapping[str, Any], texts: Texts) -> _Ground:
    ended = attest_inputs.end_of_run(reader, run) if run else None
    of_run = attest_inputs.of_run(run, ended, options["stage"], texts) if run and ended else None
    if run and ended and of_run and options["stage"] == "train":
        return _Ground([(of_run[0], None)], of_run[1], attest_inputs.invocation_of_run(reader, run, ended))
    done = attest_inputs.find_invocation(reader, options["invocation"]) if options["invocation"] else None
    if run and of_run and options["stage"] == "eval" and options["invocation"] is None:
        done = attest_inputs.invocation_of_run(
            reader, run, None
        )  # the run measured; when exactly, its times do not say
    if of_run and options["stage"] != "export":
        return _Ground([(of_run[0], None)], of_run[1], done)
    looked = attest_inputs.subjects(session, options["subject"], options["sha"], texts)
    subjects = [(AttestedArtifact(name=name, digest=found.digest, kind=found.kind), found) for name, found in looked]
    return _Ground([*subjects], of_run[1] if of_run else [], done)


def _boms(session: Session, reader: Reader, run: Run | None, ground: _Ground) -> list[attest_inputs.Bom]:
    found = {
        bom.record.position: bom
        for subject, _ in ground.subjects
        if (bom := attest_inputs.newest_bom(reader, subject.digest.sha256, run, but=session.command)) is not None
    }
    return list(found.values())


def _observations(
    stage: str, ground: _Ground, looked: Sequence[tuple[UsedArtifact, Looked]]
) -> tuple[list[tuple[str, Event]], list[str]]:
    """Give the events of what was hashed, and the streams of directories: their files are in the statement."""
    noun = "dataset" if stage == "extract" else "model"
    found = [(noun, one) for _, one in ground.subjects if one is not None]
    found += [(STREAMS.get(used.role, "model"), one) for used, one in looked]
    events: list[tuple[str, Event]] = [
        (f"{stream}/{one.digest.sha256}", one.event) for stream, one in found if one.event is not None
    ]
    directories = [
        f"{noun}/{one.digest.sha256}" for _, one in ground.subjects if one is not None and one.kind == "directory"
    ]
    return events, list(dict.fromkeys(directories))


def _distinct(used: Sequence[UsedArtifact]) -> list[UsedArtifact]:
    """Leave out what is named twice in the same role; the one that the ledger knows of first stays."""
    found: dict[tuple[str, str], UsedArtifact] = {}
    for each in used:
        found.setdefault((each.role, each.digest.sha256), each)
    return list(found.values())


def _outcome(options: Mapping[str, Any], texts: Texts) -> EvaluationOutcome | None:
    """Read the outcome of an evaluation. Raises UsageProblem where result and tests contradict each other."""
    tests = {name: [texts(f"--{name}-test", each) for each in options[f"{name}_test"]] for name in RESULTS}
    names = [name for each in tests.values() for name in each]
    for name in names:
        if names.count(name) > 1:
            raise UsageProblem(f"the test {quoted(name)} is given twice", "a test has one outcome")
    order = list(RESULTS)
    worst = next((name for name in reversed(order) if tests[name]), None)
    result = options["result"] or worst
    if result is None:
        if options["test_url"]:
            raise UsageProblem("--test-url needs an outcome", "give --result")
        return None
    if worst is not None and order.index(worst) > order.index(result):
        raise UsageProblem(f"--result {result} contradicts --{worst}-test", f"leave --result out: it is {worst}")
    return EvaluationOutcome(
        result=RESULTS[result],
        url=_matching(URL, "--test-url", options["test_url"], texts, "an absolute URI"),
        passed=tests["passed"],
        warned=tests["warned"],
        failed=tests["failed"],
    )


def _release(options: Mapping[str, Any], texts: Texts) -> Release | None:
    purl = _matching(PURL, "--purl", options["purl"], texts, "a package URL with a version: pkg:TYPE/NAME@VERSION")
    if purl is None:
        if options["release_id"]:
            raise UsageProblem("--release-id needs --purl", "a release is named by its package URL")
        return None
    identifier = None if options["release_id"] is None else texts("--release-id", options["release_id"])
    return Release(purl=purl, release_id=identifier)


def _matching(form: re.Pattern[str], option: str, value: str | None, texts: Texts, what: str) -> str | None:
    if value is None:
        return None
    text = texts(option, value)
    if not form.fullmatch(text):
        raise UsageProblem(f"{option} {quoted(text[:200])} is not {what}")
    return text

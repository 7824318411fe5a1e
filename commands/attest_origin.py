"""Who built it, as far as can be said here: a builder's URI, a claimed CI system, and the SLSA level that may follow.

What is true here:

- A CI system is a claim: anybody can set a variable. It is recorded as one, and never beside what soup knows.
- A level is said to the person who runs the command, on stderr; no statement ever contains one.

Sources: SLSA v1.2, Build track levels; the variables are those that GitHub Actions and GitLab CI document.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from ledger.events.attestation import AttestationDeclared2, ClaimedCi

BUILDER = "urn:soup-ledger:builder:{mode}@v1"
MAX_VARIABLE = 256


class CiSystem(NamedTuple):
    """A CI system: the variable that claims it, and those that say which job it is."""

    name: str
    marker: str
    variables: tuple[str, ...]


CI_SYSTEMS = (
    CiSystem(
        "github",
        "GITHUB_ACTIONS",
        (
            "GITHUB_REPOSITORY", "GITHUB_WORKFLOW_REF", "GITHUB_RUN_ID", "GITHUB_RUN_ATTEMPT", "GITHUB_SHA",
            "GITHUB_REF", "RUNNER_ENVIRONMENT",
        ),
    ),
    CiSystem(
        "gitlab", "GITLAB_CI", ("CI_PROJECT_URL", "CI_PIPELINE_ID", "CI_JOB_ID", "CI_COMMIT_SHA", "CI_COMMIT_REF_NAME")
    ),
    CiSystem("unknown", "CI", ()),
)  # fmt: skip


def claimed_ci(environ: Mapping[str, str], redact: Callable[[str], str]) -> ClaimedCi | None:
    """Give the CI system that the environment claims, None where it claims none. `redact` cleans each value."""
    for system in CI_SYSTEMS:
        if environ.get(system.marker, "").lower() in {"true", "1"}:
            found = {name: redact(environ[name])[:MAX_VARIABLE] for name in system.variables if environ.get(name)}
            return ClaimedCi(system=system.name, variables=found)
    return None


def builder(ci: ClaimedCi | None) -> str:
    """Give the `builder.id` of where soup runs: local, or a CI system by its claim."""
    mode = "local" if ci is None else "ci" if ci.system == "unknown" else f"ci-{ci.system}"
    return BUILDER.format(mode=mode)


def reachable(declared: AttestationDeclared2, backend: str) -> str:
    """Say which SLSA Build level a verifier can reach from this statement, and why no higher one."""
    if declared.outcome is not None or declared.release is not None:
        what = "a test result" if declared.outcome is not None else "a release"
        return f"SLSA: no Build level follows from this: {what} is no provenance"
    if declared.run is None or declared.stage != "train":
        return (
            "SLSA: Build L0: what was done was told to soup, not recorded by it"
            " (L1: provenance that the build itself makes; for training: --run RUN)"
        )
    if declared.ci is None:
        return (
            "SLSA: Build L1 is reachable: the run recorded its own provenance"
            " (L2: a hosted platform builds, and signs with a key of its own; this says it was local)"
        )
    if backend != "sigstore":
        return (
            "SLSA: Build L1 is reachable: the run recorded its own provenance; it claims a CI system,"
            " but the job holds the key (L2: the platform's identity signs, --sign sigstore)"
        )
    return (
        "SLSA: Build L2 is reachable, for a verifier who trusts the identity of the claimed CI system"
        " (L3: a signer that the build's own steps cannot reach)"
    )

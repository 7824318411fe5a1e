"""What surrounds the model in CycloneDX: where and how it was made, what leans on what, what is claimed of it.

What is true:

* The environment is one component of type platform, the interpreter; it leans on the packages and devices that were found in
  it, each package on those it requires. All of it was observed, and the platform says so once for all.
* Every component has one node in `dependencies`. The graph begins at the root and reaches each of them.
* `compositions` calls complete only a directory that soup walked. An environment is incomplete by nature: what lies below
  Python is not listed. What else the model was made from nobody can say: unknown.
* A package has no hash: its RECORD's digest is that of a list, and stands in a property.
* A standard that the operator names is a claim of theirs, with the entry that holds it for evidence. There is no attestation
  and no conformance: soup assesses nothing.

References are made from role and order, never from a name. It does not know the model card.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from packageurl import PackageURL

from ledger.events.environment import Device, EnvironmentObserved, Package
from ledger.events.run import RunData
from projections.bom.cyclonedx_card import json_properties
from projections.bom.cyclonedx_parts import Json, contact_json, package_licences
from projections.facts import BomFacts, Known, Part, RunFacts

LISTED = "model-listed"
"""The bom-ref of the model in the inventory, beside the root's."""

_ENVIRONMENT, _FORMULA, _RUN, _EVIDENCE = "environment", "formula", "run", "evidence-facts"
_SEPARATORS = re.compile(r"[-_.]+")  # PEP 503


def environment(facts: BomFacts) -> list[Json]:
    """Return the platform, its packages and its devices; nothing where no environment was recorded."""
    known = facts.environment
    if known is None:
        return []
    return [
        _platform(known),
        *(_package(ref, package) for ref, package in _packages(known.value)),
        *(_device(ref, device) for ref, device in _devices(known.value)),
    ]


def dependencies(facts: BomFacts, model: Part, others: list[Part]) -> list[Json]:
    """Return a node for each component: the root, its twin in the inventory, all others, files last."""
    listed = [part.ref for part in others]
    around = _around(facts.environment.value) if facts.environment else {}
    made_from = [*listed, *([_ENVIRONMENT] if around else [])]
    files = [ref for part in (model, *others) for ref, _ in part.files]
    nodes = {model.ref: [LISTED, *made_from], LISTED: made_from} | _leaves(listed) | around | _leaves(files)
    return [{"ref": ref, "dependsOn": found} for ref, found in nodes.items()]


def compositions(facts: BomFacts, model: Part, others: list[Part]) -> list[Json]:
    """Say how complete the lists are."""
    walked = [part.ref for part in (model, *others) if part.files and part.origin == "observed"]
    inside = [*_around(facts.environment.value)] if facts.environment else []
    found = {
        "complete": {"assemblies": walked},
        "incomplete": {"dependencies": inside},
        "unknown": {"dependencies": [model.ref, LISTED, *(part.ref for part in others)]},
    }
    return [{"aggregate": aggregate} | lists for aggregate, lists in found.items() if all(lists.values())]


def formulation(facts: BomFacts, model: Part, others: list[Part]) -> list[Json]:
    """Return the run as a workflow; nothing where none was recorded."""
    if facts.run is None:
        return []
    run, started = facts.run, facts.run.started.value
    by_digest = {part.artifact.digest.sha256: part.ref for part in reversed(others) if part.artifact.digest}
    read = [started.base_digest.sha256, started.config.sha256, *(each.sha256 for each in started.data)]
    inputs: list[Json] = [
        {"resource": {"ref": by_digest[sha256]}} for sha256 in dict.fromkeys(read) if sha256 in by_digest
    ]
    parameters = {**started.settings, **{f"seed.{name}": seed for name, seed in started.seeds.items()}}
    if parameters:
        inputs.append({"parameters": [{"name": name, "value": value} for name, value in sorted(parameters.items())]})
    workflow = {
        "bom-ref": _RUN,
        "uid": started.run,
        "name": started.name,
        "description": f"fine-tuning ({started.task})",
        "taskTypes": ["build", "other"],  # the standard has no type for training
        "timeStart": run.started_at.isoformat(),
        "timeEnd": run.finished_at.isoformat() if run.finished_at else None,
        "steps": _steps(run),
        "inputs": inputs,
        "outputs": _outputs(run, model),
        "runtimeTopology": _topology(facts),
        "properties": json_properties(_run_properties(run, set(by_digest))),
    }
    return [{"bom-ref": _FORMULA, "workflows": [{name: value for name, value in workflow.items() if value}]}]


def standards(facts: BomFacts) -> Json:
    """Return the standards that the operator names, as they name them."""
    named = [{"bom-ref": f"standard-{index}", "name": name} for index, name in enumerate(_standards(facts), 1)]
    return {"standards": named} if named else {}


def declarations(facts: BomFacts, model: Part) -> Json:
    """Return what the operator claims of the model, and the ledger's entry that holds the claim."""
    named = _standards(facts)
    if not named or facts.stated is None:
        return {}
    claims = [
        {
            "bom-ref": f"claim-{index}",
            "target": model.ref,
            "predicate": f"The operator states for this model: {name}",
            "reasoning": "Stated by the operator; not assessed by soup.",
            "evidence": [_EVIDENCE],
        }
        for index, name in enumerate(named, 1)
    ]
    evidence: Json = {
        "bom-ref": _EVIDENCE,
        "propertyName": "soup:ledger:position",
        "description": f"facts.declared at position {facts.stated.position} of {facts.ledger_origin}",
    }
    author = next((fields for fields in map(contact_json, facts.said.document.authors) if fields), None)
    return {"claims": claims, "evidence": [evidence | ({"author": author} if author else {})]}


def _platform(known: Known[EnvironmentObserved]) -> Json:
    said = known.value
    more = {
        "soup:digest:origin": "unknown",
        "soup:ledger:position": str(known.position),
        "soup:origin:observed": "name, version, packages, devices",
        "soup:environment:platform": said.platform,
        **{f"soup:environment:detail:{name}": value for name, value in sorted(said.details.items())},
    }
    return {
        "type": "platform",
        "bom-ref": _ENVIRONMENT,
        "name": said.implementation,
        "version": said.python,
        "properties": json_properties(more.items()),
    }


def _package(ref: str, said: Package) -> Json:
    # A dict: the library takes half a millisecond for a component, and an environment has hundreds.
    more = {"soup:digest:origin": "unknown", "soup:record:sha256": said.record_sha256}
    found = {
        "version": said.version,
        "purl": _purl(said),
        "licenses": package_licences(said.license) if said.license else None,
        "supplier": {"name": said.supplier} if said.supplier else None,
    }
    return {
        "type": "library",
        "bom-ref": ref,
        "name": said.name,
        "properties": json_properties((name, value) for name, value in more.items() if value),
    } | {name: value for name, value in found.items() if value}


def _purl(said: Package) -> str | None:
    try:
        return PackageURL("pypi", None, said.name, said.version).to_string()
    except (ValueError, TypeError):  # a name of white space, or of slashes (packageurl lets these through, then fails)
        return None


def _device(ref: str, said: Device) -> Json:
    more = {
        "soup:digest:origin": "unknown",
        "soup:device:kind": said.kind,
        "soup:device:count": str(said.count),
        "soup:device:memory": None if said.memory is None else str(said.memory),
        "soup:device:driver": said.driver,
    }
    return {
        "type": "device",
        "bom-ref": ref,
        "name": said.name,
        "properties": json_properties((name, value) for name, value in more.items() if value),
    }


def _packages(said: EnvironmentObserved) -> list[tuple[str, Package]]:
    return [(f"package-{index}", package) for index, package in enumerate(said.packages, 1)]


def _devices(said: EnvironmentObserved) -> list[tuple[str, Device]]:
    return [(f"device-{index}", device) for index, device in enumerate(said.devices, 1)]


def _around(said: EnvironmentObserved) -> dict[str, list[str]]:
    """Return the environment's part of the graph. Whatever is required and was not found is no component."""
    packages, devices = _packages(said), [ref for ref, _ in _devices(said)]
    by_name: defaultdict[str, list[str]] = defaultdict(list)
    for ref, package in packages:
        by_name[_normal(package.name)].append(ref)
    required = {
        ref: [*dict.fromkeys(other for name in package.requires for other in by_name[_normal(name)] if other != ref)]
        for ref, package in packages
    }
    return {_ENVIRONMENT: [*required, *devices]} | required | _leaves(devices)


def _leaves(refs: Iterable[str]) -> dict[str, list[str]]:
    return {ref: [] for ref in refs}


def _normal(name: str) -> str:
    return _SEPARATORS.sub("-", name).lower()


def _steps(run: RunFacts) -> list[Json]:
    from shlex import join

    return [{"name": "train", "commands": [{"executed": join(run.command)}]}] if run.command else []


def _topology(facts: BomFacts) -> list[Json]:
    if facts.environment is None:
        return []
    return [{"ref": _ENVIRONMENT, "dependsOn": [ref for ref, _ in _devices(facts.environment.value)]}]


def _outputs(run: RunFacts, model: Part) -> list[Json]:
    digest, completed = model.artifact.digest, run.completed
    same = completed and digest and completed.value.digest.sha256 == digest.sha256
    return [{"type": "artifact", "resource": {"ref": model.ref}}] if same else []


def _run_properties(run: RunFacts, listed: set[str]) -> Iterable[tuple[str, str]]:
    started = run.started.value
    yield "soup:origin:observed", "all"
    yield "soup:ledger:position", str(run.started.position)
    yield "soup:run:outcome", run.outcome
    yield from _numbers(started, "parameters", "trainable", "steps")
    if run.error:
        yield "soup:run:error", run.error
    if run.command_id:
        yield "soup:command", run.command_id
    if started.base_digest.sha256 not in listed:
        yield "soup:run:base", f"{started.base} sha256:{started.base_digest.sha256}"
    if started.config.sha256 not in listed:
        yield "soup:run:config", f"sha256:{started.config.sha256}"
    yield from (("soup:run:data", _line(each)) for each in started.data if each.sha256 not in listed)
    if run.completed:
        done = run.completed.value
        yield "soup:ledger:completed", str(run.completed.position)
        yield "soup:run:output", f"{done.output} sha256:{done.digest.sha256}"
        yield from _numbers(done, "supervised", "computed", "last_loss")


def _numbers(said: Any, *fields: str) -> Iterable[tuple[str, str]]:
    for field in fields:
        if getattr(said, field) is not None:
            yield f"soup:run:{field.replace('_', '-')}", str(getattr(said, field))


def _line(said: RunData) -> str:
    return f"{said.role} {said.name} sha256:{said.sha256} ({said.size} bytes, {said.rows} rows, {said.kept} kept)"


def _standards(facts: BomFacts) -> list[str]:
    return [*dict.fromkeys(facts.said.model.standards)]

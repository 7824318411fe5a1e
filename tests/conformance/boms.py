"""What others' validators say of bills of material: CycloneDX 1.6 and 1.7, SPDX 2.3, SPDX 3.0.1.

What is true here:

- Schema, model and shape are demanded of every document; completeness only of those whose facts file leaves nothing out,
  since soup invents nothing to fill a field.
- What a tool calls a warning is a complaint too.

Not known here: what the documents say, and whether it is so.
"""

from __future__ import annotations

import json
import logging
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from owasp import score
from tools import NPM, Check, Document, Excuse, Fault, node, run, spec

Json = dict[str, Any]


def edited(change: Callable[[Json], Any]) -> Callable[[bytes], bytes]:
    """Make a change to a JSON document one to its bytes."""

    def of(raw: bytes) -> bytes:
        document = json.loads(raw)
        change(document)
        return json.dumps(document).encode()

    return of


# CycloneDX.


def python_library(document: Document) -> list[str]:
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    text = document.path.read_text()
    version = SchemaVersion.from_version(json.loads(text)["specVersion"])
    return [str(error.data.message) for error in JsonStrictValidator(version).validate_str(text, all_errors=True) or ()]


def javascript_library(document: Document) -> list[str]:
    return refusals(run([node(), Path(__file__).with_name("validate.cjs"), NPM, document.path]))


def cdx_validate(document: Document) -> list[str]:
    program = NPM / "@cyclonedx" / "cdxgen" / "bin" / "validate.js"
    with tempfile.TemporaryDirectory() as folder:  # a report to standard output ends at 64 KiB where that is a pipe
        wanted = Path(folder, "report.json")
        done = run([node(), program, "-i", document.path, "--strict", "--report", "json", "--report-file", wanted])
        if not wanted.exists():
            return [f"exit code {done.returncode}, and no report: {done.stderr.strip()[-300:]}"]
        report = json.loads(wanted.read_bytes())
    invalid = [f"{what} is {report[what]}" for what in ("schemaValid", "deepValid") if report[what] is not True]
    failing = {
        f"{control['id']}: {control['message']}"
        for benchmark in report["benchmarks"]
        for control in benchmark["controls"]
        if control["status"] == "fail"
    }
    return invalid + (sorted(failing) if document.complete and document.stack else [])


def aibom_fields(document: Document) -> list[str]:
    reached, missing = score(json.loads(document.path.read_bytes()))
    return [] if reached == 100 else [f"{reached} %, without {', '.join(missing)}"]


# SPDX.


def spdx_tools(document: Document) -> list[str]:
    from spdx_tools.spdx.parser.parse_anything import parse_file
    from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

    messages = validate_full_spdx_document(parse_file(str(document.path)), "SPDX-2.3")
    return [f"{message.validation_message} ({message.context.spdx_id})" for message in messages]


def published(of: str, carried: str) -> Path:
    """Find a published JSON schema, or the same one as a package carries it."""
    import lib4sbom

    return spec(of) or Path(lib4sbom.__file__).parent / "schemas" / "spdx" / carried


def spdx2_schema(document: Document) -> list[str]:
    from jsonschema import Draft7Validator

    schema = json.loads(published("spdx-2.3/spdx-schema.json", "2.3-schema.json").read_bytes())
    validator = Draft7Validator(schema, format_checker=Draft7Validator.FORMAT_CHECKER)
    return [
        f"{one.json_path}: {one.message[:300]}" for one in validator.iter_errors(json.loads(document.path.read_bytes()))
    ]


def spdx3_schema(document: Document) -> list[str]:
    """Ask ajv: the schema has one great choice of classes, over which Python's validator needs minutes."""
    schema = published("spdx-3.0.1/schema.json", "3.0-schema.json")
    return refusals(run([node(), Path(__file__).with_name("schema.cjs"), NPM, schema, document.path]))


def shapes(document: Document) -> list[str]:
    """Hold a document's graph against SPDX's own SHACL shapes, as spdx3-validate does."""
    from spdx3_validate import core

    loaded = core.Document.load(str(document.path))
    _, model = core.load_validation_data(loaded.version)
    return [re.sub(r"\s+", " ", found)[-400:] for found in core.check_graph(loaded.graph, model, loaded.version, True)]


def minimum_elements(standard: str) -> Callable[[Document], list[str]]:
    """Ask for the minimum elements of a standard; elements attached to nothing are a complaint as well."""

    def ask(document: Document) -> list[str]:
        from ntia_conformance_checker import SbomChecker

        logging.disable(logging.WARNING)
        found = SbomChecker(str(document.path), compliance=standard, sbom_spec=document.form)
        # Elements that a standard only recommends are not demanded, and marked so.
        demands = {
            name: passed for name, passed in found.table_elements if not name.endswith(("(Warning)", "(Optional)"))
        }
        complaints = [f"{kind} of {_short(who)}" for kind, those in found.all_components_without_info for who in those]
        complaints += [] if complaints else [name for name, passed in demands.items() if not passed]
        complaints += [name for name in demands if "generation context" in name and not demands[name]]
        complaints += [f"attached to nothing: {_short(('', one))}" for one in sorted(found.floating_component_ids)]
        complaints += [str(message) for message in (*found.validation_messages, *found.parsing_error)]
        return sorted(set(complaints)) or ([] if found.compliant else ["not compliant"])

    return ask


def _short(component: tuple[str, str]) -> str:
    name, identifier = component
    return f"{name} ({identifier.rpartition('#')[2]})".strip()


def refusals(done: Any) -> list[str]:
    """Take a line each for a complaint where the exit code says that there are any."""
    return [] if done.returncode == 0 else ((done.stdout + done.stderr).strip().splitlines() or ["refused in silence"])


# The faults, each one that such tools really had.


def graph(document: Json, kind: str) -> Json:
    return next(element for element in document["@graph"] if element["type"] == kind)


wrong_type = edited(lambda cdx: cdx["metadata"]["component"].update(type="neural-network"))
no_name = edited(lambda cdx: cdx["metadata"]["component"].pop("name"))
no_references = edited(lambda cdx: cdx["components"][0].pop("externalReferences"))
ai_model = edited(lambda spdx: spdx["packages"][0].update(primaryPackagePurpose="AI-MODEL"))
derived_from = edited(lambda spdx: spdx["relationships"][-1].update(relationshipType="DERIVED_FROM"))


def supplied_by_itself(raw: bytes) -> bytes:
    """Let the model be its own supplier: a well-formed reference to something that is no agent."""
    spdx = json.loads(raw)
    model = graph(spdx, "ai_AIPackage")
    model["suppliedBy"] = model["spdxId"]
    return json.dumps(spdx).encode()


wrong_presence = edited(lambda spdx3: graph(spdx3, "ai_AIPackage").update(ai_autonomyType="perhaps"))


def unversioned(raw: bytes) -> bytes:
    """Take the version off the model."""
    spdx = json.loads(raw)
    model = graph(spdx, "ai_AIPackage") if "@graph" in spdx else spdx["packages"][0]
    del model["software_packageVersion" if "@graph" in spdx else "versionInfo"]
    return json.dumps(spdx).encode()


# What cannot be met honestly. Soup knows of an installed package what its metadata say: many name nobody, none has a
# copyright or the archive it came in.
OWN = "soup signs a BOM by a DSSE envelope beside it; the tool knows only signatures inside a BOM"
UNSAID = "not in the metadata of an installed Python package"
ANOTHER = "some packages state their licence by a name that is no SPDX identifier; soup does not guess which they mean"
CONTEXT = Excuse("spdx2", "^SBOM generation context", "SPDX 2.3 has no field for the type of an SBOM; SPDX 3 has")
PACKAGE = r" of .* \((SPDXRef-)?package-"
BENCHMARKS = (
    Excuse("cyclonedx", "^SCVS-2.4: ", OWN, of_stack=True),
    Excuse("cyclonedx", "^SCVS-2.16: .* copyright|^SCVS-(2.18|3.18): .* (hash|checksum)", UNSAID, of_stack=True),
    Excuse("cyclonedx", "^(SCVS-2.14|CRA-MIN-007): .* licen[cs]e information", UNSAID, of_stack=True),
    Excuse("cyclonedx", "^SCVS-2.15: .* non-SPDX license", ANOTHER, of_stack=True),
)
ELEMENTS = {
    "ntia": tuple(Excuse(form, "supplier" + PACKAGE, UNSAID, of_stack=True) for form in ("spdx2", "spdx3")),
    "fsct3-min": (
        CONTEXT,
        *(
            Excuse(form, f"(supplier|concluded_license|copyright_text){PACKAGE}", UNSAID, of_stack=True)
            for form in ("spdx2", "spdx3")
        ),
    ),
    "bsi": (Excuse("spdx3", f"(creator|filename|distribution_licenses|sha512_hash){PACKAGE}", UNSAID, of_stack=True),),
}

CHECKS = (
    Check(
        "cyclonedx-python-lib, strict",
        "cyclonedx-python-lib",
        ("cyclonedx",),
        python_library,
        Fault(wrong_type, "neural-network"),
    ),
    Check(
        "cyclonedx-library (JavaScript), strict",
        "@cyclonedx/cyclonedx-library",
        ("cyclonedx",),
        javascript_library,
        Fault(no_name, "required property 'name'"),
    ),
    Check(
        "cdx-validate --strict",
        "@cyclonedx/cdxgen",
        ("cyclonedx",),
        cdx_validate,
        Fault(wrong_type, "schema(Valid is False| validation failed)"),
        excuses=BENCHMARKS,
    ),
    Check(
        "OWASP AIBOM Generator's field list, 100 %",
        "=1.0.2",
        ("cyclonedx",),
        aibom_fields,
        Fault(no_references, "without .*(vcs|website)"),
        complete_only=True,
    ),
    Check("spdx-tools", "spdx-tools", ("spdx2",), spdx_tools, Fault(derived_from, "DERIVED_FROM|derived")),
    Check("official SPDX 2.3 JSON schema", "jsonschema", ("spdx2",), spdx2_schema, Fault(ai_model, "AI-MODEL")),
    Check("official SPDX 3.0.1 JSON schema", "ajv", ("spdx3",), spdx3_schema, Fault(wrong_presence, "allowed values")),
    Check(
        "official SPDX 3.0.1 SHACL shapes",
        "spdx3-validate",
        ("spdx3",),
        shapes,
        Fault(supplied_by_itself, "suppliedBy"),
        needs=("spdx-3.0.1/spdx-model.ttl", "spdx-3.0.1/spdx-context.jsonld", "spdx-3.0.1/schema.json"),
    ),
    *(
        Check(
            f"ntia-checker, {standard}",
            "ntia-conformance-checker",
            ("spdx3",) if standard == "bsi" else ("spdx2", "spdx3"),
            minimum_elements(standard),
            Fault(unversioned, "version"),
            complete_only=True,
            excuses=ELEMENTS[standard],
        )
        for standard in ELEMENTS
    ),
)

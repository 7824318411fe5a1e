"""Reading bills of materials: the same facts out of every format, and nothing but a sentence out of bytes that are none."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from projections.bom import cyclonedx, spdx2, spdx3
from projections.bom.read import MAX_BYTES, MAX_DEPTH, read
from projections.bom.read_facts import Document, day, hash_key, is_unknown, number, text, time
from projections.bom.read_terms import TERMS
from projections.errors import InvalidDocumentError
from projections.facts import BomFacts
from tests.projections.bom_facts import SAMPLES, any_facts, facts, sha
from tests.projections.full_facts import full

Json = dict[str, Any]

RENDERERS: dict[str, Callable[[BomFacts], bytes]] = {
    "cyclonedx": cyclonedx.render,
    "cyclonedx17": lambda said: cyclonedx.render(said, "1.7"),
    "spdx2": spdx2.render,
    "spdx3": spdx3.render,
}
FULL = {name: render(full()) for name, render in RENDERERS.items()}
DATA = "data/The Devil's Dictionary, entries"


def cdx(**fields: object) -> bytes:
    return json.dumps({"bomFormat": "CycloneDX", "specVersion": "1.6", **fields}).encode()


def spdx(**fields: object) -> bytes:
    return json.dumps({"spdxVersion": "SPDX-2.3", "SPDXID": "SPDXRef-DOCUMENT", **fields}).encode()


def graph(*elements: Json) -> bytes:
    info = {"type": "CreationInfo", "@id": "_:c", "specVersion": "3.0.1", "created": "2026-03-01T12:00:00Z"}
    context = "https://spdx.org/rdf/3.0.1/spdx-context.jsonld"
    return json.dumps({"@context": context, "@graph": [info, *elements]}).encode()


def values(document: Document, about: str, name: str, key: str | None = None) -> list[str]:
    return [
        fact.value
        for fact in document.facts
        if (fact.about, fact.name) == (about, name) and (key is None or fact.key == key)
    ]


def at(content: Any, pointer: str) -> Any:
    for step in pointer.split("/")[1:]:
        content = (
            content[int(step)] if isinstance(content, list) else content[step.replace("~1", "/").replace("~0", "~")]
        )
    return content


# The same facts out of every format.


@pytest.mark.parametrize("form", RENDERERS)
@pytest.mark.parametrize(
    ("about", "name", "key", "expected"),
    [
        ("model", "name", None, ["devils-dictionary"]),
        ("model", "version", None, ["1.0.0"]),
        ("model", "licence", None, ["Apache-2.0"]),
        ("model", "purl", None, ["pkg:huggingface/example/devils-dictionary@1.0.0"]),
        ("model", "supplier", None, ["Example Lexicography"]),
        ("model", "released", None, ["2026-03-01"]),
        ("model", "metric", "perplexity (held-out entries)", ["21.5"]),
        ("model", "lower", "perplexity (held-out entries)", ["20.1"]),
        ("model", "threshold", "perplexity (held-out entries)", ["30"]),
        ("model", "energy", "fine-tuning", ["0.0125"]),
        ("model", "co2", "fine-tuning", ["5.225"]),
        ("model", "hyperparameter", "training.lr", ["0.0002"]),
        ("model", "method", None, ["sft"]),
        ("model", "intended_use", None, ["Writing mock dictionary entries for entertainment."]),
        ("model", "tradeoff", None, ["Style was preferred to accuracy."]),
        ("model", "limitation", None, ["Trained on 195 entries; it repeats them.", "English only."]),
        ("model", "safety_risk", None, ["low"]),
        ("model", "control", None, ["The adapter is signed; its digest is in a ledger."]),
        ("model", "link", "security-policy", ["https://lexicography.example/security"]),
        ("model", "link", "attestation", [f"sha256:{sha('attestation')}"]),
        ("model", "parent", None, [sha("parent")]),
        ("base", "name", None, ["HuggingFaceTB/SmolLM2-135M-Instruct"]),
        ("base", "version", None, ["12fd25f77366fa6b3b4b768ec3050bf629380bac"]),
        ("base", "hash", "sha256", [sha("gguf")]),
        (DATA, "hash", "sha256", [sha("dictionary")]),
        (DATA, "size", None, ["61000"]),
        (DATA, "role", None, ["training"]),
        (DATA, "licence", None, ["CC0-1.0"]),
        (DATA, "known_bias", None, ["Views of a white American journalist of 1911."]),
        (DATA, "owner", None, ["Public domain"]),
        ("config/soup.yaml", "hash", "sha256", [sha("yaml")]),
        ("file/model/adapter_model.safetensors", "hash", "sha256", [sha("weights")]),
        ("file/merged.gguf", "hash", "sha256", [sha("merged")]),
        ("package/torch", "version", None, ["2.13.0+cpu"]),
        ("package/torch", "depends_on", None, ["package/sympy"]),
        ("package/sympy", "licence", None, ["BSD"]),
        ("run", "started", None, ["2026-03-01T12:00:00Z"]),
        ("run", "executed", None, ["soup train --config soup.yaml"]),
        ("document", "created", None, ["2026-03-01T12:30:15Z"]),
        ("document", "tool", "soup", ["soup 0.1.0"]),
        ("document", "ledger.position", None, ["7"]),
    ],
)
def test_every_format_of_the_same_facts_is_read_alike(
    form: str, about: str, name: str, key: str | None, expected: list[str]
) -> None:
    assert values(read(FULL[form]), about, name, key) == expected


@pytest.mark.parametrize("form", RENDERERS)
def test_where_a_fact_comes_from_is_read_where_soup_says_so(form: str) -> None:
    origins = {(fact.about, fact.name, fact.key): fact.origin for fact in read(FULL[form]).facts}
    assert origins["model", "hash", "sha256"] == "observed"
    assert origins["model", "licence", None] == "declared"
    assert origins["model", "hyperparameter", "training.lr"] == "observed"
    assert origins["model", "hyperparameter", "learning_rate"] == "declared"
    assert origins["model", "metric", "loss (held-out)"] == "observed"
    assert origins["model", "metric", "perplexity (held-out entries)"] == "declared"
    assert origins["model", "energy", "fine-tuning"] == "observed"
    assert origins["base", "version", None] == "observed"


@pytest.mark.parametrize("form", RENDERERS)
def test_a_declared_digest_is_never_read_as_observed(form: str) -> None:
    document = read(RENDERERS[form](SAMPLES["declared"]))
    assert {fact.origin for fact in document.facts if fact.name == "hash"} == {"declared"}


@pytest.mark.parametrize("form", RENDERERS)
def test_each_fact_leads_to_a_place_in_the_document(form: str) -> None:
    document = read(FULL[form])
    assert document.facts
    for fact in document.facts:
        assert at(document.content, fact.where) is not None


@pytest.mark.parametrize("form", RENDERERS)
@settings(deadline=None, max_examples=8)
@given(any_facts)
def test_whatever_soup_emits_it_can_read(form: str, said: BomFacts) -> None:
    document = read(RENDERERS[form](said))
    assert len(document.about("model")) == 1
    digests = {fact.value for fact in document.facts if fact.name == "hash"}
    assert {artifact.digest.sha256 for artifact in said.artifacts if artifact.digest} <= digests


# Documents of other tools.


def test_the_model_is_found_where_the_document_is_about_an_application() -> None:
    document = read(
        cdx(
            metadata={"component": {"type": "application", "name": "app"}},
            components=[
                {"type": "machine-learning-model", "name": "base", "group": "org", "version": "1"},
                {
                    "type": "machine-learning-model",
                    "name": "tuned",
                    "pedigree": {
                        "ancestors": [
                            {"type": "machine-learning-model", "name": "base", "group": "org", "version": "1"}
                        ]
                    },
                },
            ],
        )
    )
    assert (document.value("model", "name"), document.value("base", "name")) == ("tuned", "org/base")
    assert document.about("package") == ["package/app"]


def test_a_model_that_is_listed_twice_is_one_thing() -> None:
    model = {"type": "machine-learning-model", "name": "m", "version": "1"}
    document = read(
        cdx(
            metadata={"component": {**model, "bom-ref": "a"}}, components=[{**model, "bom-ref": "b", "purl": "pkg:x/m"}]
        )
    )
    assert document.about("other-model") == []
    assert document.value("model", "purl") == "pkg:x/m"


def test_inline_data_sets_and_tools_of_older_versions_are_read() -> None:
    card = {
        "modelParameters": {
            "datasets": [{"type": "dataset", "name": "d", "classification": "public"}, {"ref": "nowhere"}]
        }
    }
    document = read(
        cdx(
            specVersion="1.5",
            metadata={
                "tools": [{"vendor": "v", "name": "t", "version": "2"}],
                "component": {"type": "machine-learning-model", "name": "m", "modelCard": card},
            },
        )
    )
    assert values(document, "data/d", "classification") == ["public"]
    assert document.value("document", "tool") == "t 2"


def test_two_things_of_one_name_stay_two() -> None:
    document = read(cdx(components=[{"type": "library", "name": "x", "version": each} for each in ("1", "2")]))
    assert document.about("package") == ["package/x", "package/x#2"]
    names = ("x", "x#2", "x", "x")
    assert len(read(cdx(components=[{"type": "library", "name": name} for name in names])).about("package")) == len(
        names
    )


def test_a_package_document_of_spdx_2_is_read() -> None:
    package = {
        "downloadLocation": "NOASSERTION",
        "licenseDeclared": "LicenseRef-1",
        "supplier": "Organization: Ex Ltd (a@ex.example)",
    }
    document = read(
        spdx(
            creationInfo={"created": "2026-03-01T12:00:00Z", "creators": ["Tool: syft-1.2.3", "Person: Ann"]},
            documentDescribes=["SPDXRef-a"],
            packages=[{"SPDXID": "SPDXRef-b", "name": "b"}, {"SPDXID": "SPDXRef-a", "name": "a", **package}],
            files=[
                {
                    "SPDXID": "SPDXRef-f",
                    "fileName": "./x.py",
                    "checksums": [{"algorithm": "SHA1", "checksumValue": "AB"}],
                }
            ],
            hasExtractedLicensingInfos=[{"licenseId": "LicenseRef-1", "name": "Own licence"}],
            relationships=[
                {"spdxElementId": "SPDXRef-b", "relationshipType": "DEPENDENCY_OF", "relatedSpdxElement": "SPDXRef-a"},
                {"spdxElementId": "SPDXRef-f", "relationshipType": "CONTAINED_BY", "relatedSpdxElement": "SPDXRef-a"},
            ],
        )
    )
    assert values(document, "model", "name") == ["a"]
    assert values(document, "model", "supplier") == ["Ex Ltd"]
    assert values(document, "model", "licence") == ["Own licence"]
    assert values(document, "model", "depends_on") == ["package/b"]
    assert values(document, "file/model/x.py", "hash", "sha1") == ["ab"]
    assert values(document, "document", "tool") == ["syft 1.2.3"]
    assert document.blanks == {("model", "location")}


def test_a_graph_of_spdx_3_is_read_by_reference_and_inline() -> None:
    document = read(
        graph(
            {
                "type": "ai_AIPackage",
                "spdxId": "urn:m",
                "creationInfo": "_:c",
                "name": "m",
                "suppliedBy": {"type": "Organization", "name": "Inline Ltd"},
                "ai_energyConsumption": {
                    "type": "ai_EnergyConsumption",
                    "ai_trainingEnergyConsumption": [{"ai_energyQuantity": 7.2, "ai_energyUnit": "megajoule"}],
                },
            },
            {"type": "ai_AIPackage", "spdxId": "urn:b", "name": "b"},
            {"type": "dataset_DatasetPackage", "spdxId": "urn:d", "name": "d", "dataset_datasetType": ["noAssertion"]},
            {
                "type": "Relationship",
                "spdxId": "urn:r",
                "from": "urn:b",
                "to": ["urn:m"],
                "relationshipType": "ancestorOf",
            },
            {
                "type": "Relationship",
                "spdxId": "urn:s",
                "from": "urn:m",
                "to": ["urn:d"],
                "relationshipType": "testedOn",
            },
        )
    )
    assert values(document, "model", "supplier") == ["Inline Ltd"]
    assert values(document, "model", "energy", "training") == ["2"]
    assert values(document, "base", "name") == ["b"]
    assert values(document, "data/d", "role") == ["evaluation"]
    assert ("data", "data_type") in document.blanks


# What only says that nothing is known.


@pytest.mark.parametrize("word", ["unknown", "NOASSERTION", "noAssertion", "", " ", "N/A", "not specified", "TBD"])
def test_a_placeholder_is_no_fact(word: str) -> None:
    document = read(cdx(metadata={"component": {"type": "machine-learning-model", "name": "m", "description": word}}))
    assert values(document, "model", "description") == []
    assert ("model", "description") in document.blanks


@pytest.mark.parametrize("word", ["NONE", "none known", "0", "no", "nothing is known of noise"])
def test_a_statement_is_no_placeholder(word: str) -> None:
    assert not is_unknown(word)


# One spelling.


@pytest.mark.parametrize(
    ("said", "spelled"),
    [
        ("1.250e1", "12.5"),
        (3, "3"),
        ("0.50", "0.5"),
        ("1E3", "1000"),
        ("x", None),
        ("NaN", None),
        ("1e999", None),
        (True, None),
    ],
)
def test_numbers_have_one_spelling(said: object, spelled: str | None) -> None:
    assert number(said) == spelled


def test_a_number_beyond_arithmetic_is_none() -> None:
    assert number("1e999999", 1_000_000) is None


@pytest.mark.parametrize(
    ("said", "spelled"),
    [
        ("2026-03-01T12:30:15.123+02:00", "2026-03-01T10:30:15Z"),
        ("2026-03-01", "2026-03-01"),
        ("2026-13-41T12:00:00Z", "2026-13-41T12:00:00Z"),
        ("0001-01-01T00:00:00+14:00", "0001-01-01T00:00:00+14:00"),
        ("last week", "last week"),
    ],
)
def test_times_have_one_spelling(said: str, spelled: str) -> None:
    assert time(said) == spelled


def test_midnight_is_a_day() -> None:
    assert (day("2026-03-01T00:00:00Z"), day("2026-03-01T00:00:01Z")) == ("2026-03-01", "2026-03-01T00:00:01Z")


@pytest.mark.parametrize("said", ["SHA-256", "SHA256", "sha256", "sha-256"])
def test_hash_algorithms_have_one_spelling(said: str) -> None:
    assert hash_key(said) == "sha256"
    assert hash_key("SHA3-256") == "sha3-256"


def test_every_name_of_a_fact_has_words_for_people() -> None:
    assert all(term.label and term.label == term.label.strip() for term in TERMS.values())


# Bytes that are no bill of materials.


@pytest.mark.parametrize(
    ("raw", "finding"),
    [
        (b"", "no JSON"),
        (b"\xff\xfe", "not UTF-8"),
        (b"[]", "no object"),
        (b"{}", "neither CycloneDX"),
        (b'{"bomFormat": "CycloneDX", "bomFormat": "CycloneDX"}', "'bomFormat' stands twice"),
        (cdx(metadata={"a": 1}).replace(b'"a": 1', b'"a": 1, "a": 2'), "'a' stands twice"),
        (cdx(version=1).replace(b": 1}", b": NaN}"), "NaN"),
        (cdx(version=1).replace(b": 1}", b": -Infinity}"), "Infinity"),
        (cdx(version=1).replace(b": 1}", b": 1e99999999999999999999}"), "exponent"),
        (cdx(version=1).replace(b": 1}", b": " + b"9" * 5000 + b"}"), "no JSON"),
        (cdx(x="\ud800"), "surrogate"),
        (cdx(**{"\udfff": 1}), "surrogate"),
        (cdx(specVersion="9.9"), "version '9.9'"),
        (cdx(specVersion=["1.6"]), "version ''"),
        (spdx(spdxVersion="SPDX-1.0"), "version '1.0'"),
        (b'{"@context": "https://spdx.org/rdf/3.0.1/spdx-context.jsonld"}', "version ''"),
        (b"[" * 200_000, "nested deeper"),
        (cdx(x=1).replace(b": 1}", b": " + b"[" * MAX_DEPTH + b"]" * MAX_DEPTH + b"}"), "nested deeper"),
        (b" " * (MAX_BYTES + 1), "more than the"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_trusted_is_refused_in_one_sentence(raw: bytes, finding: str) -> None:
    with pytest.raises(InvalidDocumentError) as refused:
        read(raw)
    assert finding in str(refused.value)
    assert len(str(refused.value)) < 600


def test_a_byte_order_mark_is_no_obstacle() -> None:
    assert read(b"\xef\xbb\xbf" + cdx()).title == "CycloneDX 1.6"


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8)
    | st.sampled_from(("machine-learning-model", "data", "SPDXRef-model", "model", "unknown", "DESCRIBES", "ni:///sha-256;" + "A" * 43)),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip
_KEYS = sorted(
    {key for raw in FULL.values() for key in json.loads(raw)}
    | {
        "metadata",
        "component",
        "components",
        "type",
        "name",
        "ref",
        "datasets",
        "data",
        "hashes",
        "properties",
        "value",
        "to",
        "from",
    }
)
_shaped = st.recursive(
    _json, lambda inner: st.dictionaries(st.sampled_from(_KEYS), inner, max_size=6) | st.lists(inner, max_size=3)
)


def read_or_refused(raw: bytes) -> Document | None:
    try:
        return read(raw)
    except InvalidDocumentError:
        return None


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    assert read_or_refused(raw) is None


@settings(deadline=None)
@given(st.sampled_from((cdx, spdx)), st.dictionaries(st.sampled_from(_KEYS), _shaped, max_size=6))
def test_any_json_under_the_right_name_is_read_or_refused(form: Callable[..., bytes], fields: Json) -> None:
    document = read_or_refused(form(**fields))
    assert document is None or all(isinstance(fact.value, str) and fact.value for fact in document.facts)


@settings(deadline=None)
@given(st.lists(_shaped, max_size=5))
def test_any_graph_is_read_or_refused(elements: list[Any]) -> None:
    read_or_refused(graph(*elements))


def paths(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(each for key, child in children for each in paths(child, (*path, key)))]


CONTENTS = {name: json.loads(raw) for name, raw in FULL.items()}
PATHS = {name: paths(content)[1:] for name, content in CONTENTS.items()}


@pytest.mark.parametrize("form", RENDERERS)
@settings(deadline=None, max_examples=60)
@given(st.data())
def test_a_real_document_with_anything_anywhere_is_read_or_refused(form: str, data: st.DataObject) -> None:
    content = copy.deepcopy(CONTENTS[form])
    for path in data.draw(st.lists(st.sampled_from(PATHS[form]), min_size=1, max_size=3)):
        holder = content
        for step in path[:-1]:
            holder = holder[step] if isinstance(holder, list | dict) and step in paths_of(holder) else None
        if isinstance(holder, list | dict) and path[-1] in paths_of(holder):
            holder[path[-1]] = data.draw(_json)
    document = read_or_refused(json.dumps(content).encode())
    assert document is None or all(fact.name in TERMS for fact in document.facts)


def paths_of(holder: Any) -> list[Any]:
    return list(holder) if isinstance(holder, dict) else list(range(len(holder)))


def test_a_hostile_name_stays_a_value() -> None:
    document = read(cyclonedx.render(SAMPLES["hostile"]))
    assert document.value("model", "name") == text(SAMPLES["hostile"].name)
    assert read(cyclonedx.render(facts(name="a/../b"))).value("model", "name") == "a/../b"

"""The model card of CycloneDX 1.6, which 1.7 left as it was: facts to JSON.

What is true:

* A number that is one in the standard (energy) is the float nearest to the decimal that was recorded, and the decimal itself
  stands beside it as a property; one that no float can hold is a property only.
* The card's `soup:origin:observed` and `soup:origin:declared` name the fields by origin.
* What a metric, a consideration or an energy figure has no field for is a property of the card or of the figure.
* Facts whose only home is SPDX's AI profile (domain, autonomy, risk ...) become properties of the document's metadata under the
  profile's own names, where OWASP's AIBOM field registry looks for them. Each is there only where it was recorded.
* `task` is what the model does. It is concluded from the class that the weights are loaded into, or from the adapter's own
  `task_type`; a way of training (`sft`) gives the approach, and no task.

It does not know the other components.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from ledger.events.energy import Energy
from ledger.events.facts import Metric
from projections.bom.cyclonedx_parts import Json, origin_properties
from projections.facts import BomFacts, Known, Origin

# How a method learns, where that is beyond dispute; another task leaves the approach out. Preference optimisation
# without a sampled policy is learning from labelled pairs.
_APPROACHES = {
    **dict.fromkeys(("sft", "dpo", "orpo", "kto", "ipo", "simpo", "reward"), "supervised"),
    **dict.fromkeys(("grpo", "ppo", "rloo"), "reinforcement-learning"),
    **dict.fromkeys(("pretrain", "cpt"), "self-supervised"),
}
# The names that the transformers library gives its pipelines, by the suffix of a class and by PEFT's task_type.
_TASKS_BY_CLASS = {
    "ForCausalLM": "text-generation",
    "ForMaskedLM": "fill-mask",
    "ForSequenceClassification": "text-classification",
    "ForTokenClassification": "token-classification",
    "ForQuestionAnswering": "question-answering",
}
_TASKS_BY_TYPE = {
    "CAUSAL_LM": "text-generation",
    "SEQ_2_SEQ_LM": "text2text-generation",
    "SEQ_CLS": "text-classification",
    "TOKEN_CLS": "token-classification",
    "QUESTION_ANS": "question-answering",
    "FEATURE_EXTRACTION": "feature-extraction",
}
_FROM_HEADERS = {  # fields of the GenAI AIBOM taxonomy, by the field of `artifact.described` that holds them
    "contextLength": "context_length",
    "tokenizerClass": "tokenizer",
    "vocabSize": "vocabulary",
}
_GRAMS_TO_TONNES = -6  # a power of ten
_ENERGY_FIELDS = (
    "kwh", "method", "source", "boundary", "lower_kwh", "upper_kwh", "pue", "co2_g", "not_known", "started", "finished",
)  # fmt: skip

Origins = dict[str, Origin]


def model_card(facts: BomFacts, datasets: list[str]) -> Json:
    """Return the card; `datasets` are the bom-refs of what the model was trained and tested on."""
    origins: Origins = {}
    found = {
        "modelParameters": _parameters(facts, datasets, origins),
        "quantitativeAnalysis": _quantities(facts, origins),
        "considerations": _considerations(facts, origins),
    }
    more = [*_card_properties(facts, origins)]
    properties = json_properties([*more, *origin_properties(origins.items())])
    return _present(found | {"properties": properties})


def card_metadata(facts: BomFacts, root: Json) -> list[Json]:
    """Return the document's properties that say of the model what CycloneDX has no field for (SPDX 3.0.1, AI profile).

    `root` is the model as the document has it: a few of the names repeat what stands there.
    """
    said, thought, training = facts.said.model, facts.said.considerations, facts.said.training
    task = _task(facts)
    declared: dict[str, Iterable[str | None]] = {
        "autonomyType": [said.autonomy],
        "domain": said.domains,
        "informationAboutApplication": [thought.application],
        "informationAboutTraining": [training.information],
        "intendedUse": [thought.intended_use],
        "modelDataPreprocessing": training.preprocessing,
        "safetyRiskAssessment": [thought.safety_risk],
        "standardCompliance": said.standards,
        "suppliedBy": [said.supplier.name if said.supplier else None],
        "typeOfModel": said.types,
        "useSensitivePersonalInformation": [thought.sensitive_personal_information],
    }
    found: list[tuple[str, str | None, Origin]] = [
        (name, value, "declared") for name, values in declared.items() for value in values
    ]
    found += [("primaryPurpose", task.value, task.origin)] if task else []
    sides: tuple[Origin, ...] = ("declared", "observed")
    found += [("hyperparameter", _hyperparameters(facts, origin), origin) for origin in sides]
    for known in facts.energy:
        found.append(("energyConsumption", f"{known.value.activity}: {known.value.kwh} kWh", known.origin))
        found += [("energyQuantity", known.value.kwh, known.origin), ("energyUnit", "kilowattHour", known.origin)]
    for metric in facts.metrics:
        found.append(("metric", _metric_text(metric.value, metric.value.value), metric.origin))
        if metric.value.threshold:
            text = _metric_text(metric.value, metric.value.threshold)
            found.append(("metricDecisionThreshold", text, metric.origin))
    said_so = [(name, value, origin) for name, value, origin in found if value]
    origins = origin_properties((name, origin) for name, _, origin in said_so)
    references = [("external_references", each["url"]) for each in root.get("externalReferences", ())]
    return json_properties([*((name, value) for name, value, _ in said_so), *references, *origins])


def json_properties(said: Iterable[tuple[str, str]]) -> list[Json]:
    """Return properties as JSON, in the order given."""
    return [{"name": name, "value": value} for name, value in said]


def _parameters(facts: BomFacts, datasets: list[str], origins: Origins) -> Json:
    said = facts.said.model
    known = {
        "approach": _approach(facts),
        "task": _task(facts),
        "architectureFamily": facts.architecture_family,
        "modelArchitecture": facts.architecture,
    }
    stated = {"inputs": said.inputs, "outputs": said.outputs}
    origins |= {name: value.origin for name, value in known.items() if value}
    origins |= dict.fromkeys((name for name, formats in stated.items() if formats), "declared")
    values: Json = {name: value.value for name, value in known.items() if value}
    if "approach" in values:
        values["approach"] = {"type": values["approach"]}
    formats = {name: [{"format": each} for each in few] for name, few in stated.items()}
    return _present(values | formats | {"datasets": [{"ref": ref} for ref in datasets]})


def _approach(facts: BomFacts) -> Known[str] | None:
    stated = facts.said.model.approach
    if stated and facts.stated:
        return Known(stated, "declared", facts.stated.position)
    approach = _APPROACHES.get(facts.task.lower()) if facts.task else None
    begun = facts.run.started if facts.run else None
    if approach and begun and begun.value.task == facts.task:
        return Known(approach, begun.origin, begun.position)
    return Known(approach, "declared", facts.position) if approach else None


def _task(facts: BomFacts) -> Known[str] | None:
    known = facts.described
    task = _TASKS_BY_TYPE.get(known.value.settings.get("task_type", "")) if known else None
    if known and task:
        return Known(task, known.origin, known.position)
    loaded = facts.architecture
    for suffix, name in _TASKS_BY_CLASS.items():
        if loaded and loaded.value.endswith(suffix):
            return Known(name, loaded.origin, loaded.position)
    return None


def _quantities(facts: BomFacts, origins: Origins) -> Json:
    metrics: list[Json] = []
    for known in facts.metrics:
        origins[f"performanceMetrics[{len(metrics)}]"] = known.origin
        metric = known.value
        interval = _present({"lowerBound": metric.lower, "upperBound": metric.upper})
        metrics.append(
            _present(
                {"type": metric.type, "value": metric.value, "slice": metric.slice, "confidenceInterval": interval}
            )
        )
    return _present({"performanceMetrics": metrics})


def _considerations(facts: BomFacts, origins: Origins) -> Json:
    said = facts.said.considerations
    declared = {
        "users": said.users,
        "useCases": [*([said.intended_use] if said.intended_use else []), *said.use_cases],
        "technicalLimitations": said.limitations,
        "performanceTradeoffs": said.tradeoffs,
        "ethicalConsiderations": [
            _present({"name": each.name, "mitigationStrategy": each.mitigation}) for each in said.ethical
        ],
        "fairnessAssessments": [
            _present(
                {
                    "groupAtRisk": each.group_at_risk,
                    "benefits": each.benefits,
                    "harms": each.harms,
                    "mitigationStrategy": each.mitigation,
                }
            )
            for each in said.fairness
        ],
    }
    origins |= dict.fromkeys((name for name, value in declared.items() if value), "declared")
    return _present(declared | {"environmentalConsiderations": _environmental(facts.energy)})


def _environmental(energies: Iterable[Known[Energy]]) -> Json:
    figures, unsayable = [], []
    for known in energies:
        figure = _figure(known)
        if figure:
            figures.append(figure)
        else:
            unsayable += json_properties(_energy_properties(known))
    return _present({"energyConsumptions": figures, "properties": unsayable})


def _figure(known: Known[Energy]) -> Json | None:
    energy = known.value
    kwh, tonnes = _number(energy.kwh), _number(energy.co2_g, _GRAMS_TO_TONNES)
    if kwh is None:
        return None
    measure = {"value": kwh, "unit": "kWh"}
    figure = {
        "activity": energy.activity,
        # The schema demands a provider for every figure; who is not known is called so.
        "energyProviders": [
            {
                "organization": {"name": energy.provider or "unknown"},
                "energySource": energy.energy_source or "unknown",
                "energyProvided": measure,
            }
        ],
        "activityEnergyCost": measure,
        "properties": json_properties(_energy_properties(known)),
    }
    return figure if tonnes is None else figure | {"co2CostEquivalent": {"value": tonnes, "unit": "tCO2eq"}}


def _energy_properties(known: Known[Energy]) -> Iterable[tuple[str, str]]:
    energy, intensity = known.value, known.value.intensity
    yield "soup:origin", known.origin
    yield "soup:ledger:position", str(known.position)
    for field in _ENERGY_FIELDS:
        if getattr(energy, field) is not None:
            yield f"soup:energy:{field.replace('_', '-')}", getattr(energy, field)
    for field in intensity.__struct_fields__ if intensity else ():
        if getattr(intensity, field) is not None:
            yield f"soup:energy:intensity:{field.replace('_', '-')}", getattr(intensity, field)


def _number(recorded: str | None, exponent: int = 0) -> float | None:
    """Return the float nearest to a recorded decimal times a power of ten; None where no float can hold it."""
    number = float(Decimal(recorded).scaleb(exponent)) if recorded else math.nan
    return number if math.isfinite(number) else None


def _card_properties(facts: BomFacts, origins: Origins) -> Iterable[tuple[str, str]]:
    said = facts.said
    settings = _hyperparameters(facts)
    if settings:
        origins |= {f"hyperparameter.{name}": known.origin for name, known in facts.hyperparameters}
        yield "genai:aibom:modelcard:hyperparameter", settings
    yield from _from_headers(facts, origins)
    declared = {
        "genai:aibom:modelcard:modelCardExplainability": said.considerations.explainability,
        "soup:considerations:out-of-scope": said.considerations.out_of_scope,
        "soup:security:control": said.security.controls,
        "soup:security:metric": [_metric_text(metric, metric.value) for metric in said.security.metrics],
    }
    origins |= dict.fromkeys((name for name, values in declared.items() if values), "declared")
    yield from ((name, value) for name, values in declared.items() for value in values)


def _hyperparameters(facts: BomFacts, origin: Origin | None = None) -> str | None:
    """Return the settings of one origin, or all, as a JSON object; None where there are none."""
    values = {name: known.value for name, known in facts.hyperparameters if origin in (None, known.origin)}
    return json.dumps(values, ensure_ascii=False) if values else None


def _from_headers(facts: BomFacts, origins: Origins) -> Iterable[tuple[str, str]]:
    """Give what the model's own headers say, or those of the base that an adapter inherits it from."""
    ranked = [
        each.described
        for role in ("model", "artifact", "base")
        for each in facts.artifacts
        if each.role == role and each.described
    ]
    for name, field in _FROM_HEADERS.items():
        known = next((each for each in ranked if getattr(each.value, field) is not None), None)
        if known:
            origins[f"genai:aibom:modelcard:{name}"] = known.origin
            yield f"genai:aibom:modelcard:{name}", str(getattr(known.value, field))
    own = facts.artifact("model")
    if own and own.described and own.described.value.quantization:  # the base's tells nothing of an adapter's
        origins["genai:aibom:modelcard:quantizationFileType"] = own.described.origin
        yield "genai:aibom:modelcard:quantizationFileType", own.described.value.quantization


def _metric_text(metric: Metric, value: str | None) -> str:
    return f"{metric.type}{f' ({metric.slice})' if metric.slice else ''}: {value}"


def _present(found: dict[str, Any]) -> Json:
    """Leave out what nobody recorded."""
    return {name: value for name, value in found.items() if value not in (None, "", [], {})}

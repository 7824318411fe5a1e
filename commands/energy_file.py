"""The energy file: figures that an operator read from a meter, a bill or a report, in YAML or JSON.

What is true here:

- The arithmetic was checked, and nothing else: CO2 = energy x PUE x intensity within one per cent, energy within its own
  bounds, nothing negative, PUE at least 1. A figure of CO2 without the intensity it comes from is refused.
- Everything is decimal: no float is made, and a number that needed no conversion stays as it was written.
- Where CO2 is left out and the intensity is known, it is calculated; where neither is, the record says why it is not known.

Not known here: whether any of it is true, and what a run measured.
"""

from __future__ import annotations

import decimal
import hashlib
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import msgspec

from commands import shape
from commands.cleaning import Cleaner
from commands.facts_file import misfit, read
from commands.plain import Node, Row
from ledger.events.base import Name, Text
from ledger.events.energy import Activity, Energy, EnergyDeclared, EnergySource, Intensity
from ledger.events.facts import Date
from ledger.events.facts import Decimal as Number

SCHEMA = Path(__file__).with_name("schemas") / "energy.schema.json"
MAX_ENTRIES = 1000
MAX_NUMBER = Decimal(10) ** 15  # kilowatt-hours, and whatever else: the world uses some 3e13 of electricity in a year
TOLERANCE = Decimal("0.01")

_KWH = {"kWh": Decimal(1), "Wh": Decimal("1e-3"), "MWh": Decimal(1000)}
_JOULES_A_KWH = {"J": Decimal(3_600_000), "MJ": Decimal("3.6")}  # divided by, not multiplied with: 1/3.6 does not end
_GRAMS = {"gCO2eq": Decimal(1), "kgCO2eq": Decimal(1000), "tCO2eq": Decimal(1_000_000)}
_CONTEXT = decimal.Context(prec=60, Emax=9999, Emin=-9999)
_RESULT = decimal.Context(prec=18)  # digits of a converted or calculated figure
_NOT_KNOWN = "the carbon intensity of the electricity is not stated"


class Co2(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An amount of CO2 equivalent."""

    value: Number
    unit: Literal["gCO2eq", "kgCO2eq", "tCO2eq"]


class EnergyStated(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One activity's energy: `kwh`, or `value` with its `unit`, at the meter; `pue` is the factor the building adds."""

    activity: Activity
    method: Name
    source: Name
    kwh: Number | None = None
    value: Number | None = None
    unit: Literal["kWh", "Wh", "MWh", "J", "MJ"] | None = None
    boundary: Text | None = None
    lower_kwh: Number | None = None
    upper_kwh: Number | None = None
    pue: Number | None = None
    intensity: Intensity | None = None
    co2: Co2 | None = None
    not_known: Text | None = None
    provider: Name | None = None
    energy_source: EnergySource | None = None
    started: Date | None = None
    finished: Date | None = None


_HEAD = {
    "$id": "urn:soup-ledger:energy:1",
    "title": "Energy of a model",
    "description": (
        "One activity, or a list of them: energy as kwh, or as value and unit; CO2 equivalent is optional, and must equal "
        "energy x PUE x intensity within one per cent. Numbers may be written as numbers or as text."
    ),
    "anyOf": [
        {"$ref": "#/$defs/EnergyStated"},
        {"type": "array", "items": {"$ref": "#/$defs/EnergyStated"}, "minItems": 1, "maxItems": MAX_ENTRIES},
    ],
}
_STATED: dict[str, Any] = {"not": {"type": "null"}}
_WITH_UNIT = {"required": ["value", "unit"], "properties": {"value": _STATED, "unit": _STATED}}
_EXTRA = {
    "oneOf": [
        {"required": ["kwh"], "properties": {"kwh": _STATED, "value": {"type": "null"}, "unit": {"type": "null"}}},
        {**_WITH_UNIT, "properties": {**_WITH_UNIT["properties"], "kwh": {"type": "null"}}},  # type: ignore[dict-item]
    ],
}


def load(path: Path) -> EnergyDeclared:
    """Read an energy file of at most a megabyte. Raises InputError that names file, line and key."""
    raw, tree = read(path)
    cleaner = Cleaner()
    try:
        energy = [_entry(node, place, cleaner) for place, node in _entries(tree)]
    except shape.MisfitError as error:
        raise misfit(path, error) from None
    return EnergyDeclared(sha256=hashlib.sha256(raw).hexdigest(), energy=energy)


def schema() -> bytes:
    """Give the JSON Schema (2020-12) of the energy file."""
    return shape.schema(EnergyStated, _HEAD, _EXTRA)


def _entries(tree: Node) -> list[tuple[_Place, Node]]:
    if not isinstance(tree, Row):
        return [(_Place("", tree.line), tree)]
    if not 0 < len(tree.items) <= MAX_ENTRIES:
        raise shape.MisfitError(f"holds {len(tree.items)} entries", "", tree.line, f"state 1 to {MAX_ENTRIES}")
    return [(_Place(f"[{index}]", node.line), node) for index, node in enumerate(tree.items)]


def _entry(node: Node, place: _Place, cleaner: Cleaner) -> Energy:
    stated = shape.fit(node, EnergyStated, lambda text, _: cleaner.text(text.strip() or text), place.path)
    return _checked(stated, place)


class _Place(msgspec.Struct, frozen=True):
    """Which entry of the file is spoken of."""

    path: str
    line: int | None

    def wrong(self, key: str, problem: str, hint: str | None = None) -> shape.MisfitError:
        return shape.MisfitError(problem, f"{self.path}.{key}".lstrip("."), self.line, hint)

    def number(self, key: str, text: str, least: int = 0) -> Decimal:
        """Give a number that is not below `least`."""
        number = Decimal(text)
        if number < least or text.startswith("-"):
            raise self.wrong(key, f"is {text}, which cannot be: the least is {least}")
        if number > MAX_NUMBER:
            raise self.wrong(key, f"is {text}, which is more than the world uses in a year")
        return number


def _checked(stated: EnergyStated, place: _Place) -> Energy:
    """Give the record of one entry whose arithmetic holds. Raises MisfitError."""
    with decimal.localcontext(_CONTEXT):
        kwh, written = _kwh(stated, place)
        pue = place.number("pue", stated.pue, 1) if stated.pue is not None else None
        _demand_bounds(stated, kwh, place)
        co2 = _co2(stated, kwh, pue, place)
    return Energy(
        activity=stated.activity,
        kwh=written,
        method=stated.method,
        source=stated.source,
        boundary=stated.boundary,
        lower_kwh=stated.lower_kwh,
        upper_kwh=stated.upper_kwh,
        pue=stated.pue,
        intensity=stated.intensity,
        co2_g=co2,
        not_known=(stated.not_known or _NOT_KNOWN) if co2 is None else None,
        provider=stated.provider,
        energy_source=stated.energy_source,
        started=stated.started,
        finished=stated.finished,
    )


def _kwh(stated: EnergyStated, place: _Place) -> tuple[Decimal, str]:
    """Give the energy in kilowatt-hours, and as it will be written."""
    if stated.kwh is not None:
        if stated.value is not None or stated.unit is not None:
            raise place.wrong("kwh", "is given beside value and unit", "give one of the two")
        return place.number("kwh", stated.kwh), stated.kwh
    if stated.value is None or stated.unit is None:
        missing = "unit" if stated.value is not None else "value" if stated.unit is not None else "kwh"
        raise place.wrong(missing, "is missing", "give kwh, or value and unit (kWh, Wh, MWh, J, MJ)")
    number = place.number("value", stated.value)
    if stated.unit == "kWh":
        return number, stated.value
    kwh = number / _JOULES_A_KWH[stated.unit] if stated.unit in _JOULES_A_KWH else number * _KWH[stated.unit]
    return kwh, _written(kwh)


def _demand_bounds(stated: EnergyStated, kwh: Decimal, place: _Place) -> None:
    if stated.lower_kwh is not None and place.number("lower_kwh", stated.lower_kwh) > kwh:
        raise place.wrong("lower_kwh", f"is {stated.lower_kwh}, more than the energy itself ({_written(kwh)} kWh)")
    if stated.upper_kwh is not None and place.number("upper_kwh", stated.upper_kwh) < kwh:
        raise place.wrong("upper_kwh", f"is {stated.upper_kwh}, less than the energy itself ({_written(kwh)} kWh)")
    if (
        stated.started
        and stated.finished
        and stated.finished[: len(stated.started)] < stated.started[: len(stated.finished)]
    ):
        raise place.wrong("finished", f"is {stated.finished}, before it started ({stated.started})")


def _co2(stated: EnergyStated, kwh: Decimal, pue: Decimal | None, place: _Place) -> str | None:
    """Give grams of CO2 equivalent: as stated where that is right, else as calculated, else None."""
    if stated.intensity is None:
        if stated.co2 is not None:
            raise place.wrong(
                "co2", "cannot be checked without the intensity it comes from", "state intensity: g_per_kwh and source"
            )
        return None
    intensity = place.number("intensity.g_per_kwh", stated.intensity.g_per_kwh)
    expected = kwh * (pue or 1) * intensity
    if stated.co2 is None:
        return _written(expected)
    grams = place.number("co2.value", stated.co2.value) * _GRAMS[stated.co2.unit]
    if abs(grams - expected) > expected * TOLERANCE:
        factor = f" x PUE {stated.pue}" if pue else ""
        should = _written(expected / _GRAMS[stated.co2.unit])
        raise place.wrong(
            "co2",
            f"is {stated.co2.value} {stated.co2.unit}, but {_written(kwh)} kWh{factor} x {stated.intensity.g_per_kwh} g/kWh "
            f"is {should} {stated.co2.unit}",
            "correct the figure that is wrong, or leave co2 out to have it calculated",
        )
    return _written(grams)


def _written(number: Decimal) -> str:
    """Give a number as decimal text of at most 18 significant digits, in the form that the ledger takes."""
    short = _RESULT.plus(number)
    if not short:
        return "0"
    plain = f"{short.normalize(_RESULT):f}"
    return plain if len(plain) <= 30 else f"{short:E}"  # noqa: PLR2004 - digits that `Decimal` of the events allows

"""An operator's figures of energy are taken if their arithmetic holds, and refused with the figure that would."""

from __future__ import annotations

import hashlib
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import jsonschema_rs
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from commands import energy_file
from commands.errors import InputError
from ledger.canonical import encode
from ledger.events.energy import Energy, EnergyDeclared

VALIDATOR = jsonschema_rs.Draft202012Validator(json.loads(energy_file.schema()))
BARE = {"activity": "fine-tuning", "kwh": 12.5, "method": "meter reading", "source": "sub-meter 4"}
INTENSITY = {"g_per_kwh": 380, "source": "grid operator", "zone": "DE", "year": 2025}


def declared(tmp_path: Path, content: str) -> EnergyDeclared:
    path = tmp_path / "energy.yaml"
    path.write_text(content, encoding="utf-8")
    event = energy_file.load(path)
    assert event.sha256 == hashlib.sha256(content.encode()).hexdigest()
    assert msgspec.json.decode(encode(msgspec.to_builtins(event)), type=EnergyDeclared) == event
    return event


def load(tmp_path: Path, **said: object) -> Energy:
    (energy,) = declared(tmp_path, json.dumps(without_none(BARE | said))).energy
    return energy


def without_none(entry: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in entry.items() if value is not None}


def refused(tmp_path: Path, **said: object) -> str:
    with pytest.raises(InputError) as caught:
        load(tmp_path, **said)
    return caught.value.sentence.removeprefix(f"'{tmp_path / 'energy.yaml'}'").lstrip(":, ")


def test_the_published_schema_is_the_one_that_the_types_give() -> None:
    assert energy_file.SCHEMA.read_bytes() == energy_file.schema()
    jsonschema_rs.meta.validate(json.loads(energy_file.schema()))


def test_one_entry_and_a_list_of_entries_are_read(tmp_path: Path) -> None:
    entry = "activity: training\nkwh: 1.50\nmethod: meter\nsource: bill\nstarted: 2026-01-01\nfinished: 2026-01-02T10:00:00Z\n"
    (one,) = declared(tmp_path, entry).energy
    assert (one.kwh, one.finished) == ("1.50", "2026-01-02T10:00:00Z")
    assert one.not_known == "the carbon intensity of the electricity is not stated"
    two = declared(tmp_path, json.dumps([BARE, BARE | {"activity": "inference", "not_known": "green tariff"}])).energy
    assert [(each.activity, each.not_known) for each in two][1] == ("inference", "green tariff")


@pytest.mark.parametrize(
    ("value", "unit", "kwh"),
    [
        ("12.50", "kWh", "12.50"), ("500", "Wh", "0.5"), ("0.002", "MWh", "2"), ("3600000", "J", "1"), ("3.6", "MJ", "1"),
        ("1", "MJ", "0.277777777777777778"), ("1", "J", "0.000000277777777777777778"), ("0", "J", "0"), ("1e-30", "J", "2.77777777777777778E-37"),
    ],
)  # fmt: skip
def test_units_are_converted_in_decimal(tmp_path: Path, value: str, unit: str, kwh: str) -> None:
    assert load(tmp_path, kwh=None, value=value, unit=unit).kwh == kwh


def test_carbon_dioxide_is_calculated_where_the_intensity_is_known(tmp_path: Path) -> None:
    energy = load(tmp_path, pue="1.2", intensity=INTENSITY)
    assert energy.co2_g == "5700"
    assert energy.not_known is None
    assert energy.intensity is not None
    assert (energy.intensity.g_per_kwh, energy.intensity.year) == ("380", "2025")
    assert load(tmp_path, intensity=INTENSITY).co2_g == "4750"


@pytest.mark.parametrize(
    ("value", "unit", "grams"), [(5700, "gCO2eq", "5700"), ("5.65", "kgCO2eq", "5650"), ("0.005757", "tCO2eq", "5757")]
)
def test_carbon_dioxide_within_a_hundredth_is_kept_as_stated(
    tmp_path: Path, value: object, unit: str, grams: str
) -> None:
    assert load(tmp_path, pue=1.2, intensity=INTENSITY, co2={"value": value, "unit": unit}).co2_g == grams


def test_carbon_dioxide_that_does_not_follow_is_refused_with_the_figure_that_would(tmp_path: Path) -> None:
    sentence = refused(tmp_path, pue=1.2, intensity=INTENSITY, co2={"value": 4.75, "unit": "kgCO2eq"})
    assert sentence == "co2 is 4.75 kgCO2eq, but 12.5 kWh x PUE 1.2 x 380 g/kWh is 5.7 kgCO2eq"
    assert "is 0.00475 tCO2eq" in refused(tmp_path, intensity=INTENSITY, co2={"value": 4.75, "unit": "tCO2eq"})
    edge = {"value": "4797.500001", "unit": "gCO2eq"}
    assert "is 4750 gCO2eq" in refused(tmp_path, intensity=INTENSITY, co2=edge)
    assert load(tmp_path, intensity=INTENSITY, co2=edge | {"value": "4797.5"}).co2_g == "4797.5"
    nothing = INTENSITY | {"g_per_kwh": 0}
    assert "is 0 gCO2eq" in refused(tmp_path, intensity=nothing, co2={"value": "0.001", "unit": "gCO2eq"})


REFUSED: dict[str, tuple[dict[str, object], str]] = {
    "negative energy": ({"kwh": -1}, "kwh is -1, which cannot be: the least is 0"),
    "negative nothing": ({"kwh": "-0"}, "kwh is -0, which cannot be"),
    "energy without end": ({"kwh": float("inf")}, "kwh must be a number"),
    "no number": ({"kwh": float("nan")}, "kwh must be a number"),
    "more than there is": ({"kwh": "1e999"}, "kwh is 1e999, which is more than the world uses"),
    "a building that saves": ({"pue": 0.9}, "pue is 0.9, which cannot be: the least is 1"),
    "negative intensity": ({"intensity": INTENSITY | {"g_per_kwh": -3}}, "intensity.g_per_kwh is -3"),
    "an intensity of nobody": ({"intensity": {"g_per_kwh": 380}}, "intensity.source is missing"),
    "carbon dioxide from nowhere": ({"co2": {"value": 1, "unit": "gCO2eq"}}, "co2 cannot be checked without the intensity"),
    "carbon dioxide in pounds": ({"intensity": INTENSITY, "co2": {"value": 1, "unit": "lb"}}, "co2.unit must be one of: gCO2eq"),
    "two energies": ({"value": 1, "unit": "kWh"}, "kwh is given beside value and unit"),
    "no energy": ({"kwh": None}, "kwh is missing"),
    "no unit": ({"kwh": None, "value": 1}, "unit is missing"),
    "no value": ({"kwh": None, "unit": "J"}, "value is missing"),
    "a unit of nobody": ({"kwh": None, "value": 1, "unit": "KWH"}, "unit must be one of: J, MJ, MWh, Wh, kWh"),
    "no method": ({"method": None}, "method is missing"),
    "no source": ({"source": None}, "source is missing"),
    "an activity of nobody": ({"activity": "finetuning"}, "activity must be one of:"),
    "a lower bound above": ({"lower_kwh": 13}, "lower_kwh is 13, more than the energy itself (12.5 kWh)"),
    "an upper bound below": ({"upper_kwh": "12.49"}, "upper_kwh is 12.49, less than the energy itself"),
    "an end before the beginning": ({"started": "2026-01-02", "finished": "2026-01-01T10:00:00Z"}, "finished is 2026-01-01"),
    "a key of nobody": ({"intensty": {}}, "intensty is not a known key"),
}  # fmt: skip


@pytest.mark.parametrize(("said", "expected"), REFUSED.values(), ids=REFUSED.keys())
def test_figures_that_cannot_be_are_refused(tmp_path: Path, said: dict[str, object], expected: str) -> None:
    assert expected in refused(tmp_path, **said)


@pytest.mark.parametrize("content", ["", "[]", "- ", "12", "[[]]", json.dumps([BARE] * 1001)])
def test_what_is_no_entry_is_refused(tmp_path: Path, content: str) -> None:
    with pytest.raises(InputError):
        declared(tmp_path, content)


def test_the_entry_that_is_wrong_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"line 5: \[1\]\.pue is 0"):
        declared(
            tmp_path,
            "- {activity: other, kwh: 1, method: m, source: s}\n\n\n\n- {activity: other, kwh: 1, method: m, source: s, pue: 0}\n",
        )


def test_a_day_and_a_second_of_that_day_are_in_order(tmp_path: Path) -> None:
    assert load(tmp_path, started="2026-01-02T10:00:00Z", finished="2026-01-02").finished == "2026-01-02"


def test_texts_are_redacted(tmp_path: Path) -> None:
    assert load(tmp_path, source="a mail of eve@example.org").source == "a mail of [redacted:email]"


NUMBERS = st.decimals(min_value=0, max_value=10**6, allow_nan=False, allow_infinity=False, places=6)


@settings(max_examples=200, deadline=None)
@given(
    value=NUMBERS, unit=st.sampled_from(["kWh", "Wh", "MWh", "J", "MJ"]), intensity=NUMBERS,
    pue=st.none() | st.decimals(min_value=1, max_value=3, places=3),
)  # fmt: skip
def test_what_was_calculated_may_be_stated(
    tmp_path_factory: pytest.TempPathFactory, value: Decimal, unit: str, intensity: Decimal, pue: Decimal | None
) -> None:
    root = tmp_path_factory.getbasetemp()
    said = {"kwh": None, "value": f"{value:f}", "unit": unit, "pue": pue and f"{pue:f}"}
    said["intensity"] = INTENSITY | {"g_per_kwh": f"{intensity:f}"}  # type: ignore[assignment]  # a table among texts
    calculated = load(root, **said)
    assert calculated.co2_g is not None
    again = load(root, **said, co2={"value": calculated.co2_g, "unit": "gCO2eq"})
    assert again == calculated
    joules = Decimal(calculated.kwh) * Decimal(3_600_000)
    factor = {
        "kWh": Decimal(3_600_000),
        "Wh": Decimal(3600),
        "MWh": Decimal("3.6e9"),
        "J": Decimal(1),
        "MJ": Decimal(10**6),
    }[unit]
    assert abs(joules - value * factor) <= value * factor * Decimal("1e-16")


@settings(max_examples=200, deadline=None)
@given(
    st.fixed_dictionaries(
        {},
        optional={
            "activity": st.sampled_from(["training", "tuning", None]),
            "kwh": st.sampled_from([1, "2.5", None, [], True]),
            "value": st.sampled_from([1, "2.5", None]),
            "unit": st.sampled_from(["J", "kWh", "lb", None]),
            "method": st.sampled_from(["m", "", 1, None]),
            "source": st.sampled_from(["s"]),
            "intensity": st.sampled_from([INTENSITY, None, {"g_per_kwh": 1}]),
            "pue": st.sampled_from([1.5, "2", None, "x"]),
        },
    )
)
def test_the_reader_takes_what_the_schema_takes(
    tmp_path_factory: pytest.TempPathFactory, entry: dict[str, object]
) -> None:
    try:
        declared(tmp_path_factory.getbasetemp(), json.dumps(entry))
        accepted = True
    except InputError:
        accepted = False
    assert accepted == VALIDATOR.is_valid(entry) == VALIDATOR.is_valid([entry])

"""Energy that a run took, measured by soup or stated by an operator. Stream: `run/<id>`, or the command's own."""

from __future__ import annotations

from typing import ClassVar, Literal

import msgspec

from ledger.events.base import Event, Hex32, Name, Text
from ledger.events.facts import Date, Decimal

Activity = Literal[
    "design", "data-collection", "data-preparation", "training", "fine-tuning", "validation", "deployment", "inference", "other"
]  # fmt: skip
EnergySource = Literal[
    "coal", "oil", "natural-gas", "nuclear", "wind", "solar", "geothermal", "hydropower", "biofuel", "unknown", "other"
]


class Intensity(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Grams of CO2 equivalent that a kilowatt-hour costs, where and when, and who says so."""

    g_per_kwh: Decimal
    source: Name
    zone: Name | None = None
    year: Name | None = None
    read_at: Name | None = None
    basis: Literal["lifecycle", "direct"] | None = None


class Energy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One activity's energy. `kwh` is at the meter's boundary; `pue` what the building adds to it (a factor, 1 or more).

    `co2_g` is grams of CO2 equivalent = kwh * pue * intensity; None where the intensity is not known.
    """

    activity: Activity
    kwh: Decimal
    method: Name  # "nvml", "rapl", "estimate from CPU time", "meter reading" ...
    source: Name  # who measured: the instrument, or the document that says so
    boundary: Text | None = None
    lower_kwh: Decimal | None = None
    upper_kwh: Decimal | None = None
    pue: Decimal | None = None
    intensity: Intensity | None = None
    co2_g: Decimal | None = None
    not_known: Text | None = None  # why there is no co2_g
    provider: Name | None = None
    energy_source: EnergySource | None = None
    started: Date | None = None
    finished: Date | None = None


class EnergyDeclared(Event, frozen=True, kw_only=True):
    """An operator's figures, read from a file; soup has checked their arithmetic and nothing else."""

    TYPE: ClassVar[str] = "energy.declared/1"

    sha256: Hex32  # of the file
    energy: list[Energy]


class EnergyMeasured(Event, frozen=True, kw_only=True):
    """What soup measured or estimated over a run."""

    TYPE: ClassVar[str] = "energy.measured/1"

    run: Name
    energy: Energy

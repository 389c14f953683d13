"""The outcome of `simulate`: numbers under the names of the outside interface, and the result folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from protonqa.app.progress import Progress
from protonqa.device import Device
from protonqa.values import DepthProfile, Finding, Volume

if TYPE_CHECKING:
    from protonqa.analyses.montecarlo.beams import AimedBeam
    from protonqa.analyses.montecarlo.cross_sections import CrossSectionSpread
    from protonqa.analyses.montecarlo.outputs import DoseChoice
    from protonqa.app.sources import Anatomy
    from protonqa.montecarlo.memory import Memory
    from protonqa.montecarlo.result import MonteCarloResult

RESULT_FILE = "result.json"
_IMAGES = {"volume": "a volume", "ct": "a CT"}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Simulation:
    """What was simulated and what came out.

    Parameters
    ----------
    result : MonteCarloResult
        Volumes and curves per proton.
    profile : DepthProfile
        1 mm bins from depth 0.
    device : Device
        Where the protons were transported.
    source : str
        Name of the phantom, or what kind of image it was.
    depth_zero_mm : (x, y, z)
        LPS position of depth 0 on the beam axis.
    asked : int
        Protons asked for: more than simulated where the run stopped at a statistical error.
    resumed_from : int
        Of these, done before the run was taken up again; ``seconds`` are those of the rest.
    memory : Memory or None
        What the run needed at most.
    spread : CrossSectionSpread or None
        Yields under several sets of cross sections.
    findings : tuple of Finding
    artefacts : mapping of file name to content
        What was written.
    """

    result: MonteCarloResult
    profile: DepthProfile
    device: Device
    source: str
    depth_zero_mm: tuple[float, float, float]
    asked: int = 0
    resumed_from: int = 0
    memory: Memory | None = None
    spread: CrossSectionSpread | None = None
    findings: tuple[Finding, ...] = ()
    artefacts: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        result: MonteCarloResult,
        anatomy: Anatomy,
        aimed: AimedBeam,
        findings: tuple[Finding, ...],
        device: Device,
        *,
        asked: int,
        resumed_from: int = 0,
        memory: Memory | None = None,
        spread: CrossSectionSpread | None = None,
    ) -> Simulation:
        """The outcome of one run of the Monte Carlo."""
        from protonqa.analyses.montecarlo.outputs import depth_profile
        from protonqa.analyses.montecarlo.summary import no_range_finding

        found = [*findings, *result.findings]
        if result.range_mm() is None:
            found.append(no_range_finding())
        x, y, z = (float(v) for v in aimed.depth_zero_mm)
        return cls(
            result=result,
            profile=depth_profile(result),
            device=device,
            source=anatomy.name or _IMAGES.get(anatomy.kind, anatomy.kind),
            depth_zero_mm=(x, y, z),
            asked=asked,
            resumed_from=resumed_from,
            memory=memory,
            spread=spread,
            findings=tuple(dict.fromkeys(found)),
        )

    @property
    def protons(self) -> int:
        """Simulated protons."""
        return self.result.protons

    @property
    def seconds(self) -> float:
        """Transport alone, without compilation, reading and writing."""
        return self.result.seconds

    @property
    def r80_mm(self) -> float | None:
        """Distal 80 % range of the laterally integrated dose to water; None where there is none."""
        return self.result.range_mm(0.8)

    @property
    def r90_mm(self) -> float | None:
        """Distal 90 % range."""
        return self.result.range_mm(0.9)

    @property
    def energy_balance(self) -> Mapping[str, float]:
        """Shares of the incident energy; they sum to 1 within the noise of the neutrals."""
        return self.result.energy_balance

    @property
    def dose(self) -> Volume:
        """Dose to water, Gy per proton."""
        return self.result.dose_volume()

    def nuclide(self, key: str) -> Volume:
        """Nuclei of one nuclide (``c11``, ``o15``, ...) per voxel and proton."""
        return self.result.nuclide_volume(key)

    def to_plain(self) -> dict[str, Any]:
        """The JSON object of ``simulate``."""
        from protonqa.analyses.montecarlo.outputs import facts
        from protonqa.analyses.result_json import finding_to_plain

        return {
            **facts(self.result, resumed_from=self.resumed_from),
            "protons_asked": self.asked,
            "resumed_from": self.resumed_from,
            "memory_needed_bytes": None if self.memory is None else self.memory.need_bytes,
            "cross_section_spread": None if self.spread is None else self.spread.to_plain(),
            "device": self.device.kind,
            "device_label": self.device.label,
            "device_note": self.device.note,
            "source": self.source,
            "depth_zero_mm": list(self.depth_zero_mm),
            "artefacts": sorted(self.artefacts),
            "findings": [finding_to_plain(one) for one in self.findings],
        }

    def summary(self) -> str:
        """Some lines for a terminal."""
        rate = (self.protons - self.resumed_from) / self.seconds if self.seconds > 0 else 0.0
        reached = "no R80" if self.r80_mm is None else f"R80 {self.r80_mm:.2f} mm"
        if self.r90_mm is not None:
            reached += f", R90 {self.r90_mm:.2f} mm"
        lines = [f"{self.source}: {reached}; {self.protons} protons in {self.seconds:.1f} s ({rate:.0f} per second)"]
        shares = ", ".join(f"{name} {100 * share:.2f} %" for name, share in self.energy_balance.items())
        lines.append(f"  energy: {shares}")
        if self.result.high_dose_error_percent is not None:
            lines.append(f"  error of the dose above half of its highest: {self.result.high_dose_error_percent:.2f} %")
        lines += [f"  {one.severity.value}: {one.text}" for one in self.findings]
        return "\n".join(lines)


def publish(
    simulation: Simulation,
    out: Path,
    *,
    settings: Mapping[str, Any],
    volumes: bool,
    dose: DoseChoice = "water",
    progress: Progress | None = None,
) -> Simulation:
    """Write profile, volumes and ``result.json`` into `out`, all or nothing; the outcome then names its files.

    Parameters
    ----------
    settings : mapping
        Parameters of the run, for the record.

    Raises
    ------
    StoreError
        The folder cannot be written.
    """
    from protonqa.analyses.montecarlo.outputs import write_outputs
    from protonqa.analyses.run_folder import staged_folder

    with staged_folder(out) as folder:
        artefacts = write_outputs(simulation.result, folder, volumes=volumes, dose=dose, progress=progress)
        artefacts[RESULT_FILE] = "what was simulated, and the numbers"
        simulation = replace(simulation, artefacts=artefacts)
        _write_result(simulation, settings, folder)
    return simulation


def _write_result(simulation: Simulation, settings: Mapping[str, Any], folder: Path) -> None:
    from protonqa.analyses.result_json import to_plain_ordered
    from protonqa.analyses.runner import versions
    from protonqa.files.atomic import write_text_atomic
    from protonqa.tables import TABLES_VERSION

    plain = {**simulation.to_plain(), "parameters": settings, "tables": TABLES_VERSION, "versions": versions()}
    text = json.dumps(to_plain_ordered(plain, "the simulation"), allow_nan=False, indent=1)
    write_text_atomic(folder / RESULT_FILE, text + "\n", label="simulation result")

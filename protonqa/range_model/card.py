"""The card that stands beside the weights: what the model is, what it was made from, what it reached, where it ends."""

from __future__ import annotations

from typing import Any

import jinja2
from jinja2.sandbox import SandboxedEnvironment
from pydantic import Field

from protonqa.range_model.a50line import A50Lines
from protonqa.range_model.config import ModelConfig, Settings, canonical_hash
from protonqa.range_model.conformal import ConformalTable
from protonqa.range_model.domain import DomainLimits

CARD_VERSION = 1


class TensorEntry(Settings):
    """Type and shape of one tensor of the weights file."""

    dtype: str
    shape: tuple[int, ...]


class TrainingRecord(Settings):
    """What the weights were made from."""

    set_hash: str
    recipe: dict[str, Any] = Field(default_factory=dict)
    config: dict[str, Any]
    seed: int
    rays: dict[str, int]
    anatomies: dict[str, int]
    epochs: int
    complete: bool
    program: str = ""
    torch: str = ""


class MetricRow(Settings):
    """One scenario and method on test rays; the keys of the study tables."""

    scenario: str
    method: str
    subset: str = "all"
    n: int
    range_mean_mm: float
    range_mae_mm: float
    range_sd_mm: float
    range_median_mm: float
    range_p95_mm: float
    dose_mae: float | None = None
    dose_mre_percent: float | None = None
    #: The same without the distal fall-off.
    dose_mre_plateau_percent: float | None = None
    coverage: float | None = None
    interval_width_mm: float | None = None
    answered: float | None = None
    #: Share of rays flagged as range-mixed.
    flagged: float | None = None


class PatientDomain(Settings):
    """Whom a fine-tuned model is for: it answers on this CT alone.

    ``ct_identity`` is `patient_case.ct_identity`; ``twins`` are the spans that the days of the patient were drawn from,
    ``interval_rule`` how wide the intervals may at least be.
    """

    ct_identity: str
    beams: tuple[int, ...]
    started_from: str
    started_from_card: str
    twins: dict[str, Any]
    anatomies: dict[str, int]
    interval_rule: str
    #: What the margins of the model that it began with were multiplied by, below and above.
    interval_factors: tuple[float, float]


class ModelCard(Settings):
    """Everything that must agree with the weights before they are used."""

    card_version: int = CARD_VERSION
    name: str
    licence: str = "Apache-2.0"
    intended_use: str = "quality assurance research, not for treatment decisions"
    config: ModelConfig
    feature_schema: str
    domain: DomainLimits
    conformal: ConformalTable
    a50_lines: A50Lines
    training: TrainingRecord
    #: Probability of mixing from which a ray is flagged; None where the model has no head for it.
    mixing_threshold: float | None = None
    #: Slope of predicted against imposed shift of the delivered anatomy, by scenario.
    edge_following: dict[str, float] = Field(default_factory=dict)
    metrics: tuple[MetricRow, ...] = ()
    known_failures: tuple[str, ...] = ()
    #: None for a model of any patient.
    patient: PatientDomain | None = None
    weights_sha256: str
    weights_bytes: int = Field(ge=8)
    tensors: dict[str, TensorEntry]
    card_sha256: str = ""

    def own_hash(self) -> str:
        """Hash of everything but the hash."""
        return canonical_hash(self.model_dump(mode="json", exclude={"card_sha256"}))

    def sealed(self) -> ModelCard:
        """The same card with its hash filled in."""
        return self.model_copy(update={"card_sha256": self.own_hash()})


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{{ card.name }}</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1b2430 }
table { border-collapse: collapse; margin: .5rem 0 1.5rem } th, td { padding: .25rem .6rem; text-align: right }
th:first-child, td:first-child, td.t, th.t { text-align: left } tr:nth-child(even) { background: #f2f5f8 }
thead { border-bottom: 2px solid #5b6b7d } code { word-break: break-all }
</style></head><body>
<h1>{{ card.name }}</h1>
<p>Intended use: {{ card.intended_use }}. Licence: {{ card.licence }}.</p>
{% if card.patient %}<p><strong>Made for one patient.</strong> It answers on the planning CT
<code>{{ card.patient.ct_identity }}</code>, beams {{ card.patient.beams|join(", ") }}, and on no other.
It began with {{ card.patient.started_from }} (card <code>{{ card.patient.started_from_card }}</code>).
Intervals: {{ card.patient.interval_rule }} Factors {{ card.patient.interval_factors[0]|number }} below and
{{ card.patient.interval_factors[1]|number }} above.</p>
<table><tbody>{% for key, value in card.patient.twins.items() %}
<tr><td>{{ key }}</td><td class="t">{{ value }}</td></tr>
{% endfor %}</tbody></table>{% endif %}
<h2>What it reached on anatomies it never saw</h2>
<table><thead><tr><th>scenario</th><th class="t">rays</th><th class="t">method</th><th>n</th><th>mean, mm</th>
<th>MAE, mm</th><th>SD, mm</th><th>median, mm</th><th>P95, mm</th><th>dose MAE</th><th>MRE, %</th><th>coverage</th>
<th>width, mm</th><th>answered</th></tr></thead><tbody>
{% for r in card.metrics %}<tr><td>{{ r.scenario }}</td><td class="t">{{ r.subset }}</td>
<td class="t">{{ r.method }}</td>
<td>{{ r.n }}</td><td>{{ r.range_mean_mm|number }}</td><td>{{ r.range_mae_mm|number }}</td>
<td>{{ r.range_sd_mm|number }}</td><td>{{ r.range_median_mm|number }}</td><td>{{ r.range_p95_mm|number }}</td>
<td>{{ r.dose_mae|number(4) }}</td><td>{{ r.dose_mre_percent|number }}</td><td>{{ r.coverage|number(3) }}</td>
<td>{{ r.interval_width_mm|number }}</td><td>{{ r.answered|number(3) }}</td></tr>
{% endfor %}</tbody></table>
<h2>Domain</h2>
<table><tbody>{% for key, value in card.domain.model_dump().items() %}
<tr><td>{{ key }}</td>
<td class="t">{{ value|join(", ") if value is sequence and value is not string else value }}</td></tr>
{% endfor %}</tbody></table>
<h2>Intervals</h2>
<p>Split-conformal, {{ (100 * (1 - card.conformal.alpha))|number(1) }} %, grouped by
{{ card.conformal.axes|map(attribute="name")|join(", ") or "nothing" }};
{{ card.conformal.groups|length }} groups, {{ card.conformal.groups["all"].n }} calibration rays.</p>
<h2>A50 lines</h2>
<table><thead><tr><th>time line</th><th>n</th><th>a, mm</th><th>b</th><th>c (RSP), mm</th></tr></thead><tbody>
{% for key, line in card.a50_lines.lines.items() %}<tr><td>{{ key }}</td><td>{{ line.n }}</td>
<td>{{ line.intercept_mm|number }}</td><td>{{ line.slope|number(4) }}</td><td>{{ line.rsp|number }}</td></tr>
{% endfor %}</tbody></table>
<h2>Known failures</h2>
<ul>{% for text in card.known_failures %}<li>{{ text }}</li>{% else %}<li>none recorded</li>{% endfor %}</ul>
<h2>Made from</h2>
<table><tbody>
<tr><td>training set</td><td class="t"><code>{{ card.training.set_hash }}</code></td></tr>
<tr><td>rays</td><td class="t">{% for k, v in card.training.rays.items() %}{{ k }} {{ v }} {% endfor %}</td></tr>
<tr><td>anatomies</td>
<td class="t">{% for k, v in card.training.anatomies.items() %}{{ k }} {{ v }} {% endfor %}</td></tr>
<tr><td>seed, epochs</td><td class="t">{{ card.training.seed }}, {{ card.training.epochs }}
{{ "" if card.training.complete else "(stopped before the end)" }}</td></tr>
<tr><td>inputs</td><td class="t">{{ card.config.features.channels|join(", ") }}</td></tr>
<tr><td>feature schema</td><td class="t"><code>{{ card.feature_schema }}</code></td></tr>
<tr><td>weights</td><td class="t"><code>{{ card.weights_sha256 }}</code></td></tr>
</tbody></table>
</body></html>
"""


def card_html(card: ModelCard) -> str:
    """The card as one page of HTML, everything escaped."""
    environment = SandboxedEnvironment(autoescape=True, undefined=jinja2.StrictUndefined)
    environment.filters["number"] = _number
    return environment.from_string(_PAGE).render(card=card)


def _number(value: float | None, digits: int = 2) -> str:
    return "–" if value is None else f"{value:.{digits}f}"

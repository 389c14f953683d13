"""The report as one HTML file: same content as the PDF, no script, nothing loaded from elsewhere.

The template is protonqa's own; texts of a case are values in it, escaped by jinja2, never templates themselves.
"""

from __future__ import annotations

import base64
from functools import cache
from importlib.resources import files

from jinja2 import StrictUndefined, Template
from jinja2.sandbox import ImmutableSandboxedEnvironment

from protonqa.report import style
from protonqa.report.document import Block, FigureBlock, ReportDocument
from protonqa.report.figures import figure_svg


def html_text(document: ReportDocument) -> str:
    """The document as self-contained HTML."""
    return _template().render(
        document=document,
        style=style,
        state_colour={state.value: colour for state, colour in style.STATE_COLOUR.items()},
        state_sign={state.value: sign for state, sign in style.STATE_SIGN.items()},
        severity_colour={severity.value: colour for severity, colour in style.SEVERITY_COLOUR.items()},
    )


@cache
def _template() -> Template:
    environment = ImmutableSandboxedEnvironment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    environment.filters["kind"] = _kind
    environment.filters["svg_base64"] = _svg_base64
    return environment.from_string(files("protonqa.report").joinpath("report.html.j2").read_text(encoding="utf-8"))


def _kind(block: Block) -> str:
    return type(block).__name__


def _svg_base64(block: FigureBlock) -> str:
    width_mm, height_mm = style.FIGURE_MM[block.size]
    svg = figure_svg(block.figure, width_mm=width_mm, height_mm=height_mm, action_level=block.action_level)
    # As an image, not inline: a viewer runs no script inside it.
    return base64.b64encode(svg).decode("ascii")

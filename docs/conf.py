"""Sphinx configuration: MyST pages and the API from docstrings."""

from __future__ import annotations

from protonqa import __version__

project = "protonqa"
author = "the protonqa authors"
project_copyright = "the protonqa authors, Apache-2.0"
release = version = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.mathjax"]
myst_enable_extensions = ["dollarmath", "amsmath", "deflist"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]
suppress_warnings = ["epub.unknown_project_files"]

autodoc_typehints = "none"
autodoc_member_order = "bysource"
napoleon_google_docstring = False
napoleon_use_rtype = False

html_theme = "alabaster"
html_theme_options = {
    "description": "Proton range verification from PET. Quality assurance research, not for treatment decisions.",
    "page_width": "1100px",
}
html_show_sourcelink = False

"""A result as text, JSON, SARIF, HTML or annotations of GitHub: one file and one entry in ``FORMATS`` each."""

from __future__ import annotations

from collections.abc import Callable

import prefdata.validation.report.github as github
import prefdata.validation.report.html as html
import prefdata.validation.report.json as json
import prefdata.validation.report.sarif as sarif
import prefdata.validation.report.text as text
from prefdata.validation.result import ValidationResult

FORMATS: dict[str, Callable[[ValidationResult], str]] = {
    "text": text.render,
    "json": json.render,
    "github": github.render,
    "sarif": sarif.render,
    "html": html.render,
}

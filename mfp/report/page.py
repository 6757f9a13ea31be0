"""Pages: templates filled in, self-contained, with everything that comes from outside escaped.

Jinja escapes every value that is no Markup, and Markup is made by `charts.py` alone. A page also
forbids itself to run or to load anything (its Content-Security-Policy), should that ever fail.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

import mfp
from mfp.report.language import ENGLISH, Language


def render(template: str, language: Language = ENGLISH, **values: Any) -> str:
    """The page of a template, as text that UTF-8 can encode; its own words in the language."""
    text = (
        _environment()
        .get_template(template)
        .render(version=mfp.__version__, language=language, **values)
    )
    # Half a surrogate pair, which JSON can carry and UTF-8 cannot.
    return text.encode("utf-8", "replace").decode("utf-8")


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("mfp.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["dollars"] = ENGLISH.dollars
    environment.filters["words"] = lambda name: name.replace("_", " ")
    return environment

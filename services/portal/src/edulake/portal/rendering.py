"""From a template to an answer: one environment, strict, escaping, with the portal's headers."""

from functools import cache
from typing import Any
from urllib.parse import urlencode

from edulake.portal import protection, statics, words
from edulake.portal.clients.reply import service_title
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined

#: No inline script or style, nothing from elsewhere, nobody frames us (portal.md §1).
CSP = (
    "default-src 'self'; script-src 'self'; style-src 'self'; object-src 'none'; "
    "frame-ancestors 'none'; base-uri 'none'"
)
HEADERS = {
    "Content-Security-Policy": CSP,
    "Cache-Control": "no-store",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


@cache
def environment() -> Environment:
    """The templates; an unknown variable is an error, every value is escaped."""
    made = Environment(
        loader=PackageLoader("edulake.portal"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "number": words.number,
        "moment": words.moment,
        "day": words.day,
        "region": lambda code, names: names.region(code),
        "dataset_title": lambda dataset, names: names.dataset(dataset),
        "score": words.score,
        "short": words.short,
        "seconds": words.seconds,
        "zip": zip,
        "due": words.due,
        "percent": words.percent,
        "signed": words.signed,
        "service": service_title,
        "state": words.state,
        "role": words.role,
        "person": words.person,
        "people": words.people,
        "facet_value": words.facet_value,
        "shown_as": protection.shown_as,
        "type_words": protection.type_words,
        "table_words": protection.table_words,
    }
    # Chinese stays readable and columns stay in their order.
    made.policies["json.dumps_kwargs"] = {"ensure_ascii": False, "sort_keys": False}
    made.globals |= {
        "static": statics.address,
        "with_query": with_query,
        "FACETS": words.FACETS,
        "STATES": words.STATES,
    }
    return made


def with_query(path: str, query: dict[str, Any], **changes: Any) -> str:
    """The address of this list with some of its choices changed; empty ones are left out."""
    kept = {name: value for name, value in {**query, **changes}.items() if value not in (None, "", False)}
    return f"{path}?{urlencode(kept)}" if kept else path


def render(template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
    """A page; `values` are what the template names."""
    text = environment().get_template(template).render(**values)
    return HTMLResponse(text, status_code=status, headers=HEADERS)

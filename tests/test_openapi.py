"""Every answer of every service is what its own OpenAPI document promises, for fitting and for unfitting input.

Schemathesis makes the requests, the same ones in every run; each service runs behind a real server with
real stores. A request carries a signed context with every role, so that it reaches the code behind the policy.
"""

import importlib
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
import requests
import schemathesis
import uvicorn
from edulake.common.identity import ROLES
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.strategies import SearchStrategy
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup, ServerError
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

SERVICES = {
    "auth": "AuthSettings",
    "catalog": "CatalogSettings",
    "ingest": "IngestSettings",
    "governance": "GovernanceSettings",
    "workorder": "WorkorderSettings",
    "portal": "PortalSettings",
    "share_gateway": "GatewaySettings",
}
# What needs somebody who does not run here, so that 503 is the promised answer: the identity provider, the issuer,
# ingest, which is asked whose sources are whose.
LOST = {
    ("auth", "GET /login"),
    ("share_gateway", "GET /readyz"),
    ("workorder", "GET /api/workorder/orders"),
}
KNOWN = {"dataset": "school_base", "api": "schools", "name": "schools"}  # ids that lead to something
EXAMPLES = 6  # per operation and kind of input
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


@contextmanager
def served(app: Any) -> Iterator[str]:
    """The application behind a real server in a thread; yields its address."""
    server = uvicorn.Server(
        uvicorn.Config(app, host="127.0.0.1", port=0, ws="none", log_config=None, access_log=False)
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive(), "the service did not start"
            thread.join(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(60)


def call(
    case: Any, *, address: str, session: requests.Session, headers: Mapping[str, str]
) -> requests.Response:
    """Send what was made, signed now; redirects are answers, not followed."""
    signed = dict(headers)
    answer: requests.Response = case.call(
        base_url=address, session=session, headers=signed, allow_redirects=False
    )
    return answer


def strategies(operation: Any) -> Iterator[SearchStrategy[Any]]:
    """Fitting input, unfitting input, and fitting input for things that exist."""
    yield operation.as_strategy(generation_mode=GenerationMode.POSITIVE)
    if any(operation.query) or any(operation.body):  # any text fits a path
        yield operation.as_strategy(generation_mode=GenerationMode.NEGATIVE)
    known = {name: value for name, value in KNOWN.items() if f"{{{name}}}" in operation.path}
    if known:
        yield operation.as_strategy(path_parameters=known)


def failures_of(
    name: str, operation: Any, inputs: SearchStrategy[Any], send: Callable[[Any], requests.Response]
) -> list[str]:
    """What an operation answered against its document, in words; empty when all is as promised."""
    found: dict[str, str] = {}

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=inputs)
    def every_answer_is_as_promised(case: Any) -> None:
        try:
            case.validate_response(send(case), checks=CHECKS)
        except FailureGroup as group:
            for failure in group.exceptions:
                if isinstance(failure, ServerError) and (name, operation.label) in LOST:
                    continue
                words = f"{operation.label} {failure}\n{case.as_curl_command()}"
                found.setdefault(failure.title, words)

    every_answer_is_as_promised()
    return list(found.values())


@pytest.mark.timeout(600)  # a busy machine needs longer than the usual limit
@pytest.mark.parametrize("name", SERVICES)
class TestService:
    def test_answers_as_its_document_promises(
        self, name: str, make_settings: Callable[..., Any], as_subject: Callable[..., Mapping[str, str]]
    ) -> None:
        kind = getattr(importlib.import_module(f"edulake.{name}.settings"), SERVICES[name])
        app = importlib.import_module(f"edulake.{name}.app").create_app(make_settings(kind))
        document = getattr(app, "service", app).openapi()
        schema = schemathesis.openapi.from_dict(document)
        audience = "gateway" if name == "share_gateway" else name
        failures: list[str] = []
        with served(app) as address, requests.Session() as session:
            for result in schema.get_all_operations():
                headers = as_subject(*ROLES, audience=audience)
                send = partial(call, address=address, session=session, headers=headers)
                for inputs in strategies(result.ok()):
                    failures += failures_of(name, result.ok(), inputs, send)
        assert not failures, "\n\n".join(failures)

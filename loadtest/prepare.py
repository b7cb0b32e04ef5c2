"""Makes the load's own grants: client `loadtest` applies, the owner approves with a quota no run reaches.

So that the pipeline is measured and not its limiter. Everything goes over the API, the way a large consumer gets it.
"""

import time

import httpx
from edulake.cli.calls import Gateway
from edulake.cli.state import SuiteState, running_suite
from edulake.common.settings import Settings

CLIENT = "loadtest"
#: The ceilings of the catalogue's defaults (`EDULAKE_RATE_MAX_PER_S`, `EDULAKE_DAY_QUOTA_MAX`).
RATE_PER_S, DAY_QUOTA = 20_000, 1_000_000_000
APIS = ("schools", "senior-quota")
KNOWN_WITHIN_S = 10


class NotReady(RuntimeError):
    """There is nothing to measure; the message says what to do first."""


def suite(settings: Settings) -> SuiteState:
    """The running suite of this home. Raises NotReady."""
    state = running_suite(settings)
    if state is None or not state.ready:
        raise NotReady("no suite runs on this home: `edulake up --detach && edulake demo` first")
    return state


def prepared(settings: Settings, state: SuiteState) -> Gateway:
    """The client with its grants in force. Raises NotReady when the data is missing."""
    caller, owner = (
        Gateway(settings, CLIENT, state.public_url),
        Gateway(settings, "demo-owner", state.public_url),
    )
    held = {
        grant["api"]
        for grant in caller.call("GET", "/api/catalog/grants?status=active")["items"]
        if grant["rate_per_s"] == RATE_PER_S
    }
    for api in APIS:
        if api not in held:
            _grant(caller, owner, api)
    for api in APIS:
        _await(caller, f"/share/v1/{api}?limit=1")
    return caller


def _grant(caller: Gateway, owner: Gateway, api: str) -> None:
    if caller.send("GET", f"/api/catalog/resources/api:{api}").status_code == 404:
        raise NotReady(f"{api} is not published: `edulake demo` first")
    wanted = {
        "resource_id": f"api:{api}",
        "client_id": CLIENT,
        "purpose": "压力测试：测量网关吞吐",
        "scenario": "压力测试程序持续调用",
        "days": 7,
        "promises": True,
    }
    entered = caller.call("POST", "/api/catalog/applications", json=wanted)
    decision = {"decision": "approve", "reason": "压力测试", "rate_per_s": RATE_PER_S, "day_quota": DAY_QUOTA}
    owner.call("POST", f"/api/catalog/applications/{entered['id']}/decisions", json=decision)


def _await(caller: Gateway, path: str) -> None:
    deadline = time.monotonic() + KNOWN_WITHIN_S
    while not _is_open(caller.send("GET", path)):
        if time.monotonic() > deadline:
            raise NotReady(f"{path} does not answer 200 under the load's grant")
        time.sleep(0.2)


def _is_open(answer: httpx.Response) -> bool:
    return answer.status_code == 200 and answer.headers.get("ratelimit-limit") == str(RATE_PER_S)

"""The panels in the order of what presses most; a person with several roles sees several."""

from edulake.portal.desk import Desk
from edulake.portal.panels.panel import Asked, Panel

#: Lines of a panel; the whole list is one click away.
LINES = 5
ORDERS = "/api/workorder/orders"
#: Who answers for its readiness. The portal itself plainly answers.
WATCHED = ("auth", "catalog", "ingest", "governance", "workorder", "gateway")


def _todo(desk: Desk) -> Asked:
    return {"todo": desk.get("catalog", "/api/catalog/applications", todo="true", limit=LINES)}


def _deliveries(desk: Desk) -> Asked:
    return {
        "batches": desk.get("ingest", "/api/ingest/batches", limit=LINES),
        "unconfirmed": desk.get("ingest", "/api/ingest/batches", status="unconfirmed", limit=LINES),
        "orders": desk.get("workorder", ORDERS, mine="true", unclosed="true", limit=LINES),
        "late": desk.get("workorder", ORDERS, mine="true", overdue="true", limit=LINES),
    }


def _held(desk: Desk) -> Asked:
    return {"held": desk.get("governance", "/api/governance/runs", state="held", limit=100)}


def _quality(desk: Desk) -> Asked:
    return {
        "quality": desk.get("governance", "/api/governance/quality"),
        "workorder": desk.get("workorder", "/api/workorder/summary"),
    }


def _newest(desk: Desk) -> Asked:
    path = "/api/catalog/resources"
    return {
        sort: desk.get("catalog", path, kind="api", sort=sort, limit=LINES) for sort in ("newest", "used")
    }


def _audit(desk: Desk) -> Asked:
    return {"calls": desk.get("gateway", "/api/gateway/summary")}


def _people(desk: Desk) -> Asked:
    return {"people": desk.get("auth", "/api/auth/people", status="pending", limit=LINES)}


def _health(desk: Desk) -> Asked:
    return {f"ready_{name}": desk.get(name, "/readyz") for name in WATCHED}


PANELS = (
    Panel("held", ("batch", "agree"), _held),
    Panel("todo", ("application", "decide"), _todo),
    Panel("deliveries", ("page.deliveries", "show"), _deliveries),
    Panel("quality", ("order", "assign"), _quality),
    Panel("newest", ("application", "make"), _newest),
    Panel("audit", ("page.calls", "show"), _audit),
    Panel("people", ("person", "admit"), _people),
    Panel("health", ("dead_letter", "read"), _health),
)

"""`edulake demo`: files are delivered, governed, published; an application is decided; an API answers.

Everything goes through the gateway with tokens, the way outside programs do it. A suite that runs on
this home already is used and left running; otherwise one is started and stopped again.
"""

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cached_property
from pathlib import Path
from typing import Any

import typer
import yaml
from edulake.cli.calls import CallFailed, Gateway, words_of
from edulake.cli.deliver import follow
from edulake.cli.peek import common_schools, some_student_key
from edulake.cli.report import Called, Delivered, Report, show_audit, show_calls, show_deliveries
from edulake.cli.state import SuiteState, running_suite
from edulake.cli.supervisor import Supervisor
from edulake.cli.synthetic import write_deliveries
from edulake.common.identity import ROLES
from edulake.common.settings import Settings
from rich.console import Console

GRANT_LIMIT_S = 60


class NoPlan(typer.BadParameter):
    """The folder names no deliveries."""


def run_demo(settings: Settings, data: Path | None, out: Console) -> Report:
    """Deliver, govern, publish, grant and call; `missed` of the report says what did not come out as it should.

    Raises NoPlan, and what starting a suite and calling it may raise.
    """
    plan_path = (data / "deliveries.yaml") if data else write_deliveries(settings.home / "demo")
    if not plan_path.exists():
        raise NoPlan(f"{plan_path} 不存在 / no deliveries.yaml in this folder")
    plan = yaml.safe_load(plan_path.read_text(encoding="utf-8"))
    with _suite(settings, out) as state, Demo(settings, state.public_url, out) as demo:
        return demo.run(plan, plan_path.parent)


def _suite(settings: Settings, out: Console) -> AbstractContextManager[SuiteState]:
    state = running_suite(settings)
    return nullcontext(state) if state and state.ready else _started(settings, out)


@contextmanager
def _started(settings: Settings, out: Console) -> Iterator[SuiteState]:
    supervisor = Supervisor(settings, lambda line: out.print(f"· {line}"))
    try:
        yield supervisor.start()
    finally:
        supervisor.stop()


class Demo:
    """One run against one gateway."""

    def __init__(self, settings: Settings, url: str, out: Console) -> None:
        self.out = out
        self.steward = Gateway(settings, "edulake-cli", url)
        self.app = Gateway(settings, "demo-app", url)
        self.owner = Gateway(settings, "demo-owner", url)
        self.security = Gateway(settings, "demo-security", url)
        self.auditor = Gateway(settings, "demo-audit", url)
        self.report = Report()

    def __enter__(self) -> "Demo":
        return self

    def __exit__(self, *_: object) -> None:
        for gateway in (self.steward, self.app, self.owner, self.security, self.auditor):
            gateway.close()

    @cached_property
    def datasets(self) -> frozenset[str]:
        """The datasets that have a contract here."""
        return frozenset(item["name"] for item in self.steward.call("GET", "/api/governance/datasets"))

    def run(self, plan: dict[str, Any], folder: Path) -> Report:
        """Deliver everything, then apply, approve, call and look at the audit."""
        for source in plan["sources"]:
            self._register(source, plan["deliveries"])
        for delivery in plan["deliveries"]:
            self.report.deliveries.append(self._deliver(delivery, folder))
        show_deliveries(self.report, self.out)
        self._show_common_schools(plan["deliveries"])
        self._call_before_grant()
        for api in self._granted_apis():
            self._call(api)
        show_calls(self.report, self.out)
        self._read_audit()
        show_audit(self.report, self.out)
        return self.report

    def _register(self, source: dict[str, Any], deliveries: list[dict[str, Any]]) -> None:
        own = [item for item in deliveries if item["source"] == source["id"]]
        datasets = sorted({item["dataset"] for item in own} & self.datasets)
        if not datasets:
            return
        facts = {
            "id": source["id"],
            "title": source["title"],
            "organisation": source["organisation"],
            "contact": "client:edulake-cli",
            "authority": source.get("authority", 10),
            "datasets": datasets,
            "mapping": {item["dataset"]: item["columns"] for item in own if "columns" in item},
        }
        answer = self.steward.send("POST", "/api/ingest/sources", json=facts)
        if answer.status_code == 409:
            answer = self.steward.send("PUT", f"/api/ingest/sources/{source['id']}", json=facts)
        if answer.status_code >= 400:
            raise CallFailed(answer)

    def _deliver(self, delivery: dict[str, Any], folder: Path) -> Delivered:
        began = time.monotonic()
        name, source, dataset = delivery["file"], delivery["source"], delivery["dataset"]
        # A plan may name a dataset that has no contract here yet: being refused in words is all that can become of it.
        expected = delivery.get("expect", "published" if dataset in self.datasets else "refused")
        self.out.print(f"→ [bold]{name}[/]  {source} → {dataset}")
        try:
            batch = self.steward.deliver(source, dataset, folder / name, str(delivery["period"]))
            batch = follow(self.steward, batch["batch_id"], self.out)
        except CallFailed as error:
            if error.response.status_code >= 500:
                raise
            return Delivered(name, source, dataset, "refused", refused=str(error), expected=expected)
        kept = {key: batch[key] for key in Delivered.__dataclass_fields__ if batch.get(key) is not None}
        kept |= {"file": name, "source": source, "dataset": dataset, "expected": expected}
        kept["seconds"] = round(time.monotonic() - began, 2)
        kept["refused"] = batch.get("reason_zh") or ""
        found = Delivered(**kept)
        found.rule_titles = self._rule_titles(batch)
        found.seconds_by_step |= self._publishing(batch)
        if found.rows_governed:
            found.rows_merged = found.rows_landed - found.rows_governed - found.rows_quarantined
        return found

    def _publishing(self, batch: dict[str, Any]) -> dict[str, float]:
        """How long publishing took, as long as the batch is the newest of its dataset."""
        for shown in self.steward.call("GET", "/api/gateway/publications"):
            job = shown["job"] or {}
            if job.get("batch_id") == batch["batch_id"]:
                return {"publish": round(sum(job["seconds_by_step"].values()), 4)}
        return {}

    def _rule_titles(self, batch: dict[str, Any]) -> dict[str, str]:
        """What the rules that held rows back are called; nothing where governance never saw the batch."""
        if not batch.get("quarantined_by_rule"):
            return {}
        rules = self.steward.call("GET", f"/api/governance/batches/{batch['batch_id']}/quality")["rules"]
        return {rule["rule_id"]: rule["title"] for rule in rules if rule["failed_rows"]}

    def _show_common_schools(self, deliveries: list[dict[str, Any]]) -> None:
        """How many schools two sources both know: what aligning and linking are for."""
        sources = [item["source"] for item in deliveries if item["dataset"] == "school_base"][:2]
        if len(sources) == 2:
            known = common_schools(self.steward.settings, sources[0], sources[1])
            self.report.schools_in_both_rosters = known
            self.out.print(f"[bold]{known}[/] 所学校同时见于 {sources[0]} 与 {sources[1]}")

    def _call_before_grant(self) -> None:
        answer = self.app.send("GET", "/share/v1/schools?limit=1")
        note = "还没有授权" if answer.status_code == 403 else "以前已授权"
        self._record("/share/v1/schools?limit=1", answer, note, is_granted=False)

    def _granted_apis(self) -> list[str]:
        """Apply for every API in the catalogue and have it decided by others."""
        found = self.app.call("GET", "/api/catalog/resources?kind=api&limit=50")["items"]
        held = {grant["api"] for grant in self.app.call("GET", "/api/catalog/grants?status=active")["items"]}
        for resource in found:
            if resource["name"] not in held:
                self._apply(resource)
        return [str(resource["name"]) for resource in found]

    def _apply(self, resource: dict[str, Any]) -> None:
        wanted = {
            "resource_id": resource["id"],
            "client_id": "demo-app",
            "purpose": "演示：接口调用全过程",
            "scenario": "演示程序在本机调用一次",
            "days": 7,
            "promises": True,
        }
        entered = self.app.call("POST", "/api/catalog/applications", json=wanted)
        deciders = {"owner": self.owner, "security_admin": self.security}
        for step in entered["steps"]:
            url = f"/api/catalog/applications/{entered['id']}/decisions"
            deciders[step].call("POST", url, json={"decision": "approve", "reason": "演示审批"})
        approvers = "、".join(f"{ROLES[step]}（{step}）" for step in entered["steps"])
        self.out.print(f"✓ {resource['title']}：申请 → {approvers}审批 → 授权")

    def _call(self, api: str) -> None:
        path = self._sample_path(api)
        if path is None:  # nobody's record is known: this run published none
            return
        deadline = time.monotonic() + GRANT_LIMIT_S
        answer = self.app.send("GET", path)
        while answer.status_code == 403 and time.monotonic() < deadline:
            time.sleep(0.2)  # the gateway follows a grant within seconds
            answer = self.app.send("GET", path)
        self._record(path, answer, "授权之后")
        if api == "schools" and answer.status_code == 200:
            codes = [row["school_code"] for row in answer.json()["data"] if row.get("school_code")]
            for code in codes[:1]:
                path = f"/share/v1/schools?code={code}"
                self._record(path, self.app.send("GET", path), "按学校代码")

    def _sample_path(self, api: str) -> str | None:
        if api != "student":
            return f"/share/v1/{api}?limit=2"
        key = self._some_student()
        return f"/share/v1/student?student_key={key}" if key else None

    def _some_student(self) -> str | None:
        """A key a caller would know from its own data: the suite itself tells one for the demo."""
        return some_student_key(self.steward.settings)

    def _record(self, request: str, answer: Any, note: str, *, is_granted: bool = True) -> None:
        body = answer.json() if answer.content else None
        data = body.get("data") if isinstance(body, dict) else None
        rows = len(data) if isinstance(data, list) else int(data is not None)
        trace = answer.headers.get("x-trace-id", "")
        kept = body if answer.status_code == 200 else words_of(answer)
        called = Called(request, answer.status_code, trace, rows, kept, note, is_granted)
        self.report.calls.append(called)

    def _read_audit(self) -> None:
        time.sleep(1.5)  # general calls are written to the chain once a second
        page = self.auditor.call("GET", "/api/gateway/audit?client=demo-app&limit=5")
        self.report.audit = page["items"]

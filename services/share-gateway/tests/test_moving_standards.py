"""The standards folder moves, file by file, and catalogue and gateway are started anew each time.

A copy of the repository's folder gets a dataset and APIs, a stricter mask, and loses an API again; real stores, the
real engine, and the two services as their processes run them.
"""

import asyncio
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from edulake.catalog.app import create_app as create_catalogue
from edulake.catalog.settings import CatalogSettings
from edulake.common.bus import announce
from edulake.common.clock import now
from edulake.common.events import PublishedDatasetUpdated
from edulake.common.settings import find_standards
from edulake.common.standards import Standards
from edulake.share_gateway.plane import open_engine
from edulake.share_gateway.settings import GatewaySettings

TRAINING = """
name: teacher_training
title: 教师培训经历
domain: teacher
theme: 教师发展
owner: {organisation: 市教育委员会信息中心, contact: "person:zhou-owner"}
summary: 教师参加的培训。
business_key: [teacher_key, course]
time: {kind: school_year, from: period}
region_from: district_code
update_cycle: 每年
retention_years: 10
share_type: 有条件共享
share_condition: 经批准
open_type: 非开放
freshness_days: 400
threshold: 0.5
fields:
  - {name: teacher_key, title: 教师主键, level: 2, required: true, protect: keep, filterable: true}
  - {name: teacher_name, title: 姓名, level: 3, identifies: person, protect: mask_name, aliases: [姓名]}
  - {name: identity_number, title: 身份证号, level: 4, identifies: person, protect: hide, aliases: [身份证号]}
  - {name: course, title: 课程, level: 1, protect: keep, filterable: true, aliases: [课程]}
  - {name: district_code, title: 所属区, type: code, code_table: gbt2260, level: 1, protect: keep, aliases: [所属区]}
derive:
  - {field: teacher_key, by: person_token, from: [identity_number]}
"""
API = """
name: {name}
title: {title}
summary: {title}。
version: v1
dataset: {dataset}
level: {level}
kind: list
parameters: []
columns: [{columns}]
order_by: [{order}]
page: {{default: 2, max: 100}}
cache_s: 0
sample_request: /share/v1/{name}
sample_response: {{data: [], next: null, version: 1}}
"""
TEACHERS = API.format(
    name="teacher-training", title="教师培训查询", dataset="teacher_training", level=3,
    columns="teacher_name, course", order="course",
)  # fmt: skip
COUNT = API.format(
    name="school-count", title="学校数目", dataset="school_base", level=1,
    columns="school_key, stage", order="school_key",
)  # fmt: skip
RESOURCES, APPLICATIONS = "/api/catalog/resources", "/api/catalog/applications"


@dataclass
class Both:
    """Catalogue and gateway over one folder, started a moment ago."""

    standards: Standards
    catalogue: httpx.AsyncClient
    gateway: Any
    publish: Callable[..., Awaitable[None]]

    async def until(self, ask: Callable[[], Awaitable[httpx.Response]], status: int) -> httpx.Response:
        async with asyncio.timeout(60):
            while True:
                answer = await ask()
                if answer.status_code == status:
                    return answer
                await asyncio.sleep(0.05)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(find_standards(), tmp_path / "standards"))


@pytest.fixture
def started(
    folder: Path,
    make_settings: Any,
    settings: GatewaySettings,
    client_for: Any,
    start_gateway: Any,
    put_served: Any,
) -> Any:
    """`async with started() as both`: both services as they start with the folder of this moment."""

    @asynccontextmanager
    async def start() -> AsyncIterator[Both]:
        own = settings.model_copy(update={"standards_dir": folder})
        catalogue = create_catalogue(make_settings(CatalogSettings, standards_dir=folder))
        async with client_for(catalogue) as client, start_gateway(own, open_engine) as gateway:
            resources = catalogue.state.resources

            async def publish(dataset: str, rows: list[dict[str, Any]], version: int) -> None:
                await put_served(resources.standards, dataset, rows, version)
                facts = PublishedDatasetUpdated(
                    dataset=dataset, title="t", version=version, governed_version=version, batch_id="b",
                    row_count=len(rows), content_digest="d", level=resources.standards.datasets[dataset].level,
                    rolled_back=False, published_at=now(),
                )  # fmt: skip
                async with resources.database.transaction() as session:
                    await announce(session, facts)

            yield Both(resources.standards, client, gateway, publish)

    return start


def teacher(number: int, name: str = "张*") -> dict[str, Any]:
    return {
        "teacher_key": f"t1.k1.teacher{number}",
        "teacher_name": name,
        "identity_number": "******",
        "course": f"课程{number}",
        "district_code": "310115",
    }


async def test_a_moved_folder_is_followed_by_catalogue_and_gateway(
    folder: Path, started: Any, issuer: Any, as_subject: Any
) -> None:
    applicant = as_subject("applicant", id="client:app", audience="catalog")
    owner = as_subject(
        "owner", id="person:zhou", audience="catalog", name="周", organisation="市教育委员会信息中心"
    )
    security = as_subject("security_admin", id="person:qian", audience="catalog", name="钱")
    school = {"school_key": "S1", "school_name": "示例初级中学", "district_code": "310115", "stage": "3"}

    async with started() as both:
        await both.publish("school_base", [school], 1)
        await both.until(lambda: both.catalogue.get(f"{RESOURCES}/api:schools", headers=applicant), 200)

    # An API over a dataset that is published, and a dataset that is not: nobody publishes the first one again.
    (folder / "datasets" / "teacher").mkdir()
    (folder / "datasets" / "teacher" / "teacher_training.yaml").write_text(TRAINING, "utf-8")
    (folder / "apis" / "school-count.yaml").write_text(COUNT, "utf-8")
    (folder / "apis" / "teacher-training.yaml").write_text(TEACHERS, "utf-8")
    async with started() as both:
        catalogue, http, bearer = both.catalogue, both.gateway.http, issuer.bearer()
        shown = await catalogue.get(f"{RESOURCES}/api:school-count", headers=applicant)
        assert (shown.status_code, shown.json()["published_version"]) == (200, 1)
        missing = await catalogue.get(f"{RESOURCES}/api:teacher-training", headers=applicant)
        assert missing.status_code == 404
        await both.publish("teacher_training", [teacher(number) for number in range(5)], 1)
        await both.until(lambda: catalogue.get(f"{RESOURCES}/api:teacher-training", headers=applicant), 200)
        ids = {}
        for name, deciders in (("school-count", [owner]), ("teacher-training", [owner, security])):
            wanted = {
                "resource_id": f"api:{name}", "client_id": "app", "purpose": "教学质量分析", "scenario": "统计分析",
                "days": 30, "promises": True, "ip_ranges": ["127.0.0.0/8"],
            }  # fmt: skip
            entered = await catalogue.post(APPLICATIONS, json=wanted, headers=applicant)
            assert entered.status_code == 201, entered.text
            for headers in deciders:
                url = f"{APPLICATIONS}/{entered.json()['id']}/decisions"
                decided = await catalogue.post(url, json={"decision": "approve"}, headers=headers)
            ids[name] = decided.json()["grant_id"]
            assert (await catalogue.get(f"/api/catalog/grants/{ids[name]}", headers=applicant)).json()[
                "level"
            ] == (both.standards.apis[name].level)
            answer = await both.until(lambda name=name: http.get(f"/share/v1/{name}", headers=bearer), 200)
        assert [row["teacher_name"] for row in answer.json()["data"]] == ["张*", "张*"]

        # D3: the first page held the teachers 0 and 1; neither key nor name was asked for.
        asked = {"api": "teacher-training"}
        auditor = issuer.bearer("auditor", roles=["audit_admin"])
        for number, reads in ((0, 1), (1, 1), (2, 0)):
            question = f"teacher_key=t1.k1.teacher{number}"
            found = await http.get(
                "/api/gateway/audit", params={**asked, "question": question}, headers=auditor
            )
            assert found.status_code == 200, found.text
            assert [row["client_id"] for row in found.json()["items"]] == ["app"] * reads
        misspelt = await http.get(
            "/api/gateway/audit", params={**asked, "qestion": "teacher_key=t1.k1.teacher0"}, headers=auditor
        )
        assert misspelt.status_code == 422
        assert "qestion" in misspelt.text
        assert (await http.get("/api/gateway/audit/verify", headers=auditor)).json()["is_whole"] is True

    # A stricter mask: what was published under the older one is not served until it is published again.
    contract = folder / "datasets" / "teacher" / "teacher_training.yaml"
    contract.write_text(TRAINING.replace("protect: mask_name", "protect: hide"), "utf-8")
    async with started() as both:
        catalogue, http = both.catalogue, both.gateway.http
        shown = (await catalogue.get(f"{RESOURCES}/api:teacher-training", headers=applicant)).json()
        assert {item["name"]: item["share"] for item in shown["items"]}["teacher_name"] == "hide"
        refused = await both.until(lambda: http.get("/share/v1/teacher-training", headers=bearer), 503)
        assert "旧的标准" in refused.json()["detail"]
        await both.publish("teacher_training", [teacher(number, "******") for number in range(5)], 2)
        answer = await both.until(lambda: http.get("/share/v1/teacher-training", headers=bearer), 200)
        assert answer.json()["data"][0]["teacher_name"] == "******"

    # An API taken out: gone from the search, its page and its grant say so, the gateway does not know it.
    (folder / "apis" / "teacher-training.yaml").unlink()
    async with started() as both:
        catalogue, http = both.catalogue, both.gateway.http
        shown = (await catalogue.get(f"{RESOURCES}/api:teacher-training", headers=applicant)).json()
        assert shown["withdrawn_at"] is not None
        listed = (await catalogue.get(RESOURCES, headers=applicant)).json()["items"]
        assert "api:teacher-training" not in {one["id"] for one in listed}
        held = (
            await catalogue.get(f"/api/catalog/grants/{ids['teacher-training']}", headers=applicant)
        ).json()
        assert (held["status"], held["ended_reason"]) == ("revoked", "接口“教师培训查询”已从共享目录撤下")
        assert (await http.get("/share/v1/teacher-training", headers=bearer)).status_code == 404
        still = await both.until(lambda: http.get("/share/v1/school-count", headers=bearer), 200)
        assert still.json()["data"] == [{"school_key": "S1", "stage": "3"}]

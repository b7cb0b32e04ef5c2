"""The real standards, the real eight steps, the real lake: schools first, then quotas that refer to them."""

import dataclasses
from typing import Any

import polars as pl
import pytest
from edulake.common.standards import Standards
from edulake.governance.dataset import repository as datasets
from edulake.governance.pipeline import run as run_pipeline

SCHOOLS = pl.DataFrame(
    {
        "学校代码": ["075068", "75069", "bad!", "041001"],
        "学校名称": [
            "上海市奉贤区实验中学",
            "上海市宝山区求真中学",
            "上海市格致初级中学",
            "上海市实验高级中学",
        ],
        "所属区": ["奉贤区", "宝山区", "黄浦区", "浦东新区"],
        "学段": ["初中", "初中", "初中", "高中"],
    }
)
QUOTAS = pl.DataFrame(
    {
        "年份": ["2026", "2026"],
        "初中学校代码": ["075068", "075069"],
        "初中学校": ["上海市奉贤区实验中学", "求真中学"],
        "高中代码": ["041001", "041001"],
        "高中学校": ["上海市实验高级中学", "上海市实验高级中学"],
        "计划数": ["3", "x"],
        "区": ["奉贤区", "宝山区"],
    }
)


@pytest.fixture
def real(house: Any, standards: Standards) -> Any:
    """The house with the repository's standards and the real pipeline."""
    resources = dataclasses.replace(house.resources, standards=standards)
    return dataclasses.replace(house, resources=resources, pipeline=run_pipeline)


async def land(real: Any, batch_id: str, dataset: str, frame: pl.DataFrame, **facts: Any) -> None:
    await real.land_frame(batch_id, frame, dataset=dataset, columns=frame.columns, **facts)


async def referred(real: Any, batch_id: str) -> dict[str, int | None]:
    """The versions of other datasets that a batch was governed with."""
    async with real.database.read() as session:
        return {one.reference: one.version for one in await datasets.inherited_of(session, batch_id)}


class TestSchoolsAndQuotas:
    async def test_a_quota_waits_for_the_schools_and_finds_them(self, real: Any) -> None:
        await land(real, "quota", "senior_quota", QUOTAS, source_id="exam-office")
        async with real.working():
            await real.when("quota", lambda run: run.state == "waiting_reference")
            await land(real, "schools", "school_base", SCHOOLS)
            schools, quota = await real.closed("schools"), await real.closed("quota")
        assert (schools.outcome, schools.rows_governed, schools.rows_quarantined) == ("governed", 3, 1)
        assert (quota.outcome, quota.rows_governed, quota.rows_quarantined) == ("governed", 1, 1)
        governed = (await real.governed("senior_quota")).row(0, named=True)
        school = (
            (await real.governed("school_base")).filter(pl.col("school_code") == "075068").row(0, named=True)
        )
        assert governed["junior_school_key"] == school["school_key"]
        assert governed["planned_seats"] == 3
        async with real.database.read() as session:
            report = await real.lake.manifest(session, "governed", "senior_quota")
        assert report.content_digest == quota.content_digest
        assert await referred(real, "quota") == {"school_base": 1}
        assert await referred(real, "schools") == {"school_base": None}, (
            "a campus names its school; none was known"
        )

        await land(real, "more", "school_base", SCHOOLS, source_id="other")
        await real.govern("more")
        await real.reopen("quota")
        await real.govern("quota")
        assert await referred(real, "quota") == {"school_base": 2}, "what it was governed with at last"

    async def test_reprocessing_and_delivering_again_yield_the_same_content(self, real: Any) -> None:
        await land(real, "b1", "school_base", SCHOOLS)
        (first,) = await real.govern("b1")
        await real.reopen("b1")
        (again,) = await real.govern("b1")
        await land(real, "b2", "school_base", SCHOOLS)
        (same,) = await real.govern("b2")
        assert first.content_digest == again.content_digest == same.content_digest
        assert (first.version, again.version, same.version) == (1, 2, 3)

    async def test_a_second_source_fills_what_the_first_left_empty(self, real: Any) -> None:
        await land(real, "b1", "school_base", SCHOOLS, authority=9)
        other = SCHOOLS.select("学校名称", "所属区", "学段").with_columns(pl.lit("公办").alias("办别"))
        other = other.with_columns(pl.lit("民办").alias("办别"), pl.lit("某路 1 号").alias("地址")).head(2)
        await land(real, "b2", "school_base", other, source_id="district", authority=1)
        await real.govern("b1", "b2")
        governed = await real.governed("school_base")
        mended = governed.filter(pl.col("school_code") == "075068").row(0, named=True)
        assert governed.height == 3
        assert mended["address"] is not None
        assert mended["_sources"] == '["source-a","district"]'


def identity(sequence: str) -> str:
    """A made-up number of the unassigned area 310199 with its check digit (GB 11643)."""
    body = f"31019920120307{sequence}"
    weights = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
    return body + "10X98765432"[sum(int(d) * w for d, w in zip(body, weights, strict=True)) % 11]


class TestStudents:
    async def test_no_personal_value_leaves_the_seal(self, real: Any) -> None:
        numbers = [identity("001"), identity("012"), identity("003")[:-1] + "?"]
        students = pl.DataFrame(
            {
                "姓名": ["王小明", "李小红", "张小华"],
                "身份证件号码": numbers,
                "学校名称": ["上海市奉贤区实验中学"] * 3,
            }
        )
        await land(real, "schools", "school_base", SCHOOLS)
        await land(real, "s1", "student_base", students)
        _, run = await real.govern("schools", "s1")
        assert (run.outcome, run.rows_governed, run.rows_quarantined) == ("governed", 2, 1)
        governed = await real.governed("student_base")
        assert governed["identity_number_token"].null_count() == 0
        stored = [p.read_bytes() for p in (real.settings.home / "lake").rglob("*") if p.is_file()]
        kept = [await real.dump(f"governance.{name}") for name in ("finding", "quality_report", "run")]
        kept.append(await real.dump("bus.log"))
        for secret in (*numbers, "王小明", "李小红", "张小华"):
            assert not any(secret.encode() in content for content in stored)
            assert not any(secret in table for table in kept)

    async def test_governed_again_are_sealed_and_tokenised_to_the_same_bytes(self, real: Any) -> None:
        students = pl.DataFrame(
            {
                "姓名": ["王小明", "李小红"],
                "身份证件号码": [identity("001"), identity("012")],
                "学校名称": ["上海市奉贤区实验中学"] * 2,
            }
        )
        await land(real, "schools", "school_base", SCHOOLS)
        await land(real, "s1", "student_base", students)
        _, first = await real.govern("schools", "s1")
        before = await real.governed("student_base")
        assert before["student_name_sealed"].null_count() == 0
        for _ in range(2):
            await real.reopen("s1")
            (again,) = await real.govern("s1")
            assert again.content_digest == first.content_digest
        assert (await real.governed("student_base")).equals(before)

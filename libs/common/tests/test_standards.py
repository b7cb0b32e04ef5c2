"""The standards folder is read whole or refused whole, and the refusal names file and field."""

import shutil
from datetime import date
from pathlib import Path

import pytest
import yaml
from edulake.common.settings import find_standards
from edulake.common.standards import CodeRow, CodeTable, FieldContract, Standards, StandardsError
from pydantic import ValidationError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the repository's standards, to be broken."""
    return Path(shutil.copytree(find_standards(), tmp_path / "standards"))


def change(path: Path, edit) -> None:
    content = yaml.safe_load(path.read_text("utf-8"))
    edit(content)
    path.write_text(yaml.safe_dump(content, allow_unicode=True), "utf-8")


def field(**over) -> FieldContract:
    return FieldContract.model_validate({"name": "f", "title": "字段", "level": 1, "protect": "keep", **over})


class TestRepository:
    def test_the_folder_of_the_repository_loads(self, standards: Standards):
        assert {"school_base", "senior_quota", "student_base"} <= set(standards.datasets)
        assert {"schools", "senior-quota", "student"} <= set(standards.apis)

    def test_levels_are_those_of_the_highest_field(self, standards: Standards):
        assert standards.datasets["student_base"].level == 4
        assert standards.datasets["senior_quota"].level == 1

    def test_personal_fields_of_students_are_never_kept(self, standards: Standards):
        for each in standards.datasets["student_base"].fields:
            assert each.level < 3 or each.protect.share != "keep"

    def test_no_personal_dataset_is_shared_unconditionally(self, standards: Standards):
        for contract in standards.datasets.values():
            assert contract.level < 3 or contract.share_type != "无条件共享"

    def test_every_dataset_can_be_recognised_by_its_headers(self, standards: Standards):
        for contract in standards.datasets.values():
            aliased = {f.name for f in contract.fields if f.aliases}
            assert contract.recognisable & aliased, contract.name

    def test_every_level_of_a_field_has_controls(self, standards: Standards):
        assert [level.level for level in standards.grading.levels] == [1, 2, 3, 4, 5]
        assert standards.grading.level(4).approvals == ("owner", "security_admin")


class TestRefusals:
    @pytest.mark.parametrize(
        ("edit", "message"),
        [
            (lambda c: c.update(nmae="x"), "nmae"),
            (lambda c: c["fields"][0].update(levl=1), r"fields\.0\.levl"),
            (lambda c: c["fields"][0].update(level=6), r"fields\.0\.level"),
            (lambda c: c["fields"][0].update(level=3), "must not be kept in the clear"),
            (lambda c: c["fields"][0].update(type="code"), "code_table belong together"),
            (lambda c: c["fields"].append(c["fields"][0]), "declared twice: school_key"),
            (lambda c: c["fields"][2]["aliases"].append("办别"), "header alias declared twice: 办别"),
            (lambda c: c.update(business_key=["nothing"]), "undeclared fields: nothing"),
            (lambda c: c["rules"][0].update(field="nothing"), "undeclared fields: nothing"),
            (lambda c: c["references"][0].update(dataset="nothing"), "no dataset nothing"),
            (lambda c: c.update(name="other"), "name must equal the file's name"),
            (lambda c: c.update(update_cycle="偶尔"), "update_cycle"),
            (lambda c: c.update(domain="pupil"), "domain: pupil must equal the folder"),
            (lambda c: c.update(theme="办学条伴"), "theme: 办学条伴 is none of school"),
            (lambda c: c.update(region_from="stage"), "region_from: stage is no code of gbt2260"),
            (lambda c: c["fields"][6].update(code_scope="99"), "code_scope: gbt2260 has no code"),
            (
                lambda c: c.update(authoritative_for=["school_code"]),
                "school_base is not the source of district_code",
            ),
        ],
    )
    def test_a_wrong_contract_is_refused_by_file_and_field(self, folder, edit, message):
        path = folder / "datasets/school/school_base.yaml"
        change(path, edit)
        with pytest.raises(StandardsError, match=message) as refusal:
            Standards.load(folder)
        assert "school_base" in str(refusal.value)

    @pytest.mark.parametrize(
        ("edit", "message"),
        [
            (lambda a: a.update(dataset="nothing"), "no dataset nothing"),
            (lambda a: a["columns"].append("remark"), "remark is not served"),
            (lambda a: a["columns"].append("estimated_pupils"), "level: 1 is below 2"),
            (lambda a: a["parameters"][0].update(field="address"), "address is not filterable"),
            (lambda a: a["parameters"][0].update(code_table="nothing"), "no code table nothing"),
            (lambda a: a["parameters"][0].update(type="integer"), "type integer does not fit"),
            (lambda a: a["parameters"][0].update(pattern="(["), "district: pattern"),
            (lambda a: a["parameters"][0].update(name="cursor"), "belongs to paging"),
            (lambda a: a["columns"].remove("office"), "office influences the answer"),
            (lambda a: a["page"].update(default=200), "default is above max"),
            (lambda a: a.update(kind="one"), "the whole business key"),
        ],
    )
    def test_a_wrong_api_is_refused(self, folder, edit, message):
        change(folder / "apis/schools.yaml", edit)
        with pytest.raises(StandardsError, match=message):
            Standards.load(folder)

    @pytest.mark.parametrize(
        ("edit", "message"),
        [
            (lambda k: k.update(key="school_kea"), "school_base has no clear field school_kea"),
            (lambda k: k.update(reference_name="district_letters"), "no clear field district_letters"),
            (lambda k: k.update(where={"phase": ["3"]}), "no clear field phase"),
            (lambda k: k.update(narrow={"grade": "phase"}), "no clear field phase"),
            (lambda k: k.update(narrow={"class_name": "stage"}), "class_name is no code"),
            (lambda k: [k.pop("code"), k.pop("name")], "code or name is needed"),
            (lambda k: k.update(where={"estimated_pupils": ["3"]}), "where: estimated_pupils must be text"),
            (lambda k: k["fill"].update(birth_date="school_code"), "birth_date is date and"),
        ],
    )
    def test_a_link_to_what_the_reference_does_not_have_is_refused(self, folder, edit, message):
        change(folder / "datasets/student/student_base.yaml", lambda c: edit(c["links"][0]))
        with pytest.raises(StandardsError, match=message) as refusal:
            Standards.load(folder)
        assert "datasets/student/student_base: links: school_key" in str(refusal.value)

    def test_two_sources_of_one_element_are_refused(self, folder):
        change(
            folder / "datasets/student/student_base.yaml",
            lambda c: c["authoritative_for"].append("district_code"),
        )
        with pytest.raises(StandardsError, match="district_code is school_base's already"):
            Standards.load(folder)

    def test_an_api_that_shows_minors_is_not_below_their_level(self, folder):
        def narrow(api):
            api.update(level=3)

        change(folder / "apis/student.yaml", narrow)
        with pytest.raises(StandardsError, match=r"student: level: 3 is below 4"):
            Standards.load(folder)

    @pytest.mark.parametrize(
        ("edit", "message"),
        [
            ({"kind": "list"}, "a list over student_base, whose rows are children, must require student_key"),
            (
                {"kind": "list", "columns": ["district_code"], "order_by": ["district_code"], "level": 1},
                "must require student_key",
            ),
            ({"cache_s": 60}, "cache_s: nothing from level 3"),
        ],
    )
    def test_a_free_list_of_children_is_refused(self, folder, edit, message):
        def loosen(api):
            api.update(edit)
            if api["kind"] == "list":
                district = {"name": "d", "field": "district_code", "required": True, "description": "区"}
                api["parameters"] = [district]
                api["page"] = {"default": 20, "max": 100}

        change(folder / "apis/student.yaml", loosen)
        with pytest.raises(StandardsError, match=message) as refusal:
            Standards.load(folder)
        assert "apis/student: " in str(refusal.value)

    @pytest.mark.parametrize("op", ["in", "prefix"])
    def test_children_are_not_found_by_lists_or_beginnings_of_keys(self, folder, op):
        def add(api):
            more = {"name": "near", "field": "student_key", "op": op, "description": "主键"}
            api["parameters"].append(more)

        change(folder / "apis/student.yaml", add)
        with pytest.raises(StandardsError, match=f"people are not found by {op} of student_key"):
            Standards.load(folder)

    def test_a_list_of_one_child_is_let_in(self, folder):
        def list_one(api):
            api.update(kind="list", page={"default": 20, "max": 100})

        change(folder / "apis/student.yaml", list_one)
        assert Standards.load(folder).apis["student"].kind == "list"

    @pytest.mark.parametrize(
        ("edit", "message"),
        [
            ({"page": {"default": 20, "max": 500}}, "page: max is above 100"),
            ({"cache_s": 60}, "cache_s: nothing from level 3"),
        ],
    )
    def test_pages_and_caches_of_personal_lists_are_bounded(self, folder, edit, message):
        change(folder / "apis/schools.yaml", lambda a: a.update({"level": 3, "cache_s": 0, **edit}))
        with pytest.raises(StandardsError, match=message):
            Standards.load(folder)

    def test_who_read_a_record_can_always_be_told(self, folder):
        """A key that is not served cannot be written beside a read."""

        def keyless(api):
            api.update(level=3, cache_s=0)
            for names in (api["columns"], api["order_by"]):
                names.remove("junior_school_key")

        path = folder / "datasets/enrolment/senior_quota.yaml"
        change(path, lambda c: c["fields"][1].update(protect="drop"))
        change(folder / "apis/senior-quota.yaml", keyless)
        with pytest.raises(StandardsError, match="junior_school_key of the business key is not served"):
            Standards.load(folder)

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("code,name,aliases,parent,valid_from,valid_until,successor\n", "the table has no codes"),
            ("code,name\n1,a\n", "header must be"),
            ("code,name,aliases,parent,valid_from,valid_until,successor\n1,a,,,soon,,\n", "sex.csv:2"),
            (
                "code,name,aliases,parent,valid_from,valid_until,successor\n1,a,,,,,\n1,b,,,,,\n",
                "declared twice",
            ),
            ("code,name,aliases,parent,valid_from,valid_until,successor\n1,a,,,,,9\n", "successor 9"),
        ],
    )
    def test_a_wrong_code_table_is_refused_by_file_and_line(self, folder, text, message):
        (folder / "codes/sex.csv").write_text(text, "utf-8")
        with pytest.raises(StandardsError, match=message):
            Standards.load(folder)

    def test_an_empty_folder_is_refused(self, tmp_path):
        with pytest.raises(StandardsError, match=r"codes/\*\.csv"):
            Standards.load(tmp_path)

    def test_broken_yaml_is_refused_by_file(self, folder):
        (folder / "grading.yaml").write_text("levels: [", "utf-8")
        with pytest.raises(StandardsError, match=r"grading\.yaml"):
            Standards.load(folder)


class TestField:
    def test_a_word_is_short_for_its_share_form(self):
        assert field(protect="drop").served is False
        assert field(protect="drop").governed_columns == ()

    def test_governed_columns_follow_the_protection(self):
        masked = field(level=4, protect={"share": "hide", "token": True, "seal": True})
        assert masked.governed_columns == ("f", "f_token", "f_sealed")

    def test_a_masked_number_is_served_as_text(self):
        assert field(type="integer").served_type == "integer"
        assert field(type="date", level=3, protect="generalise_month").served_type == "string"

    def test_a_stricter_form_in_the_clear_is_refused_too(self):
        with pytest.raises(ValidationError, match="in the clear"):
            field(level=4, protect={"share": "hide", "minor": "keep"})


class TestRegions:
    DAY = date(2024, 9, 1)

    @pytest.mark.parametrize(
        ("code", "day", "standing"),
        [
            ("310119", DAY, "310115"),
            ("310119", date(2005, 1, 1), "310119"),
            ("310103", DAY, "310101"),
            ("310108", date(2015, 10, 12), "310108"),
            ("310108", date(2015, 10, 13), "310106"),
            ("310230", DAY, "310151"),
            ("310115", DAY, "310115"),
        ],
    )
    def test_districts_are_followed_to_the_one_in_force(self, standards, code, day, standing):
        assert standards.codes["gbt2260"].forward(code, day) == standing

    def test_the_sixteen_districts_are_in_force(self, standards):
        rows = standards.codes["gbt2260"].rows
        in_force = [row for row in rows if row.parent == "310000" and row.valid_on(self.DAY)]
        assert len(in_force) == 16

    def test_every_retired_code_ends_at_one_in_force(self, standards):
        table = standards.codes["gbt2260"]
        ends = {table.forward(row.code, self.DAY) for row in table.rows}
        assert all(table.by_code[code].valid_on(self.DAY) for code in ends)

    def test_the_version_changes_with_the_file(self, folder):
        before = Standards.load(folder).codes["sex"].version
        path = folder / "codes/sex.csv"
        path.write_text(path.read_text("utf-8").replace("男性", "男性 "), "utf-8")
        assert Standards.load(folder).codes["sex"].version != before

    def test_a_circle_of_successors_is_an_error_and_no_endless_loop(self):
        rows = tuple(CodeRow(a, a, (), None, None, None, b) for a, b in (("1", "2"), ("2", "1")))
        with pytest.raises(ValueError, match="circle"):
            CodeTable("t", "v", rows).forward("1", self.DAY)

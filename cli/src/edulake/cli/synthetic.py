"""Bundled deliveries: a small made-up city, dirty on purpose, the same at every run.

Nobody in it exists. Identity numbers carry the area 310199, which is not assigned to any place, so
that none of them can be somebody's; telephone numbers begin with 100, which no operator uses.
"""

import csv
import io
import json
import random
from dataclasses import dataclass
from pathlib import Path

import yaml
from edulake.common.standards.detect import CHECK, WEIGHTS

SEED = 20240901
DISTRICTS = ("黄浦区", "徐汇区", "静安区", "普陀区", "闵行区", "宝山区", "浦东新区", "崇明区")
CORES = ("晨光", "明德", "育才园", "启明", "新苗", "青禾", "远志", "求真园", "博文", "江湾路", "海棠", "云间")
SURNAMES = "赵钱孙李周吴郑王冯陈褚卫蒋沈韩杨"
GIVEN = "一二三四五六七八九甲乙丙丁子丑寅卯"


@dataclass(frozen=True)
class School:
    code: str
    name: str
    district: str
    stage: str


def identity_number(birth: str, serial: int) -> str:
    """18 characters with a right check digit in the unassigned area 310199."""
    body = f"310199{birth}{serial:03d}"
    total = sum(int(digit) * weight for digit, weight in zip(body, WEIGHTS, strict=True))
    return body + CHECK[total % 11]


def schools() -> list[School]:
    """Junior and senior schools of the made-up city."""
    found = []
    for place, district in enumerate(DISTRICTS, start=1):
        for number, core in enumerate(CORES[:8], start=1):
            name = f"上海市{district.removesuffix('区')}{core}初级中学"
            found.append(School(f"{place:02d}1{number:03d}", name, district, "初中"))
        for number, core in enumerate(CORES[8:], start=1):
            name = f"上海市{district.removesuffix('区')}{core}高级中学"
            found.append(School(f"{place:02d}2{number:03d}", name, district, "高中"))
    return found


def write_deliveries(folder: Path) -> Path:
    """Write every file and `deliveries.yaml` into `folder`; the same bytes at every run."""
    folder.mkdir(parents=True, exist_ok=True)
    dice = random.Random(SEED)  # noqa: S311 - made-up data must be the same at every run
    city = schools()
    _write(folder / "schools_a.csv", _roster_a(city), "utf-8-sig")
    _write(folder / "schools_b.csv", _roster_b(city, dice), "gb18030")
    _write(folder / "quota.csv", _quota(city, dice), "utf-8")
    lines = (json.dumps(row, ensure_ascii=False) for row in _students(city, dice))
    (folder / "students.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    _write(folder / "students_wrong.csv", [["商品", "价格"], ["苹果", "3"]], "utf-8")
    plan = folder / "deliveries.yaml"
    plan.write_text(yaml.safe_dump(PLAN, allow_unicode=True, sort_keys=False), encoding="utf-8")
    return plan


def _write(path: Path, rows: list[list[str]], encoding: str) -> None:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    path.write_bytes(text.getvalue().encode(encoding))


def _roster_a(city: list[School]) -> list[list[str]]:
    """Codes that lost their leading zero, a heading and a total row inside the data."""
    rows = [["序号", "学校代码", "学校名称", "办别", "所属区", "学段"]]
    for number, school in enumerate(city, start=1):
        office = "PRIVATE" if number % 9 == 0 else "PUBLIC"
        code = school.code.lstrip("0") if number % 5 == 0 else school.code
        rows.append([str(number), code, school.name, office, school.district, school.stage])
    rows.insert(20, ["", "学校代码", "学校名称", "PUBLIC", "黄浦区", "初中"])
    rows.append(["", "合计", "合计", "PUBLIC", "崇明区", "初中"])
    return rows


def _roster_b(city: list[School], dice: random.Random) -> list[list[str]]:
    """No codes; other spellings of districts and names, one unknown district, one empty name."""
    rows = [["校名", "区", "性质", "学段", "估计学生数"]]
    for school in city:
        if school.stage != "初中" or dice.random() < 0.15:
            continue
        name = school.name.removeprefix("上海市") if dice.random() < 0.3 else f" {school.name} "
        district = {"浦东新区": "浦东区"}.get(school.district, school.district)
        rows.append([name, district, "PUBLIC", school.stage, str(dice.randint(120, 900))])
    rows.append(["东海龙宫附属初级中学", "东海区", "PUBLIC", "初中", "12"])
    rows.append(["", "黄浦区", "PUBLIC", "初中", "30"])
    return rows


def _quota(city: list[School], dice: random.Random) -> list[list[str]]:
    """A subtotal column, a shifted row, a school nobody knows."""
    rows = [["年份", "初中学校", "高中名称", "计划数"]]
    seniors = [school for school in city if school.stage == "高中"]
    for junior in (school for school in city if school.stage == "初中"):
        for senior in dice.sample(seniors, 3):
            rows += [["2024", junior.name, senior.name, str(dice.randint(1, 6))]]
        rows.append(["2024", junior.name, "区属名额数", "12"])
    rows.append(["2024", "上海市某某不存在初级中学", seniors[0].name, "2"])
    rows.append(["2024", city[0].name, seniors[0].name, "奉贤区"])
    return rows


def _students(city: list[School], dice: random.Random) -> list[dict[str, str]]:
    """Pupils of eleven to seventeen; some numbers have a wrong check digit, some a wrong school."""
    found = []
    for number in range(600):
        school = dice.choice(city)
        year = 2012 + dice.randint(0, 1) if school.stage == "初中" else 2008 + dice.randint(0, 1)
        birth = f"{year}{dice.randint(1, 12):02d}{dice.randint(1, 28):02d}"
        identity = identity_number(birth, number)
        if number % 50 == 7:
            identity = identity[:-1] + ("1" if identity[-1] != "1" else "2")
        found.append(
            {
                "姓名": dice.choice(SURNAMES) + dice.choice(GIVEN) + dice.choice(GIVEN),
                "身份证号": identity,
                "学校名称": "上海市不存在中学" if number % 97 == 3 else school.name,
                "所属区": school.district,
                "年级": str(7 + dice.randint(0, 2) if school.stage == "初中" else 10 + dice.randint(0, 2)),
                "班级": f"{dice.randint(1, 8)}班",
                "学籍状态": "在读",
                "监护人电话": f"100{dice.randint(0, 10**8 - 1):08d}",
            }
        )
    return found


PLAN = {
    "sources": [
        {"id": "demo-roster-a", "title": "学校名册甲", "organisation": "示例市考试机构", "authority": 20},
        {"id": "demo-roster-b", "title": "初中学校名册乙", "organisation": "示例第三方", "authority": 10},
        {"id": "demo-quota", "title": "名额分配到校计划", "organisation": "示例市考试机构", "authority": 20},
        {"id": "demo-student", "title": "学籍系统", "organisation": "示例市学籍办", "authority": 20},
    ],
    "deliveries": [
        {"file": "schools_a.csv", "source": "demo-roster-a", "dataset": "school_base", "period": "2024"},
        {"file": "schools_b.csv", "source": "demo-roster-b", "dataset": "school_base", "period": "2024"},
        {"file": "quota.csv", "source": "demo-quota", "dataset": "senior_quota", "period": "2024"},
        {"file": "students.jsonl", "source": "demo-student", "dataset": "student_base", "period": "2024"},
        {
            "file": "students_wrong.csv",
            "source": "demo-student",
            "dataset": "student_base",
            "period": "2024",
            "expect": "refused",
        },
    ],
}

"""How a field leaves the lake, in words: what the person who applies will see of it."""

from typing import Any

#: By the name of the transform in a contract (`common.mask`); an unknown one is shown as hidden.
SHARES = {
    "keep": "原样",
    "drop": "不提供",
    "hide": "隐藏",
    "mask_name": "只见姓氏",
    "mask_id_number": "只见首四位与末四位",
    "mask_phone": "只见首三位与末四位",
    "mask_student_number": "只见首五位与末四位",
    "mask_text": "只见首字",
    "generalise_month": "只见年月",
    "generalise_year": "只见年份",
    "generalise_address": "只见区与街镇",
}
#: 数据类型 of the national catalogue guide.
TYPES = {"C": "文字", "I": "整数", "N": "小数", "D": "日期", "L": "是否"}
TABLES = {
    "attendance_way": "就读方式",
    "boarding": "寄宿情况",
    "class_kind": "班级类型",
    "class_size": "班额",
    "ethnicity": "民族",
    "gbt2260": "行政区划（GB/T 2260）",
    "grade_no": "年级",
    "household_kind": "户口性质",
    "identity_type": "证件类型",
    "kinship": "亲属关系",
    "office": "办别",
    "school_kind": "学校类型",
    "school_stage": "学段",
    "school_type": "办学类型",
    "sex": "性别",
    "student_category": "学生类别",
    "student_status": "学籍状态",
    "term": "学期",
    "yes_no": "是否",
}


def shown_as(share: Any) -> str:
    return SHARES.get(str(share), "隐藏")


def type_words(code: str) -> str:
    return TYPES.get(code, code)


def table_words(name: str | None) -> str:
    """The Chinese name of a code table; a dash where a field has none."""
    return TABLES.get(name, name) if name else "—"

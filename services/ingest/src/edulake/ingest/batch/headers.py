"""A delivery whose headers are data of people, or feed no key of its dataset, is refused with what can be done about it.

No message repeats a header that nobody knows: of a file without a header it is the first person's row.
"""

from collections.abc import Mapping, Sequence

from edulake.common.standards import Contract, Standards
from edulake.common.standards.detect import found_in_each
from edulake.common.standards.headers import labels, plain, recognise
from edulake.ingest.batch.problems import PersonalHeader, WrongHeader
from edulake.ingest.source.readers.table import at
from rapidfuzz import fuzz, process

#: How alike (of 100, rapidfuzz's ratio) a header must be to a known one to be taken for a slip of it.
LIKENESS = 60
SHOWN_MAX = 50


def refuse_personal(headers: Sequence[str], standards: Standards) -> None:
    """PersonalHeader naming the places of headers in which a detector finds something of a person."""
    found = found_in_each(standards.grading.detectors, headers)
    kinds = {place: detector for place, detector in enumerate(found, start=1) if detector}
    if kinds:
        places = at(list(kinds))
        raise PersonalHeader(
            f"第 {places} 列的列名像是{'、'.join(sorted({d.title for d in kinds.values()}))}，不是列名；文件可能没有表头行",
            f"the headers of columns {places} hold {', '.join(sorted({d.name for d in kinds.values()}))}: "
            "the file may have no header row",
            mend_zh="在第一行写上各列的列名，去掉其中的号码、电话和住址后重新报送",
            mend_en="name the columns in the first row, without numbers, phones or addresses, and deliver again",
            where="file header",
            places=list(kinds)[:SHOWN_MAX],
        )


def told(
    headers: Sequence[str], contract: Contract, mapping: Mapping[str, str], standards: Standards
) -> list[str]:
    """What is stored and announced of the headers, in their order."""
    others = [each for each in standards.datasets.values() if each.name != contract.name]
    return list(labels(headers, [*others, contract], mapping).values())


def refuse_wrong(
    headers: Sequence[str], contract: Contract, mapping: Mapping[str, str], standards: Standards
) -> None:
    """WrongHeader naming both sides, and what each unknown header may mean, when none feeds the dataset's key."""
    recognised, unknown = recognise(headers, contract, mapping)
    if contract.recognisable.intersection(recognised):
        return
    wanted = [field for field in contract.fields if field.name in contract.recognisable]
    expected = {field.title: list(field.aliases)[:10] for field in wanted}
    titles, delivered = "、".join(expected), told(headers, contract, mapping, standards)[:SHOWN_MAX]
    near = nearest(unknown[:SHOWN_MAX], contract, mapping)
    meant = {headers.index(header) + 1: known for header, known in near.items()}
    meant_zh = "".join(f"第 {place} 列是否指“{known}”？" for place, known in meant.items())
    meant_en = "".join(f'does column {place} mean "{known}"? ' for place, known in meant.items())
    shown = "，".join(delivered[:20])
    raise WrongHeader(
        f"送来的表头里没有识别出 {contract.title} 的关键列（至少要有其中一列：{titles}）；送来的是：{shown}",
        f"no key column of {contract.name} among the delivered headers: {shown}",
        mend_zh=f"{meant_zh}核对是否报错了数据集，改正表头，或请数据治理工程师登记列映射",
        mend_en=f"{meant_en}check the dataset, mend the headers, or ask a steward to map them",
        where="file header",
        delivered=delivered,
        recognised=sorted(recognised),
        expected=expected,
        nearest={str(place): known for place, known in meant.items()},
    )


def nearest(unknown: Sequence[str], contract: Contract, mapping: Mapping[str, str]) -> dict[str, str]:
    """{unknown header: the known one it is most like}; those like none are left out."""
    known = {plain(alias): alias for f in contract.fields for alias in (f.name, f.title, *f.aliases)}
    known |= {plain(header): header for header in mapping}
    found = {
        header: process.extractOne(plain(header), list(known), scorer=fuzz.ratio, score_cutoff=LIKENESS)
        for header in unknown
    }
    return {header: known[best[0]] for header, best in found.items() if best}

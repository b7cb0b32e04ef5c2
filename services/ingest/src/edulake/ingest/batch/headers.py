"""A delivery whose headers feed no key of its dataset is refused, with what its source can do about it."""

from collections.abc import Mapping, Sequence

from edulake.common.standards import Contract
from edulake.common.standards.headers import plain, recognise
from edulake.ingest.batch.problems import WrongHeader
from edulake.ingest.source.readers.table import presentable
from rapidfuzz import fuzz, process

#: How alike (of 100, rapidfuzz's ratio) a header must be to a known one to be taken for a slip of it.
LIKENESS = 60
SHOWN_MAX = 50


def refuse_wrong(headers: Sequence[str], contract: Contract, mapping: Mapping[str, str]) -> None:
    """WrongHeader naming both sides, and what each unknown header may mean, when none feeds the dataset's key."""
    recognised, unknown = recognise(headers, contract, mapping)
    if contract.recognisable.intersection(recognised):
        return
    wanted = [field for field in contract.fields if field.name in contract.recognisable]
    expected = {field.title: list(field.aliases)[:10] for field in wanted}
    titles = "、".join(expected)
    near = nearest(unknown[:SHOWN_MAX], contract, mapping)
    meant_zh = "".join(f"“{header}”是否指“{known}”？" for header, known in near.items())
    meant_en = "".join(f'does "{header}" mean "{known}"? ' for header, known in near.items())
    raise WrongHeader(
        f"送来的表头里没有识别出 {contract.title} 的关键列（至少要有其中一列：{titles}）；送来的是：{presentable(headers)}",
        f"no key column of {contract.name} among the delivered headers: {presentable(headers)}",
        mend_zh=f"{meant_zh}核对是否报错了数据集，改正表头，或请数据治理工程师登记列映射",
        mend_en=f"{meant_en}check the dataset, mend the headers, or ask a steward to map them",
        where="file header",
        delivered=[presentable([header]) for header in headers[:SHOWN_MAX]],
        recognised=sorted(recognised),
        expected=expected,
        nearest=near,
    )


def nearest(unknown: Sequence[str], contract: Contract, mapping: Mapping[str, str]) -> dict[str, str]:
    """{unknown header: the known one it is most like}; those like none are left out."""
    known = {plain(alias): alias for f in contract.fields for alias in (f.name, f.title, *f.aliases)}
    known |= {plain(header): header for header in mapping}
    found = {
        header: process.extractOne(plain(header), list(known), scorer=fuzz.ratio, score_cutoff=LIKENESS)
        for header in unknown
    }
    return {presentable([header]): known[best[0]] for header, best in found.items() if best}

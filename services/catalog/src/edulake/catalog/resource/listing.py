"""What the catalogue must say, out of the standards and of what is published: pure, so that it can be asked at the
start and whenever the standards change."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from edulake.catalog.models import Publication, Resource
from edulake.common.standards import ApiDefinition, Contract, FieldContract, Standards

#: From this level on nothing can be applied for: it is shared in other ways, if at all.
NEVER_SHARED_LEVEL = 5
#: 数据类型 of the guide.
ITEM_TYPES = {"string": "C", "code": "C", "integer": "I", "decimal": "N", "date": "D", "boolean": "L"}
Facts = dict[str, Any]


@dataclass(frozen=True)
class Changes:
    """`listed`: the facts of new and changed resources; `withdrawn`: ids of those to take out."""

    listed: list[Facts]
    withdrawn: list[str]


def reconcile(
    standards: Standards, published: Iterable[Publication], known: Mapping[str, Resource]
) -> Changes:
    """What has to change in the catalogue. `known`: its resources by id, withdrawn ones among them.

    A dataset stands when it is published and has a contract, an API when its dataset stands. One that comes
    back is listed again under its old code.
    """
    wanted = {facts["id"]: facts for one in published for facts in facts_of(standards, one)}
    return Changes(
        [facts for each, facts in wanted.items() if not _says(known.get(each), facts)],
        [each for each, row in known.items() if each not in wanted and row.withdrawn_at is None],
    )


def facts_of(standards: Standards, published: Publication) -> Iterator[Facts]:
    """The dataset and each API over it; nothing when no contract is left."""
    contract = standards.datasets.get(published.dataset)
    if contract is None:
        return
    apis = [api for api in standards.apis.values() if api.dataset == contract.name]
    own = f"dataset:{contract.name}"
    yield _facts(contract, published, None, [f"api:{api.name}" for api in apis])
    for api in apis:
        yield _facts(contract, published, api, [own])


def _says(row: Resource | None, facts: Facts) -> bool:
    stands = row is not None and row.withdrawn_at is None
    return stands and all(getattr(row, name) == value for name, value in facts.items())


def _facts(
    contract: Contract, published: Publication, api: ApiDefinition | None, related: list[str]
) -> Facts:
    """Without the code and the words to search by, which depend on what the catalogue knows already."""
    wanted = set(api.columns) if api else None
    return {
        "id": f"api:{api.name}" if api else f"dataset:{contract.name}",
        "kind": "api" if api else "dataset",
        "name": api.name if api else contract.name,
        "dataset": contract.name,
        "title": api.title if api else contract.title,
        "summary": (api.summary if api else contract.summary)[:256],
        "domain": contract.domain,
        "theme": contract.theme,
        "organisation": contract.owner.organisation,
        "contact": contract.owner.contact,
        "share_type": contract.share_type,
        "share_condition": contract.share_condition,
        "share_way": "调用在线服务" if api else "联机查询",
        "open_type": contract.open_type,
        "update_cycle": contract.update_cycle,
        # An API has the one level that it declares (bounded by what it serves); the dataset has its own.
        "level": api.level if api else published.level,
        "items": [_item(f) for f in contract.served_fields if wanted is None or f.name in wanted],
        "related": related,
        "published_version": published.version,
        "row_count": published.row_count,
        "content_digest": published.content_digest,
        "published_at": published.published_at,
    }


def _item(field: FieldContract) -> Facts:
    return {
        "name": field.name,
        "title": field.title,
        "type": ITEM_TYPES[field.type],
        "level": field.level,
        "description": field.description,
    }


def is_callable(level: int, share_type: str) -> bool:
    """Whether an API of that level over a dataset shared so may be applied for at all."""
    return level < NEVER_SHARED_LEVEL and share_type != "不予共享"


def reason_to_end(
    standards: Standards, resource: Resource, *, level: int, columns: Iterable[str], dataset: str
) -> str | None:
    """Why an application or grant of these terms can no longer be served; None: it can.

    The gateway refuses such calls anyway (its own look at level, dataset and columns); these are the words for it.
    """
    api = standards.apis.get(resource.name)
    if api is None or resource.withdrawn_at is not None:
        return f"接口“{resource.title}”已从共享目录撤下"
    if not is_callable(api.level, standards.datasets[api.dataset].share_type):
        return f"接口“{resource.title}”已改为不予共享"
    if api.level > level:
        return f"接口“{resource.title}”的级别由第 {level} 级调为第 {api.level} 级，请按新的级别重新申请"
    if api.dataset != dataset:
        return f"接口“{resource.title}”改由另一个数据集提供，请重新申请"
    asked = set(columns)
    if asked and not asked & set(api.columns):
        return f"接口“{resource.title}”不再提供所申请的任何字段，请重新申请"
    return None

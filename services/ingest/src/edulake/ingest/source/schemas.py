"""Sources as the API takes and shows them."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

Words = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
SourceId = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
Header = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=128)]
Value = Annotated[str, StringConstraints(max_length=1000)]
#: Whole, with its kind: a bare name could mean a person and a program at once.
ContactId = Annotated[
    str,
    StringConstraints(pattern=r"^(person|client):[^\s/]{1,200}$"),
    Field(
        description="可报送的联系人：在用人员或应用的完整编号（person:… 或 client:…），不是姓名 / id of who may deliver"
    ),
]
PAIRS_MAX = 500
#: Sources whose contacts are told at once.
IDS_MAX = 500


class SourceIn(BaseModel):
    """What a steward registers; the whole of it is replaced by an update."""

    model_config = ConfigDict(extra="forbid")
    title: Words
    organisation: Words
    contact: ContactId
    authority: int = Field(50, ge=0, le=100, description="取值冲突时数值大者优先 / the higher wins")
    datasets: list[Name] = Field(min_length=1, max_length=100)
    mapping: dict[Name, Annotated[dict[Header, Name], Field(max_length=PAIRS_MAX)]] = Field(
        {}, description="{数据集: {表头: 字段}}"
    )
    defaults: dict[Name, Annotated[dict[Name, Value], Field(max_length=PAIRS_MAX)]] = Field(
        {}, description="{数据集: {字段: 缺省值}}"
    )
    status: Literal["active", "suspended"] = "active"


class SourceNew(SourceIn):
    """A source that is not registered yet."""

    id: SourceId


class SourceOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)
    id: str
    title: str
    organisation: str
    contact: str
    authority: int
    datasets: list[str]
    mapping: dict[str, dict[str, str]]
    defaults: dict[str, dict[str, str]]
    status: str
    revision: int
    created_at: datetime
    updated_at: datetime


class RevisionOut(BaseModel):
    """What a source was registered as, and by whom."""

    model_config = ConfigDict(from_attributes=True)
    revision: int
    body: dict[str, Any]
    changed_by: str
    changed_at: datetime


class SourceIds(BaseModel):
    """Ids of sources."""

    ids: list[Annotated[str, StringConstraints(max_length=200)]] = Field(max_length=IDS_MAX)


class OwnSources(BaseModel):
    """The sources of one contact."""

    ids: list[str]


class Contacts(BaseModel):
    """The present contact by source; a source there is not is absent."""

    contacts: dict[str, str]

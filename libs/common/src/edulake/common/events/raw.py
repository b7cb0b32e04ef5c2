"""RAW: a delivery landed, or was taken back."""

from typing import ClassVar

from edulake.common.events.base import EventData
from pydantic import Field


class RawBatchLanded(EventData):
    """A batch lies sealed in the lake and can be governed."""

    name: ClassVar[str] = "raw.batch.landed.v1"
    dataset: str
    batch_id: str
    source_id: str
    source_title: str
    organisation: str
    contact: str
    #: Where two sources differ, the higher authority wins.
    authority: int
    period: str
    digest: str
    #: Lake path of the sealed rows: a parquet file whose columns are all text.
    object: str
    format: str
    encoding: str
    row_count: int
    #: Place in the order of landing over all sources, whatever the order of hearing; None: not told.
    landed_no: int | None = None
    columns: list[str]
    #: Delivered header → field of the contract.
    mapping: dict[str, str] = Field(default_factory=dict)
    #: Field → value for what the source never delivers.
    defaults: dict[str, str] = Field(default_factory=dict)
    #: Who delivered it, and who answers for a program that did: they do not decide about it themselves.
    delivered_by: str | None = None
    accountable: str | None = None


class RawBatchWithdrawn(EventData):
    """The source took a batch back."""

    name: ClassVar[str] = "raw.batch.withdrawn.v1"
    dataset: str
    batch_id: str
    source_id: str
    by: str

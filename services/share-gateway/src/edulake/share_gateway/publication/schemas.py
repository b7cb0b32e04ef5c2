"""What publishing knows, as it is kept and as it is shown."""

from typing import Annotated, Literal

from edulake.share_gateway.engine.definition import Protection, SqlType
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

JobStatus = Literal["waiting", "running", "published", "blocked", "failed", "held"]


class Publication(BaseModel):
    """One published version of a dataset."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    dataset: str
    version: int
    governed_version: int
    batch_id: str
    title: str
    row_count: int
    content_digest: str
    level: int
    columns: dict[str, SqlType]
    protection: dict[str, Protection]
    is_current: bool
    published_at: AwareDatetime
    current_since: AwareDatetime | None
    current_by: str
    dropped_at: AwareDatetime | None
    #: The batches whose rows it was merged from; None: not told.
    batches: list[str] | None


class Job(BaseModel):
    """A governed version on its way to be published. Seconds by step once it is done."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    job_id: int
    dataset: str
    governed_version: int
    batch_id: str
    row_count: int
    content_digest: str
    level: int
    quality: float
    trace_id: str
    parts_version: int | None
    #: Who agreed in governance to what the version lacks; who released it here.
    agreed_by: str | None
    released_by: str | None
    status: JobStatus
    tries: int
    worker: str | None
    version: int | None
    reason_zh: str
    reason_en: str
    seconds_by_step: dict[str, float]
    created_at: AwareDatetime
    updated_at: AwareDatetime


class ShownVersion(BaseModel):
    """A version that is served or can be rolled back to."""

    version: int
    governed_version: int
    batch_id: str
    row_count: int
    content_digest: str
    level: int
    is_current: bool
    published_at: AwareDatetime
    current_since: AwareDatetime | None
    current_by: str
    #: Rows of the kept version before it; None: none is kept.
    row_count_before: int | None = None


class ShownJob(BaseModel):
    """How far the newest governed version has come; the reason says what a person must do."""

    governed_version: int
    batch_id: str
    row_count: int
    status: JobStatus
    tries: int
    version: int | None
    reason_zh: str
    reason_en: str
    seconds_by_step: dict[str, float]
    updated_at: AwareDatetime


class ShownDataset(BaseModel):
    """What is published of one dataset: the versions kept, newest first, and the newest job."""

    dataset: str
    title: str
    current: int | None
    versions: list[ShownVersion]
    job: ShownJob | None


class Rollback(BaseModel):
    """The version to serve again."""

    model_config = ConfigDict(extra="forbid")
    version: Annotated[
        int, Field(ge=1, le=2**53, description="要恢复服务的已发布版本 / the version to serve again")
    ]
    agreed_rows: Annotated[
        int | None,
        Field(ge=0, le=2**53, description="数据减少时须确认的该版本行数 / its rows, where much is lost"),
    ] = None


class Release(BaseModel):
    """The held version as it was shown; it is not released when another is held by now."""

    model_config = ConfigDict(extra="forbid")
    governed_version: Annotated[
        int, Field(ge=1, le=2**53, description="暂缓的治理版本 / the governed version held")
    ]
    row_count: Annotated[int, Field(ge=0, le=2**53, description="它的行数 / its rows")]


class ShownParameter(BaseModel):
    """A query parameter of an API."""

    name: str
    field: str
    op: str
    type: str
    required: bool
    max_length: int
    pattern: str | None
    code_table: str | None
    description: str


class ShownColumn(BaseModel):
    """A column of an API's answer."""

    name: str
    title: str
    title_en: str
    type: str
    level: int
    description: str


class ShownApi(BaseModel):
    """A shared API, as the handbook, the catalogue and the portal show it."""

    name: str
    title: str
    title_en: str
    summary: str
    version: str
    path: str
    dataset: str
    dataset_title: str
    level: int
    kind: str
    parameters: list[ShownParameter]
    columns: list[ShownColumn]
    order_by: list[str]
    page_default: int
    page_max: int
    cache_s: int
    sample_request: str
    sample_response: dict[str, object]
    data_version: int | None
    updated_at: AwareDatetime | None
    row_count: int | None

"""What the audit API says."""

from edulake.share_gateway.audit.chain import Link, Verdict
from pydantic import AwareDatetime, BaseModel, Field


class AuditRow(BaseModel):
    """One row of the chain. `record` is a token: equal for equal questions, and nobody's name.

    `answered_records`: how many personal records (or people) the answer held; 0 where they are not counted.
    """

    seq: int
    at: AwareDatetime
    kind: str
    client_id: str
    grant_id: str
    api: str
    purpose: str
    level: int
    status: int
    calls: int
    record: str
    client_ip: str
    trace_id: str
    version: int
    answered_records: int
    hash: str

    @classmethod
    def of(cls, link: Link) -> "AuditRow":
        own = ("seq", "hash", "answered_records")
        fields = {name: getattr(link.record, name) for name in cls.model_fields if name not in own}
        answered = len(link.record.records)
        return cls(seq=link.seq, hash=link.hash.hex(), answered_records=answered, **fields)


class AuditQuestion(BaseModel, extra="forbid"):
    """What is asked of the audit. A misspelt name is refused: its answer would be other people's reads."""

    client: str | None = Field(default=None, max_length=200)
    api: str | None = Field(default=None, max_length=200)
    question: str | None = Field(
        default=None,
        max_length=2000,
        description="与 api 同用：记录主键，如 student_key=…，或调用时的查询串；谁读过这条记录，含经由列表的读取",
    )
    cursor: str | None = Field(default=None, max_length=1000, description="上一页的 next")
    limit: int = Field(default=50, ge=1, le=200)


class Verification(BaseModel):
    """The verdict on the whole chain."""

    is_whole: bool
    checked_rows: int
    first_wrong_seq: int | None
    reason: str

    @classmethod
    def of(cls, verdict: Verdict) -> "Verification":
        return cls(
            is_whole=verdict.is_whole,
            checked_rows=verdict.checked,
            first_wrong_seq=verdict.first_wrong,
            reason=verdict.reason,
        )

"""What the audit API says."""

from edulake.share_gateway.audit.chain import Link, Verdict
from pydantic import AwareDatetime, BaseModel


class AuditRow(BaseModel):
    """One row of the chain. `record` is a token: equal for equal questions, and nobody's name."""

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
    hash: str

    @classmethod
    def of(cls, link: Link) -> "AuditRow":
        fields = {
            name: getattr(link.record, name) for name in cls.model_fields if name not in ("seq", "hash")
        }
        return cls(seq=link.seq, hash=link.hash.hex(), **fields)


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

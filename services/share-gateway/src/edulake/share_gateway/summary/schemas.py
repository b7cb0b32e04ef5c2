"""What the summary API says."""

from pydantic import AwareDatetime, BaseModel


class UsageRow(BaseModel):
    """Calls of one API on one Beijing day. `day` is its first moment."""

    api: str
    day: AwareDatetime
    answered: int
    refused: int


class UsageToday(BaseModel):
    """Calls of one client and API since midnight in Beijing."""

    client_id: str
    api: str
    answered: int
    refused: int


class Summary(BaseModel):
    """The gateway's figures at a glance."""

    apis: int
    open_grants: int
    calls_today: int
    refused_today: int
    audit_rows: int

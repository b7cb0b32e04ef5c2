"""What the quota API says."""

from pydantic import AwareDatetime, BaseModel, Field


class Quota(BaseModel):
    """Calls a second, a day and a month (Beijing time) of one client and API."""

    rate_per_s: int = Field(ge=1, le=100_000)
    day_quota: int = Field(ge=0, le=2**40)
    month_quota: int = Field(ge=0, le=2**45)


class QuotaOverride(Quota):
    """A quota that an administrator set instead of the grants' figures."""

    client_id: str
    api: str
    changed_by: str
    changed_at: AwareDatetime

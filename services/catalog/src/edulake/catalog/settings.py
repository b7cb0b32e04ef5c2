"""Settings of the catalogue."""

from edulake.common.settings import Settings
from pydantic import Field


class CatalogSettings(Settings):
    """What the catalogue adds."""

    rings = ()

    grant_days_max: int = Field(default=366, ge=1, description="Longest validity of a grant, in days.")
    grant_rate_per_s: int = Field(
        default=2000, ge=1, description="Calls a second a new grant allows, level 1 and 2."
    )
    grant_day_quota: int = Field(
        default=50_000_000, ge=1, description="Calls a day a new grant allows, level 1 and 2."
    )
    personal_rate_per_s: int = Field(
        default=20,
        ge=1,
        description="Calls a second for personal data (level 3 and up); an approver may lower it.",
    )
    personal_day_quota: int = Field(
        default=5_000,
        ge=1,
        description="Calls a day for personal data (level 3 and up); an approver may lower it.",
    )
    rate_max_per_s: int = Field(
        default=20_000, ge=1, description="Most calls a second an approver may allow, level 1 and 2."
    )
    day_quota_max: int = Field(
        default=1_000_000_000,
        ge=1,
        le=2**31 - 1,
        description="Most calls a day an approver may allow, level 1 and 2.",
    )
    expiry_check_s: float = Field(
        default=30, gt=0, description="Pause between two looks for grants that have ended."
    )

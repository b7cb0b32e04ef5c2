"""Settings of the portal."""

from edulake.common.settings import Settings
from pydantic import Field


class PortalSettings(Settings):
    """What the portal adds."""

    rings = ()

    page_timeout_s: float = Field(
        default=3.0, gt=0, le=30, description="Longest wait for a service behind a page, seconds."
    )
    live_every_s: int = Field(
        default=5, ge=1, le=300, description="Pause between two looks of a live figure, seconds."
    )
    form_max_bytes: int = Field(
        default=65_536, ge=1024, description="Largest form without a file that a page takes, bytes."
    )
    city_code: str = Field(
        default="310000",
        pattern=r"^\d{6}$",
        description="GB/T 2260 code of the city this installation serves; forms offer its districts.",
    )
    upload_wait_s: float = Field(
        default=300.0,
        gt=0,
        description="Longest wait for ingest to take a piece of a file or to answer for it, seconds.",
    )
    verify_wait_s: float = Field(
        default=120.0, gt=0, le=600, description="Longest wait for the verdict on the audit chain, seconds."
    )
    export_rows: int = Field(default=10_000, ge=1, description="Most lines of one CSV export, rows.")
    page_rows: int = Field(default=20, ge=1, le=200, description="Lines a list shows on one page, rows.")

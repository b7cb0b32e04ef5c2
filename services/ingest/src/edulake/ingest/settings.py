"""Settings of ingest: what a delivery may cost."""

from pathlib import Path
from typing import Self

from edulake.common.settings import Settings
from edulake.ingest.source.readers.limits import Limits
from pydantic import Field, model_validator

ROLE = "edulake_ingest"


class IngestSettings(Settings):
    """What ingest needs to know beside what every process does."""

    rings = ("seal",)

    upload_max_bytes: int = Field(default=200 << 20, ge=1, description="Largest file of one delivery.")
    upload_idle_s: float = Field(default=30.0, gt=0, description="Longest an upload may stand still.")
    upload_total_s: float = Field(default=1800.0, gt=0, description="Longest one upload may take.")
    uploads_max: int = Field(
        default=16, ge=1, description="Deliveries in hand at once; more are told to come back."
    )
    push_max_bytes: int = Field(default=8 << 20, ge=1, description="Largest body of pushed rows.")
    push_rows_max: int = Field(default=50_000, ge=1, description="Most rows of one push.")
    rows_max: int = Field(default=1_000_000, ge=1, description="Most rows of one delivery.")
    columns_max: int = Field(default=500, ge=1, description="Most columns of one delivery.")
    cell_max_chars: int = Field(default=32_767, ge=1, description="Longest cell, in characters.")
    expanded_max_bytes: int = Field(default=1 << 30, ge=1, description="Most bytes a workbook may unpack to.")
    expansion_max_ratio: int = Field(
        default=200, ge=1, description="Most times an entry of a workbook may grow."
    )
    ragged_max_share: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="Most rows, as a share, whose width may differ from the header's.",
    )
    readers_max: int = Field(default=2, ge=1, description="Files read at once, each in a process of its own.")
    reader_memory_bytes: int = Field(
        default=2 << 30, ge=256 << 20, description="Address space of a reading process."
    )
    reader_cpu_s: int = Field(default=120, ge=1, description="Processor time of a reading process.")
    reader_wall_s: float = Field(default=180.0, gt=0, description="Longest a reading process may take.")
    batch_overdue_s: float = Field(
        default=3600.0,
        gt=0,
        description="A batch that has waited this long for governance or publication says so to its source.",
    )
    unconfirmed_keep_days: float = Field(
        default=14.0,
        gt=0,
        description="Longest a delivery waits for its source to confirm what it replaces; then it ends and its bytes go.",
    )
    orphan_age_s: float = Field(
        default=3600.0, ge=0, description="Age from which a stored object that no batch names is removed."
    )
    sweep_pause_s: float = Field(default=3600.0, gt=0, description="Pause between two looks for orphans.")

    @model_validator(mode="after")
    def _sweep_nothing_in_hand(self) -> Self:
        longest_s = self.upload_total_s + self.reader_wall_s
        if self.orphan_age_s <= longest_s:
            raise ValueError(
                f"EDULAKE_ORPHAN_AGE_S must exceed {longest_s:g}, the longest a delivery may take"
            )
        return self

    @property
    def staging(self) -> Path:
        """Where deliveries wait until they have landed."""
        return self.home.resolve() / "tmp" / "ingest"

    @property
    def reading_limits(self) -> Limits:
        """The bounds of one reading."""
        return Limits(
            rows_max=self.rows_max,
            columns_max=self.columns_max,
            cell_max_chars=self.cell_max_chars,
            expanded_max_bytes=self.expanded_max_bytes,
            expansion_max_ratio=self.expansion_max_ratio,
            ragged_max_share=self.ragged_max_share,
            memory_bytes=self.reader_memory_bytes,
            cpu_s=self.reader_cpu_s,
        )

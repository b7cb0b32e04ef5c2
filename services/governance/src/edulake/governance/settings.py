"""Settings of governance: its API process and its workers."""

import os
import socket
from pathlib import Path

from edulake.common.settings import Settings
from pydantic import Field

ROLE = "edulake_governance"


class GovernanceSettings(Settings):
    """What the governance processes need to know beside what every process does."""

    rings = ("seal", "token")

    worker_name: str = Field(
        default="", description="Name a worker shows on its runs; empty: host and process id."
    )
    worker_slots: int = Field(
        default=2, ge=1, le=16, description="Runs a worker process has in hand at once."
    )
    worker_poll_ms: int = Field(
        default=200, ge=10, le=10_000, description="Pause between two looks for a run."
    )
    run_lease_s: float = Field(
        default=30.0, ge=0.5, description="A run whose worker is silent this long starts again."
    )
    run_pulse_ms: int = Field(
        default=500, ge=20, description="Pause between two writes of a run's progress and lease."
    )
    run_tries_max: int = Field(default=5, ge=1, le=50, description="Tries of a run before it is refused.")
    run_backoff_s: float = Field(
        default=2.0, gt=0, description="Pause after the first failed try; doubles each time."
    )
    run_backoff_max_s: float = Field(default=120.0, gt=0, description="Longest pause between two tries.")
    run_timeout_s: float = Field(
        default=3600.0, gt=0, description="Longest a run may take before it counts as failed."
    )
    run_rows_max: int = Field(
        default=5_000_000, ge=1, description="Most rows of one batch a worker takes into memory."
    )
    reference_wait_s: float = Field(
        default=300.0,
        ge=0,
        description="Longest wait of a run for a dataset it refers to, or for earlier deliveries of it; then it goes on.",
    )
    reference_recheck_s: float = Field(
        default=10.0,
        gt=0,
        description="Pause between two looks for the reference, beside the event that tells of it.",
    )
    restore_window_days: int = Field(
        default=30,
        ge=1,
        description="Governed versions younger than this can be restored; files only older ones need go.",
    )
    restore_versions_min: int = Field(
        default=20,
        ge=1,
        description="Newest governed versions of a dataset that can be restored whatever their age.",
    )
    vacuum_pause_s: float = Field(
        default=21_600.0, gt=0, description="Pause between two removals of files outside the restore window."
    )
    findings_per_rule_max: int = Field(
        default=200,
        ge=1,
        le=10_000,
        description="Findings kept for each rule of a batch; the full count is kept too.",
    )
    examples_per_rule_max: int = Field(
        default=5, ge=0, le=20, description="Masked examples in the event of a failed rule."
    )

    @property
    def worker(self) -> str:
        """The name of this worker process."""
        return self.worker_name or f"{socket.gethostname()}:{os.getpid()}"

    @property
    def alive_file(self) -> Path:
        """Touched by a live worker; `python -m edulake.governance.worker --alive` reads its age."""
        return self.home / "run" / "governance-worker.alive"

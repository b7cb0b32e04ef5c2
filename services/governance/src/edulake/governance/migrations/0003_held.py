"""A batch that lacks too much of what it replaces is held until a person has agreed to that."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

STATES = ("queued", "running", "waiting_reference", "finished", "failed", "cancelled")
OUTCOMES = ("governed", "below_threshold", "refused", "superseded")
COLUMNS = {
    # what it lacks, as decided last; what of it a person agreed to (used up by the next end), and who
    "run": (
        "completeness jsonb",
        "agreed jsonb",
        "agreed_by text",
        # it never counted, or a restore undid it: what comes back by itself does not bring it back
        "is_set_aside boolean NOT NULL DEFAULT false",
    ),
    "quality_report": ("completeness jsonb", "agreed_by text"),
    "version_note": ("agreed_by text",),
}


def allow(column: str, values: tuple[str, ...]) -> None:
    listed = ", ".join(f"'{value}'" for value in values)
    op.execute(f"ALTER TABLE governance.run DROP CONSTRAINT run_{column}_check")
    op.execute(f"ALTER TABLE governance.run ADD CONSTRAINT run_{column}_check CHECK ({column} IN ({listed}))")


def upgrade() -> None:
    # running → held (lacks too much); held → queued (agreed, reprocess, withdrawn) | finished (refused, superseded)
    allow("state", (*STATES, "held"))
    allow("outcome", (*OUTCOMES, "held"))
    for table, columns in COLUMNS.items():
        for column in columns:
            op.execute(f"ALTER TABLE governance.{table} ADD COLUMN {column}")


def downgrade() -> None:
    op.execute(
        "UPDATE governance.run SET state = 'finished', outcome = 'superseded' WHERE 'held' IN (state, outcome)"
    )
    allow("state", STATES)
    allow("outcome", OUTCOMES)
    for table, columns in COLUMNS.items():
        for column in columns:
            op.execute(f"ALTER TABLE governance.{table} DROP COLUMN {column.split()[0]}")

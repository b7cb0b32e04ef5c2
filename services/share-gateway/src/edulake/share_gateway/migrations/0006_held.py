"""A publication that lacks too much of what is served waits for a person; what was taken back is not served again."""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

STATUSES = ("waiting", "running", "published", "blocked", "failed")


def allow(*statuses: str) -> None:
    listed = ", ".join(f"'{status}'" for status in statuses)
    op.execute("ALTER TABLE gateway.publication_job DROP CONSTRAINT publication_job_status_check")
    op.execute(
        "ALTER TABLE gateway.publication_job ADD CONSTRAINT publication_job_status_check "
        f"CHECK (status IN ({listed}))"
    )


def upgrade() -> None:
    # running → held (it lacks too much of what is served); held → waiting (released, or a newer one is published)
    allow(*STATUSES, "held")
    op.execute(
        """ALTER TABLE gateway.publication_job
        ADD COLUMN parts_version bigint,               -- the contributions of the governed version; NULL: not told
        ADD COLUMN agreed_by text,                     -- who agreed in governance to what the version lacks
        ADD COLUMN released_by text                    -- who let it be published although it lacks that"""
    )
    op.execute("ALTER TABLE gateway.publication ADD COLUMN batches text[]")
    op.execute(
        """CREATE TABLE gateway.taken_back (           -- batches whose rows were withdrawn or blocked
        dataset text NOT NULL,
        batch_id text NOT NULL,
        PRIMARY KEY (dataset, batch_id)
    )"""
    )


def downgrade() -> None:
    op.execute("DROP TABLE gateway.taken_back")
    op.execute("ALTER TABLE gateway.publication DROP COLUMN batches")
    op.execute(
        "ALTER TABLE gateway.publication_job DROP COLUMN parts_version, DROP COLUMN agreed_by, "
        "DROP COLUMN released_by"
    )
    op.execute("UPDATE gateway.publication_job SET status = 'blocked' WHERE status = 'held'")
    allow(*STATUSES)

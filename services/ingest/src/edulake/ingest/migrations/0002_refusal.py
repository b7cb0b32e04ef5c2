"""What a batch's publication was refused for, told by the publisher in any order with governance."""

from alembic import op

revision = "0002"
down_revision = "0001"

COLUMNS = (
    "refused_version int",  # the governed version that is not published; NULL: none
    "refusal_zh text NOT NULL DEFAULT ''",
    "refusal_en text NOT NULL DEFAULT ''",
)


def upgrade() -> None:
    for column in COLUMNS:
        op.execute(f"ALTER TABLE ingest.batch ADD COLUMN {column}")


def downgrade() -> None:
    for column in COLUMNS:
        op.execute(f"ALTER TABLE ingest.batch DROP COLUMN {column.split()[0]}")

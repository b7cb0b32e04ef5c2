"""What an order was opened on, so that only a delivery that covers it proves it; and which delivery did."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

STATEMENTS = (
    """ALTER TABLE workorder."order"
    ADD COLUMN period text,                            -- of the delivery that last broke the rule
    ADD COLUMN rows_to_cover bigint NOT NULL DEFAULT 0, -- most rows the rule was checked on since it was opened
    ADD COLUMN closed_landed_no bigint,                -- the delivery that proved it, and its processing
    ADD COLUMN closed_revision int""",
    'UPDATE workorder."order" SET rows_to_cover = checked_rows',
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    op.execute(
        'ALTER TABLE workorder."order" DROP COLUMN period, DROP COLUMN rows_to_cover, '
        "DROP COLUMN closed_landed_no, DROP COLUMN closed_revision"
    )

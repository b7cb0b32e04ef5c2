"""Which delivery, and which processing of it, last said something about an order."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

STATEMENTS = (
    """ALTER TABLE workorder."order"
    ADD COLUMN landed_no bigint,                       -- NULL: told by an event that did not say
    ADD COLUMN revision int,
    ADD COLUMN is_whole boolean                        -- of the delivery that last broke the rule""",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    op.execute(
        'ALTER TABLE workorder."order" DROP COLUMN landed_no, DROP COLUMN revision, DROP COLUMN is_whole'
    )

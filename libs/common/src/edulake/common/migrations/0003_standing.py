"""What each reader of the log handles stands beside its cursor, so that anybody can tell how far it is behind.

The relay measures itself by the same question, and so may read what that looks at.
"""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE bus.cursor ADD COLUMN names text[]")  # the events it handles; null: all of them
    op.execute("GRANT SELECT ON bus.inbox, bus.attempt, bus.dead_letter TO edulake_relay")


def downgrade() -> None:
    op.execute("REVOKE SELECT ON bus.inbox, bus.attempt, bus.dead_letter FROM edulake_relay")
    op.execute("ALTER TABLE bus.cursor DROP COLUMN names")

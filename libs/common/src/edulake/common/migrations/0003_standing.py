"""What each reader of the log handles stands beside its cursor, so that anybody can tell how far it is behind.

The relay measures itself by the same question, and so may read what that looks at. And whoever writes into the log, an
administrator by hand too, holds the horizon until the row is committed: readers stepped over a large row of a hand.
"""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

# Before the statement draws a position, as `bus.announce` does: who comes that way holds the lock already.
HOLD = """
CREATE FUNCTION bus.hold_horizon()
RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
    IF current_setting('edulake.announcing', true) IS DISTINCT FROM 'yes' THEN
        PERFORM pg_advisory_xact_lock_shared((3803::bigint << 48) | (SELECT last_value FROM bus.log_pos_seq));
        PERFORM set_config('edulake.announcing', 'yes', true);
    END IF;
    RETURN NULL;
END $$
"""
TRIGGER = """
CREATE TRIGGER hold_horizon BEFORE INSERT ON bus.log FOR EACH STATEMENT EXECUTE FUNCTION bus.hold_horizon()
"""


def upgrade() -> None:
    op.execute("ALTER TABLE bus.cursor ADD COLUMN names text[]")  # the events it handles; null: all of them
    op.execute("GRANT SELECT ON bus.inbox, bus.attempt, bus.dead_letter TO edulake_relay")
    for statement in (HOLD, TRIGGER, "REVOKE ALL ON FUNCTION bus.hold_horizon FROM PUBLIC"):
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP TRIGGER hold_horizon ON bus.log")
    op.execute("DROP FUNCTION bus.hold_horizon")
    op.execute("REVOKE SELECT ON bus.inbox, bus.attempt, bus.dead_letter FROM edulake_relay")
    op.execute("ALTER TABLE bus.cursor DROP COLUMN names")

"""Orders and their history."""

from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.execute("""
    CREATE TABLE workorder."order" (
        id uuid PRIMARY KEY,
        dataset text NOT NULL,
        source_id text NOT NULL,
        organisation text NOT NULL,
        contact text NOT NULL,
        rule_id text NOT NULL,
        rule_title text NOT NULL,
        field text NOT NULL,
        severity text NOT NULL CHECK (severity IN ('error', 'warning')),
        dimension text NOT NULL,
        status text NOT NULL CHECK (status IN ('open', 'assigned', 'resolved', 'closed')),
        assignee text,
        batch_id text NOT NULL,
        failed_rows bigint NOT NULL,
        checked_rows bigint NOT NULL,
        examples jsonb NOT NULL,
        recurrences int NOT NULL DEFAULT 0,
        closed_by_batch text,
        due_at timestamptz NOT NULL,
        created_at timestamptz NOT NULL,
        updated_at timestamptz NOT NULL,
        -- one order per source and rule: a rule that breaks again reopens it
        UNIQUE (dataset, source_id, rule_id),
        CHECK ((status = 'closed') = (closed_by_batch IS NOT NULL))
    );
    CREATE INDEX order_list ON workorder."order" (updated_at DESC, id DESC);
    CREATE TABLE workorder.entry (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        order_id uuid NOT NULL REFERENCES workorder."order" (id),
        at timestamptz NOT NULL,
        by text NOT NULL,
        action text NOT NULL,
        note text NOT NULL
    );
    CREATE INDEX entry_of_order ON workorder.entry (order_id, id);
    """)


def downgrade() -> None:
    op.execute('DROP TABLE workorder.entry, workorder."order"')

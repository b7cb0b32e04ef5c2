"""What is published, what waits to be, and the view the query engine follows."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

STATEMENTS = (
    """CREATE TABLE gateway.publication (
    dataset text NOT NULL,
    version bigint NOT NULL CHECK (version > 0),   -- 1, 2, 3 … per dataset, never used again
    governed_version bigint NOT NULL,
    batch_id text NOT NULL,
    title text NOT NULL,
    row_count bigint NOT NULL,
    content_digest text NOT NULL,                  -- of the governed version it was made from
    level smallint NOT NULL,
    columns json NOT NULL,                         -- served columns and their SQL types, in order
    is_current boolean NOT NULL DEFAULT false,
    published_at timestamptz NOT NULL,
    current_since timestamptz,                     -- later than published_at after a rollback
    current_by text NOT NULL,                      -- 'publisher', or who rolled back to it
    dropped_at timestamptz,                        -- when its table was dropped; NULL: can be rolled back to
    PRIMARY KEY (dataset, version),
    UNIQUE (dataset, governed_version),            -- a repeated event publishes nothing twice
    CHECK (NOT is_current OR dropped_at IS NULL)
)""",
    "CREATE UNIQUE INDEX publication_current ON gateway.publication (dataset) WHERE is_current",
    """CREATE TABLE gateway.publication_job (
    job_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    dataset text NOT NULL,
    governed_version bigint NOT NULL,
    batch_id text NOT NULL,
    row_count bigint NOT NULL,
    content_digest text NOT NULL,
    level smallint NOT NULL,
    quality double precision NOT NULL,
    trace_id text NOT NULL,
    -- waiting → running → published | blocked (a person must act) | failed (tries used up)
    status text NOT NULL DEFAULT 'waiting'
        CHECK (status IN ('waiting', 'running', 'published', 'blocked', 'failed')),
    tries int NOT NULL DEFAULT 0,
    not_before timestamptz NOT NULL DEFAULT now(),
    worker text,                                   -- who holds it, with lease_until; NULL unless running
    lease_until timestamptz,                       -- in the past: its worker is dead, anyone may take it
    version bigint,                                -- what it was published as
    reason_zh text NOT NULL DEFAULT '',
    reason_en text NOT NULL DEFAULT '',
    seconds_by_step jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (dataset, governed_version, batch_id),
    CHECK ((status = 'running') = (worker IS NOT NULL)),
    CHECK ((status = 'running') = (lease_until IS NOT NULL))
)""",
    "CREATE INDEX publication_job_open ON gateway.publication_job (dataset, governed_version) "
    "WHERE status IN ('waiting', 'running')",
    # One job of a dataset at a time, whatever the claimers do.
    "CREATE UNIQUE INDEX publication_job_running ON gateway.publication_job (dataset) WHERE status = 'running'",
    # Read by edulake_reader, which may not see schema gateway: a view reads with its owner's rights.
    """CREATE VIEW published."_current" AS
    SELECT dataset, version, columns FROM gateway.publication WHERE is_current""",
    'ALTER VIEW published."_current" OWNER TO edulake_gateway',
    'GRANT SELECT ON published."_current" TO edulake_reader',
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    op.execute('DROP VIEW published."_current"')
    op.execute("DROP TABLE gateway.publication_job, gateway.publication")

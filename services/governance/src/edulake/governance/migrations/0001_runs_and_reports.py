"""Runs (which are the jobs), findings, quality reports, quarantine, versions, references, aliases."""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE governance.run (
    batch_id text PRIMARY KEY,
    landed_no bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    dataset text NOT NULL,
    source_id text NOT NULL,
    contact text NOT NULL,
    period text NOT NULL,
    landed jsonb NOT NULL,                             -- the facts of raw.batch.landed
    trace_id text NOT NULL,
    -- queued → running → finished | failed (tries used up); running → queued (failed try, drained)
    -- running → waiting_reference → running; queued, waiting, running → cancelled (withdrawn)
    -- finished, failed → queued (reprocess, revision + 1)
    state text NOT NULL DEFAULT 'queued' CHECK (state IN
        ('queued', 'running', 'waiting_reference', 'finished', 'failed', 'cancelled')),
    revision int NOT NULL DEFAULT 1,
    tries int NOT NULL DEFAULT 0,
    not_before timestamptz NOT NULL DEFAULT now(),
    lease_owner text,
    lease_token uuid,                                  -- a worker may only write while it holds this
    lease_until timestamptz,
    is_withdrawn boolean NOT NULL DEFAULT false,
    waiting_for text[] NOT NULL DEFAULT '{}',
    waiting_since timestamptz,
    step text,
    step_done int NOT NULL DEFAULT 0,
    step_total int NOT NULL DEFAULT 0,
    outcome text CHECK (outcome IN ('governed', 'below_threshold', 'refused', 'superseded')),
    version bigint,
    content_digest text,
    rows_in bigint NOT NULL DEFAULT 0,
    rows_governed bigint NOT NULL DEFAULT 0,
    rows_quarantined bigint NOT NULL DEFAULT 0,
    quarantined_by_rule jsonb NOT NULL DEFAULT '{}',
    seconds_by_step jsonb NOT NULL DEFAULT '{}',
    reason_zh text NOT NULL DEFAULT '',
    reason_en text NOT NULL DEFAULT '',
    received_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz,
    CHECK ((state = 'running') = (lease_token IS NOT NULL)),
    CHECK (state <> 'finished' OR outcome IS NOT NULL)
);
-- At most one worker changes a dataset at a time, whatever the claim believes.
CREATE UNIQUE INDEX run_one_running_a_dataset ON governance.run (dataset) WHERE state = 'running';
CREATE INDEX run_open ON governance.run (landed_no)
    WHERE state IN ('queued', 'running', 'waiting_reference');
CREATE INDEX run_of_dataset ON governance.run (dataset, landed_no);
CREATE TABLE governance.finding (
    finding_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    batch_id text NOT NULL REFERENCES governance.run,
    row_no bigint,                                     -- NULL: the finding is about the whole batch
    rule_id text NOT NULL,
    field text,
    severity text NOT NULL,
    dimension text NOT NULL,
    reason_zh text NOT NULL,
    reason_en text NOT NULL,
    value_masked text
);
CREATE INDEX finding_of_batch ON governance.finding (batch_id, finding_id);
CREATE TABLE governance.quality_report (
    batch_id text NOT NULL REFERENCES governance.run,
    revision int NOT NULL,
    dataset text NOT NULL,
    source_id text NOT NULL,
    period text NOT NULL,
    landed_no bigint NOT NULL,
    outcome text NOT NULL,
    score double precision NOT NULL,                   -- 0 to 100
    scores jsonb NOT NULL,                             -- by dimension of GB/T 36344
    rules jsonb NOT NULL,                              -- every rule that was checked
    profile jsonb NOT NULL,
    column_levels jsonb NOT NULL,
    rows_in bigint NOT NULL,
    rows_governed bigint NOT NULL,
    rows_quarantined bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (batch_id, revision)
);
CREATE INDEX quality_report_of_dataset ON governance.quality_report (dataset, source_id, landed_no);
CREATE TABLE governance.quarantine (
    batch_id text PRIMARY KEY REFERENCES governance.run,
    dataset text NOT NULL,
    source_id text NOT NULL,
    object text NOT NULL,
    row_count bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE governance.version_note (
    dataset text NOT NULL,
    version bigint NOT NULL,
    parts_version bigint NOT NULL,
    batch_id text NOT NULL,
    revision int NOT NULL,
    restored_from bigint,
    row_count bigint NOT NULL,
    content_digest text NOT NULL,
    level int NOT NULL,
    quality double precision NOT NULL,
    made_by text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (dataset, version)
);
CREATE TABLE governance.inherited (
    batch_id text NOT NULL REFERENCES governance.run,
    revision int NOT NULL,
    reference text NOT NULL,
    version bigint,
    PRIMARY KEY (batch_id, revision, reference)
);
CREATE TABLE governance.name_alias (
    dataset text NOT NULL,
    alias text NOT NULL,
    key text NOT NULL,
    made_by text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (dataset, alias)
);
"""
NAMES = ["name_alias", "inherited", "version_note", "quarantine", "quality_report", "finding", "run"]


def upgrade() -> None:
    # asyncpg prepares what it is given, and a prepared statement is one command.
    for statement in TABLES.split(";\n"):
        if statement.strip():
            op.execute(statement)


def downgrade() -> None:
    for name in NAMES:
        op.execute(f"DROP TABLE governance.{name}")

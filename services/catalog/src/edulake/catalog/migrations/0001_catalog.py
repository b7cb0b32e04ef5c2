"""Resources, applications, decisions, grants."""

from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.execute("""
    CREATE SEQUENCE catalog.resource_serial;
    CREATE TABLE catalog.resource (
        id text PRIMARY KEY CHECK (id ~ '^(dataset|api):[a-z][a-z0-9_-]*$'),
        code text NOT NULL UNIQUE,
        kind text NOT NULL CHECK (kind IN ('dataset', 'api')),
        name text NOT NULL,
        dataset text NOT NULL,
        title text NOT NULL CHECK (length(title) <= 50),
        summary text NOT NULL CHECK (length(summary) <= 256),
        domain text NOT NULL,
        theme text NOT NULL,
        organisation text NOT NULL,
        contact text NOT NULL,
        share_type text NOT NULL,
        share_condition text NOT NULL CHECK (share_condition <> ''),
        share_way text NOT NULL,
        open_type text NOT NULL,
        update_cycle text NOT NULL,
        level int NOT NULL CHECK (level BETWEEN 1 AND 5),
        items jsonb NOT NULL,
        related text[] NOT NULL,
        published_version int NOT NULL,
        row_count bigint NOT NULL,
        content_digest text NOT NULL,
        first_published_at timestamptz NOT NULL,
        published_at timestamptz NOT NULL,
        search_text text NOT NULL
    );
    CREATE INDEX resource_order ON catalog.resource (published_at DESC, id DESC);
    CREATE TABLE catalog.application (
        id uuid PRIMARY KEY,
        resource_id text NOT NULL REFERENCES catalog.resource (id),
        client_id text NOT NULL,
        requested_by text NOT NULL,
        requested_by_name text NOT NULL,
        organisation text,
        purpose text NOT NULL,
        scenario text NOT NULL,
        columns text[] NOT NULL,
        districts text[] NOT NULL,
        days int NOT NULL CHECK (days > 0),
        level int NOT NULL,
        steps text[] NOT NULL CHECK (cardinality(steps) > 0),
        status text NOT NULL CHECK (status IN ('pending', 'approved', 'refused', 'withdrawn')),
        created_at timestamptz NOT NULL,
        decided_at timestamptz
    );
    CREATE UNIQUE INDEX application_one_pending ON catalog.application (resource_id, client_id)
        WHERE status = 'pending';
    CREATE INDEX application_by_requester ON catalog.application (requested_by, created_at DESC);
    CREATE TABLE catalog.decision (
        application_id uuid NOT NULL REFERENCES catalog.application (id),
        step text NOT NULL,
        decision text NOT NULL CHECK (decision IN ('approve', 'refuse')),
        reason text NOT NULL,
        decided_by text NOT NULL,
        decided_by_name text NOT NULL,
        decided_at timestamptz NOT NULL,
        PRIMARY KEY (application_id, step),
        UNIQUE (application_id, decided_by)
    );
    CREATE TABLE catalog."grant" (
        grant_id uuid PRIMARY KEY,
        application_id uuid NOT NULL UNIQUE REFERENCES catalog.application (id),
        client_id text NOT NULL,
        resource_id text NOT NULL REFERENCES catalog.resource (id),
        api text NOT NULL,
        dataset text NOT NULL,
        purpose text NOT NULL,
        columns text[] NOT NULL,
        districts text[] NOT NULL,
        mask_level text NOT NULL,
        valid_from timestamptz NOT NULL,
        valid_until timestamptz NOT NULL CHECK (valid_until > valid_from),
        ip_allow text[] NOT NULL,
        rate_per_s int NOT NULL CHECK (rate_per_s > 0),
        day_quota int NOT NULL CHECK (day_quota > 0),
        level int NOT NULL,
        status text NOT NULL CHECK (status IN ('active', 'revoked', 'expired')),
        ended_by text,
        ended_reason text,
        changed_at timestamptz NOT NULL
    );
    CREATE INDEX grant_by_client ON catalog."grant" (client_id, status);
    CREATE INDEX grant_to_expire ON catalog."grant" (valid_until) WHERE status = 'active';
    """)


def downgrade() -> None:
    op.execute("""
    DROP TABLE catalog."grant", catalog.decision, catalog.application, catalog.resource;
    DROP SEQUENCE catalog.resource_serial;
    """)

"""The data plane's own tables: access projections with their change marks, and the audit chain."""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# Every projection row carries the transaction that last changed it; processes follow by that mark.
# A trigger sets it, so that a change made by hand in an emergency is followed as well.
STATEMENTS = (
    """CREATE FUNCTION gateway.mark_change() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    NEW.txid := pg_current_xact_id();
    RETURN NEW;
END $$""",
    """CREATE TABLE gateway.grant (
    grant_id text PRIMARY KEY,
    client_id text NOT NULL,
    api text NOT NULL,
    dataset text NOT NULL,
    purpose text NOT NULL,
    columns text[] NOT NULL,
    districts text[] NOT NULL,                  -- empty: the whole city
    mask_level text NOT NULL,
    valid_from timestamptz NOT NULL,
    valid_until timestamptz NOT NULL,
    ip_allow text[] NOT NULL,                   -- addresses or networks; empty: any
    rate_per_s int NOT NULL,
    day_quota bigint NOT NULL,
    level smallint NOT NULL,
    status text NOT NULL CHECK (status IN ('active', 'revoked', 'expired')),
    event_at timestamptz NOT NULL,              -- when the state was announced; older news never overwrites
    txid xid8 NOT NULL
)""",
    "CREATE INDEX grant_txid ON gateway.grant (txid)",
    "CREATE INDEX grant_client ON gateway.grant (client_id)",
    """CREATE TABLE gateway.token_revocation (
    subject text PRIMARY KEY,                   -- 'jti:…' one token, 'client:…' all of a client issued before
    jti text,
    client_id text,
    before timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,            -- afterwards the tokens are expired anyway
    txid xid8 NOT NULL
)""",
    "CREATE INDEX token_revocation_txid ON gateway.token_revocation (txid)",
    """CREATE TABLE gateway.client_status (
    client_id text PRIMARY KEY,
    status text NOT NULL,
    event_at timestamptz NOT NULL,
    txid xid8 NOT NULL
)""",
    "CREATE INDEX client_status_txid ON gateway.client_status (txid)",
    """CREATE TABLE gateway.quota_override (          -- what an administrator set instead of the grant's figures
    client_id text NOT NULL,
    api text NOT NULL,
    rate_per_s int NOT NULL CHECK (rate_per_s > 0),
    day_quota bigint NOT NULL CHECK (day_quota >= 0),
    month_quota bigint NOT NULL CHECK (month_quota >= 0),
    is_active boolean NOT NULL DEFAULT true,
    changed_by text NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT now(),
    txid xid8 NOT NULL,
    PRIMARY KEY (client_id, api)
)""",
    "CREATE INDEX quota_override_txid ON gateway.quota_override (txid)",
    *(
        f"CREATE TRIGGER mark_change BEFORE INSERT OR UPDATE ON gateway.{table} "
        "FOR EACH ROW EXECUTE FUNCTION gateway.mark_change()"
        for table in ("grant", "token_revocation", "client_status", "quota_override")
    ),
    """CREATE TABLE gateway.audit (
    seq bigint PRIMARY KEY,                     -- 1, 2, 3 … without a gap
    at timestamptz NOT NULL,
    kind text NOT NULL CHECK (kind IN ('read', 'calls')),  -- one personal read, or a count of general calls
    client_id text NOT NULL,
    grant_id text NOT NULL,
    api text NOT NULL,
    purpose text NOT NULL,
    level smallint NOT NULL,
    status smallint NOT NULL,
    calls bigint NOT NULL CHECK (calls > 0),
    record text NOT NULL,                       -- token of the parameters: finds who read a person, names nobody
    client_ip text NOT NULL,
    trace_id text NOT NULL,
    version bigint NOT NULL,                    -- data version that was read
    kid text NOT NULL,                          -- key of the hash
    hash bytea NOT NULL                         -- HMAC-SM3 of the row before and this row
)""",
    "CREATE INDEX audit_client ON gateway.audit (client_id, seq)",
    "CREATE INDEX audit_api ON gateway.audit (api, seq)",
    "CREATE INDEX audit_record ON gateway.audit (record, seq) WHERE record <> ''",
    """CREATE TABLE gateway.audit_head (              -- one row: where the chain ends
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    seq bigint NOT NULL,
    hash bytea NOT NULL,
    kid text NOT NULL,
    seal bytea NOT NULL                         -- HMAC-SM3 of seq and hash: rows cut off the end show
)""",
    """CREATE FUNCTION gateway.refuse_change() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    RAISE EXCEPTION 'the audit chain is only ever added to';
END $$""",
    "CREATE TRIGGER only_added BEFORE UPDATE OR DELETE ON gateway.audit "
    "FOR EACH ROW EXECUTE FUNCTION gateway.refuse_change()",
    "CREATE TRIGGER never_emptied BEFORE TRUNCATE ON gateway.audit "
    "FOR EACH STATEMENT EXECUTE FUNCTION gateway.refuse_change()",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP TABLE gateway.audit, gateway.audit_head, gateway.quota_override")
    op.execute("DROP TABLE gateway.client_status, gateway.token_revocation, gateway.grant")
    op.execute("DROP FUNCTION gateway.mark_change, gateway.refuse_change")

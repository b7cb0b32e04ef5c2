"""People, clients, roles, sessions, logins, signing keys and the trail."""

from alembic import op

revision = "0001"
down_revision = None

_ROLES = (
    "'system_admin','security_admin','audit_admin','steward','owner','approver','source_contact','applicant'"
)
_ADMINISTRATORS = "'system_admin','security_admin','audit_admin'"


def upgrade() -> None:
    for tables in (_PEOPLE, _CLIENTS, _ROLE_TABLES, _SESSIONS, _KEYS, _TRAIL):
        for statement in tables.split(";"):
            op.execute(statement)
    for statement in (_RECORD_CHANGE, _RECORD_TRIGGER, _GUARD, _GUARD_TRIGGER, _APPEND_ONLY):
        op.execute(statement)
    for table in ("role_change", "trail"):
        op.execute(
            f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON auth.{table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION auth.refuse_rewriting()"
        )


def downgrade() -> None:
    op.execute("""
        DROP TABLE auth.trail, auth.signing_key, auth.login_attempt, auth.session, auth.role_change,
                   auth.role_assignment, auth.used_assertion, auth.revocation, auth.client_secret,
                   auth.client, auth.person CASCADE
    """)
    op.execute(
        "DROP FUNCTION auth.record_role_change(), auth.guard_role_assignment(), auth.refuse_rewriting()"
    )


_PEOPLE = """
CREATE TABLE auth.person (
    id           text PRIMARY KEY CHECK (id LIKE 'person:%'),
    issuer       text NOT NULL,
    subject      text NOT NULL,
    name         text NOT NULL,
    organisation text,
    district     text,
    status       text NOT NULL CHECK (status IN ('pending', 'active', 'disabled')),
    created_at   timestamptz NOT NULL,
    last_seen_at timestamptz,
    UNIQUE (issuer, subject)
)
"""

_CLIENTS = """
CREATE TABLE auth.client (
    client_id    text PRIMARY KEY CHECK (client_id ~ '^[a-z0-9][a-z0-9-]{1,62}$'),
    name         text NOT NULL,
    organisation text,
    district     text,
    owner        text,
    status       text NOT NULL CHECK (status IN ('active', 'disabled')),
    keys         jsonb NOT NULL DEFAULT '[]',
    created_at   timestamptz NOT NULL,
    created_by   text NOT NULL
);
CREATE INDEX client_by_owner ON auth.client (owner, client_id) WHERE owner IS NOT NULL;
CREATE TABLE auth.client_secret (
    id           uuid PRIMARY KEY,
    client_id    text NOT NULL REFERENCES auth.client,
    digest       text NOT NULL,
    created_at   timestamptz NOT NULL,
    expires_at   timestamptz,
    last_used_at timestamptz
);
CREATE INDEX client_secret_by_client ON auth.client_secret (client_id);
CREATE TABLE auth.used_assertion (
    client_id  text NOT NULL,
    jti        text NOT NULL,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (client_id, jti)
);
CREATE INDEX used_assertion_by_expiry ON auth.used_assertion (expires_at);
CREATE TABLE auth.revocation (
    id         uuid PRIMARY KEY,
    jti        text,
    client_id  text,
    before     timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    by         text NOT NULL,
    reason     text NOT NULL,
    CHECK (jti IS NOT NULL OR client_id IS NOT NULL)
)
"""

# The three administrators exclude each other in the database itself: one holder, at most one of them.
_ROLE_TABLES = f"""
CREATE TABLE auth.role_assignment (
    holder     text NOT NULL,
    role       text NOT NULL CHECK (role IN ({_ROLES})),
    granted_by text NOT NULL CONSTRAINT not_own_roles CHECK (granted_by <> holder),
    granted_at timestamptz NOT NULL,
    PRIMARY KEY (holder, role)
);
CREATE UNIQUE INDEX one_administrator_role_each ON auth.role_assignment (holder)
    WHERE role IN ({_ADMINISTRATORS});
CREATE TABLE auth.role_change (
    id       bigserial PRIMARY KEY,
    at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    by       text NOT NULL,
    holder   text NOT NULL,
    role     text NOT NULL,
    change   text NOT NULL CHECK (change IN ('granted', 'withdrawn')),
    reason   text NOT NULL,
    trace_id text NOT NULL
);
CREATE INDEX role_change_by_holder ON auth.role_change (holder, id)
"""

_SESSIONS = """
CREATE TABLE auth.session (
    id           uuid PRIMARY KEY,
    digest       text NOT NULL UNIQUE,
    person       text NOT NULL REFERENCES auth.person (id),
    agent        text NOT NULL,
    created_at   timestamptz NOT NULL,
    last_seen_at timestamptz NOT NULL,
    expires_at   timestamptz NOT NULL
);
CREATE INDEX session_by_person ON auth.session (person, created_at);
CREATE INDEX session_by_expiry ON auth.session (expires_at);
CREATE TABLE auth.login_attempt (
    state_digest  text PRIMARY KEY,
    browser_digest text NOT NULL,
    nonce         text NOT NULL,
    code_verifier text NOT NULL,
    return_to     text NOT NULL,
    expires_at    timestamptz NOT NULL
);
CREATE INDEX login_attempt_by_expiry ON auth.login_attempt (expires_at)
"""

# states: next (published, not yet used) -> current (signs) -> previous (verifies until `until`)
_KEYS = """
CREATE TABLE auth.signing_key (
    kid        text PRIMARY KEY,
    public     jsonb NOT NULL,
    sealed     text NOT NULL,
    state      text NOT NULL CHECK (state IN ('next', 'current', 'previous')),
    created_at timestamptz NOT NULL,
    until      timestamptz,
    CHECK ((state = 'previous') = (until IS NOT NULL))
);
CREATE UNIQUE INDEX one_current_key ON auth.signing_key (state) WHERE state = 'current';
CREATE UNIQUE INDEX one_next_key ON auth.signing_key (state) WHERE state = 'next'
"""

_TRAIL = """
CREATE TABLE auth.trail (
    id       bigserial PRIMARY KEY,
    at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    kind     text NOT NULL,
    by       text NOT NULL,
    about    text NOT NULL,
    outcome  text NOT NULL,
    trace_id text NOT NULL
)
"""

# A role cannot change without a recorded actor: the trigger writes the record or the change fails.
_RECORD_CHANGE = """
CREATE FUNCTION auth.record_role_change() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    actor text := nullif(current_setting('edulake.actor', true), '');
    changed auth.role_assignment;
BEGIN
    IF actor IS NULL THEN
        RAISE EXCEPTION 'a role change needs an actor' USING ERRCODE = 'check_violation';
    END IF;
    IF TG_OP = 'INSERT' THEN changed := NEW; ELSE changed := OLD; END IF;
    INSERT INTO auth.role_change (by, holder, role, change, reason, trace_id)
    VALUES (actor, changed.holder, changed.role,
            CASE TG_OP WHEN 'INSERT' THEN 'granted' ELSE 'withdrawn' END,
            coalesce(current_setting('edulake.reason', true), ''),
            coalesce(current_setting('edulake.trace', true), ''));
    RETURN NULL;
END $$
"""

_RECORD_TRIGGER = """
CREATE TRIGGER role_change_recorded AFTER INSERT OR DELETE ON auth.role_assignment
    FOR EACH ROW EXECUTE FUNCTION auth.record_role_change()
"""

# Nobody changes his own roles, directly or through a program he owns, and an owned program never
# administers: its owner would hold two of the three offices. Assignments are added and removed, not edited.
_GUARD = """
CREATE FUNCTION auth.guard_role_assignment() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    actor text := nullif(current_setting('edulake.actor', true), '');
    changed auth.role_assignment;
    owned_by text;
BEGIN
    IF TG_OP = 'UPDATE' THEN
        RAISE EXCEPTION 'role assignments are added and removed, not edited' USING ERRCODE = 'check_violation';
    END IF;
    IF TG_OP = 'INSERT' THEN changed := NEW; ELSE changed := OLD; END IF;
    IF changed.holder LIKE 'client:%' THEN
        SELECT owner INTO owned_by FROM auth.client WHERE client_id = substr(changed.holder, 8);
    END IF;
    IF actor IN (changed.holder, owned_by) THEN
        RAISE EXCEPTION 'nobody changes his own roles'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'not_own_roles';
    END IF;
    IF TG_OP = 'INSERT' AND owned_by IS NOT NULL AND NEW.role IN ('system_admin', 'security_admin', 'audit_admin') THEN
        RAISE EXCEPTION 'a program with an owner never administers'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'owned_client_never_administers';
    END IF;
    RETURN changed;
END $$
"""

_GUARD_TRIGGER = """
CREATE TRIGGER role_assignment_guarded BEFORE INSERT OR UPDATE OR DELETE ON auth.role_assignment
    FOR EACH ROW EXECUTE FUNCTION auth.guard_role_assignment()
"""

_APPEND_ONLY = """
CREATE FUNCTION auth.refuse_rewriting() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'records are only added' USING ERRCODE = 'insufficient_privilege';
END $$
"""

-- What everything else stands on: the log, its head, keys, and state that is used once.
-- STRICT everywhere. A table whose rows decide trust has `log_index` and `mac` last (nexus/src/store/row.rs).

CREATE TABLE meta (
    name  TEXT NOT NULL PRIMARY KEY,
    value BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- One row per entry. `bytes` is what is hashed; the other columns are for filters and proofs and are recomputed at start.
CREATE TABLE audit (
    idx    INTEGER NOT NULL PRIMARY KEY,
    time   INTEGER NOT NULL,
    event  TEXT NOT NULL,
    tenant TEXT,
    bytes  BLOB NOT NULL,
    chain  BLOB NOT NULL,
    -- roots of the subtrees that this entry completed, from level 1 up (RFC 6962), 32 bytes each
    nodes  BLOB NOT NULL
) STRICT;
CREATE INDEX audit_tenant ON audit (tenant, idx);

CREATE TRIGGER audit_is_append_only_update BEFORE UPDATE ON audit
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
CREATE TRIGGER audit_is_append_only_delete BEFORE DELETE ON audit
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;

-- The latest signed head; older ones are proved by consistency proofs.
CREATE TABLE checkpoint (
    id   INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    note TEXT NOT NULL
) STRICT;

CREATE TABLE clock_accept (
    id        TEXT NOT NULL PRIMARY KEY,
    floor     INTEGER NOT NULL,
    wall      INTEGER NOT NULL,
    log_index INTEGER NOT NULL,
    mac       BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE tenant (
    id        TEXT NOT NULL PRIMARY KEY,
    name      TEXT NOT NULL UNIQUE,
    state     TEXT NOT NULL,
    created   INTEGER NOT NULL,
    log_index INTEGER NOT NULL,
    mac       BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE signing_key (
    tenant    TEXT NOT NULL,
    purpose   TEXT NOT NULL,
    version   INTEGER NOT NULL,
    algorithm TEXT NOT NULL,
    state     TEXT NOT NULL,
    public    BLOB NOT NULL,
    sealed    BLOB NOT NULL,
    created   INTEGER NOT NULL,
    log_index INTEGER NOT NULL,
    mac       BLOB NOT NULL,
    PRIMARY KEY (tenant, purpose, version)
) STRICT, WITHOUT ROWID;
CREATE INDEX signing_key_purpose ON signing_key (purpose);

-- One-time tokens: bootstrap, invite, claim. `id` is the first 16 bytes of `hash`, the SHA-256 of the secret.
CREATE TABLE token (
    kind      TEXT NOT NULL,
    id        BLOB NOT NULL,
    hash      BLOB NOT NULL,
    tenant    TEXT NOT NULL,
    subject   TEXT NOT NULL,
    expires   INTEGER NOT NULL,
    state     TEXT NOT NULL,
    log_index INTEGER NOT NULL,
    mac       BLOB NOT NULL,
    PRIMARY KEY (kind, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX token_tenant ON token (tenant);

-- Proofs for changes and releases, seen once (RFC 9449, 11.1).
CREATE TABLE replay (
    thumbprint BLOB NOT NULL,
    jti        BLOB NOT NULL,
    expires    INTEGER NOT NULL,
    PRIMARY KEY (thumbprint, jti)
) STRICT, WITHOUT ROWID;
CREATE INDEX replay_expires ON replay (expires);

-- The one outstanding nonce of a device or claim.
CREATE TABLE nonce (
    owner      TEXT NOT NULL PRIMARY KEY,
    purpose    TEXT NOT NULL,
    value      BLOB NOT NULL,
    issued     INTEGER NOT NULL,
    rejections INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
CREATE INDEX nonce_issued ON nonce (issued);

CREATE TABLE idempotency (
    owner   TEXT NOT NULL,
    key     TEXT NOT NULL,
    request BLOB NOT NULL,
    answer  BLOB NOT NULL,
    expires INTEGER NOT NULL,
    PRIMARY KEY (owner, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_expires ON idempotency (expires);

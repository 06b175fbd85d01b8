-- People: operators, their keys, invites, grants.

CREATE TABLE operator (
    id        TEXT NOT NULL PRIMARY KEY,
    name      TEXT NOT NULL,
    role      TEXT NOT NULL,
    tenant    TEXT,
    state     TEXT NOT NULL,
    created   INTEGER NOT NULL,
    log_index INTEGER NOT NULL,
    mac       BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX operator_tenant ON operator (tenant);
CREATE INDEX operator_role ON operator (role);

CREATE TABLE operator_key (
    id         TEXT NOT NULL PRIMARY KEY,
    operator   TEXT NOT NULL,
    thumbprint BLOB NOT NULL UNIQUE,
    algorithm  TEXT NOT NULL,
    public     BLOB NOT NULL,
    label      TEXT NOT NULL,
    state      TEXT NOT NULL,
    created    INTEGER NOT NULL,
    log_index  INTEGER NOT NULL,
    mac        BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX operator_key_operator ON operator_key (operator);
CREATE INDEX operator_key_thumbprint ON operator_key (thumbprint);

CREATE TABLE invite (
    id        TEXT NOT NULL PRIMARY KEY,
    tenant    TEXT,
    name      TEXT NOT NULL,
    role      TEXT NOT NULL,
    by        TEXT NOT NULL,
    token     BLOB NOT NULL UNIQUE,
    log_index INTEGER NOT NULL,
    mac       BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX invite_tenant ON invite (tenant);
CREATE INDEX invite_token ON invite (token);
CREATE INDEX invite_by ON invite (by);

CREATE TABLE grant_row (
    id        TEXT NOT NULL PRIMARY KEY,
    tenant    TEXT NOT NULL,
    operator  TEXT NOT NULL,
    ssh_ca    TEXT NOT NULL,
    host      TEXT,
    dpu       TEXT,
    logins    TEXT NOT NULL,
    expires   INTEGER NOT NULL,
    state     TEXT NOT NULL,
    log_index INTEGER NOT NULL,
    mac       BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX grant_row_tenant ON grant_row (tenant);
CREATE INDEX grant_row_operator ON grant_row (operator);

CREATE TABLE door (
    name      TEXT NOT NULL PRIMARY KEY,
    state     TEXT NOT NULL,
    log_index INTEGER NOT NULL,
    mac       BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- A challenge to somebody who joins: one for each token and key. It decides no trust: the token does.
CREATE TABLE join_challenge (
    id         TEXT NOT NULL PRIMARY KEY,
    kind       TEXT NOT NULL,
    token      BLOB NOT NULL,
    thumbprint BLOB NOT NULL,
    value      BLOB NOT NULL,
    expires    INTEGER NOT NULL,
    UNIQUE (token, thumbprint)
) STRICT, WITHOUT ROWID;
CREATE INDEX join_challenge_expires ON join_challenge (expires);

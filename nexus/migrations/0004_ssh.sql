-- SSH: authorities, what was pushed where, hosts and manifests, certificates.

CREATE TABLE ssh_ca (
    id          TEXT    NOT NULL PRIMARY KEY,
    tenant      TEXT    NOT NULL,
    name        TEXT    NOT NULL,
    created     INTEGER NOT NULL,
    next_serial INTEGER NOT NULL,
    user_krl    INTEGER NOT NULL,
    host_krl    INTEGER NOT NULL,
    log_index   INTEGER NOT NULL,
    mac         BLOB    NOT NULL,
    UNIQUE (tenant, name)
) STRICT;
CREATE INDEX ssh_ca_tenant ON ssh_ca (tenant);

CREATE TABLE ssh_push (
    device    TEXT    NOT NULL,
    ca        TEXT    NOT NULL,
    state     TEXT    NOT NULL,
    since     INTEGER NOT NULL,
    log_index INTEGER NOT NULL,
    mac       BLOB    NOT NULL,
    PRIMARY KEY (device, ca)
) STRICT;
CREATE INDEX ssh_push_device ON ssh_push (device);
CREATE INDEX ssh_push_ca ON ssh_push (ca);

CREATE TABLE host (
    id         TEXT    NOT NULL PRIMARY KEY,
    tenant     TEXT    NOT NULL,
    name       TEXT    NOT NULL,
    device     TEXT    NOT NULL,
    principals TEXT    NOT NULL,
    logins     TEXT    NOT NULL,
    sshd_key   TEXT    NOT NULL,
    trial_key  TEXT    NOT NULL,
    host_key   BLOB    NOT NULL,
    pairing    BLOB    NOT NULL,
    state      TEXT    NOT NULL,
    created    INTEGER NOT NULL,
    log_index  INTEGER NOT NULL,
    mac        BLOB    NOT NULL,
    UNIQUE (tenant, name)
) STRICT;
CREATE INDEX host_tenant ON host (tenant);
CREATE INDEX host_device ON host (device);

CREATE TABLE manifest (
    host        TEXT    NOT NULL PRIMARY KEY,
    sequence    INTEGER NOT NULL,
    content     BLOB    NOT NULL,
    body        BLOB    NOT NULL,
    signed      BLOB    NOT NULL,
    not_after   INTEGER NOT NULL,
    issued      INTEGER NOT NULL,
    certificate TEXT    NOT NULL,
    log_index   INTEGER NOT NULL,
    mac         BLOB    NOT NULL
) STRICT;

CREATE TABLE certificate (
    id           TEXT    NOT NULL PRIMARY KEY,
    tenant       TEXT    NOT NULL,
    ca           TEXT    NOT NULL,
    serial       INTEGER NOT NULL,
    kind         TEXT    NOT NULL,
    signer       BLOB    NOT NULL,
    key_id       TEXT    NOT NULL,
    principals   TEXT    NOT NULL,
    hosts        TEXT    NOT NULL,
    device       TEXT,
    operator     TEXT,
    request      TEXT    NOT NULL,
    valid_after  INTEGER NOT NULL,
    valid_before INTEGER NOT NULL,
    state        TEXT    NOT NULL,
    reason       TEXT,
    line         TEXT    NOT NULL,
    log_index    INTEGER NOT NULL,
    mac          BLOB    NOT NULL
) STRICT;
CREATE INDEX certificate_tenant ON certificate (tenant);
CREATE INDEX certificate_ca ON certificate (ca);
CREATE INDEX certificate_device ON certificate (device);
CREATE INDEX certificate_request ON certificate (request);
-- Which revoked ones a list must hold: a hint for finding rows, each of which is then checked.
CREATE INDEX certificate_revoked ON certificate (ca, state, valid_before);

-- What a host last reported of its manifest: the reporter's word, which decides nothing.
CREATE TABLE host_report (
    host     TEXT    NOT NULL PRIMARY KEY,
    sequence INTEGER NOT NULL,
    outcome  TEXT    NOT NULL,
    detail   TEXT    NOT NULL,
    at       INTEGER NOT NULL
) STRICT;

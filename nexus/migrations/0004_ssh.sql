-- SSH: authorities, what was pushed where, hosts and manifests, certificates.

CREATE TABLE ssh_ca (
    id          TEXT    NOT NULL PRIMARY KEY,
    tenant      TEXT    NOT NULL,
    name        TEXT    NOT NULL,
    created     INTEGER NOT NULL,
    next_serial INTEGER NOT NULL,
    log_index   INTEGER NOT NULL,
    mac         BLOB    NOT NULL,
    UNIQUE (tenant, name)
) STRICT;
CREATE INDEX ssh_ca_tenant ON ssh_ca (tenant);
CREATE INDEX ssh_ca_name ON ssh_ca (name);

CREATE TABLE ssh_krl (
    ca        TEXT    NOT NULL,
    kind      TEXT    NOT NULL,
    version   INTEGER NOT NULL,
    epoch     INTEGER NOT NULL,
    entries   BLOB    NOT NULL,
    log_index INTEGER NOT NULL,
    mac       BLOB    NOT NULL,
    PRIMARY KEY (ca, kind)
) STRICT;
CREATE INDEX ssh_krl_ca ON ssh_krl (ca);

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
    mac        BLOB    NOT NULL
) STRICT;
CREATE INDEX host_name ON host (name);
CREATE INDEX host_tenant ON host (tenant);
CREATE INDEX host_device ON host (device);

CREATE TABLE manifest (
    host        TEXT    NOT NULL PRIMARY KEY,
    sequence    INTEGER NOT NULL,
    content     BLOB    NOT NULL,
    signed      BLOB    NOT NULL,
    not_after   INTEGER NOT NULL,
    issued      INTEGER NOT NULL,
    certificate TEXT    NOT NULL,
    removes     INTEGER NOT NULL,
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
CREATE INDEX certificate_operator ON certificate (operator);
CREATE INDEX certificate_request ON certificate (request);

-- What a host last reported of its manifest: the reporter's word, which decides nothing.
CREATE TABLE host_report (
    host     TEXT    NOT NULL PRIMARY KEY,
    sequence INTEGER NOT NULL,
    outcome  TEXT    NOT NULL,
    detail   TEXT    NOT NULL,
    at       INTEGER NOT NULL
) STRICT;

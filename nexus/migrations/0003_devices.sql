-- Devices: identity, verdicts, claims, demands, reference values, secrets, bypasses; evidence, results and leases.

-- One DPU for good. What it is, what its last proof said, and since when that counts.
CREATE TABLE device (
    id            TEXT NOT NULL PRIMARY KEY,
    tenant        TEXT NOT NULL,
    name          TEXT NOT NULL,
    serial        TEXT NOT NULL,
    lifecycle     TEXT NOT NULL,
    attestation   TEXT NOT NULL,
    reasons       TEXT NOT NULL,
    -- the window of the last good proof: from its nonce's issue to `fresh_until`; both 0 where there is none
    fresh_from    INTEGER NOT NULL,
    fresh_until   INTEGER NOT NULL,
    proved_at     INTEGER,
    -- a nonce issued before this clears nothing
    barrier       INTEGER NOT NULL,
    -- a demand left unanswered past this ends freshness; NULL where none is open
    demand_until  INTEGER,
    result        TEXT,
    -- SHA-256 of the evidence behind it
    evidence      BLOB,
    reference     TEXT,
    -- pinned together; each is unique over all tenants
    dice          BLOB UNIQUE,
    ek_name       BLOB,
    ek_spki       BLOB UNIQUE,
    ak_name       BLOB UNIQUE,
    ek_ends       INTEGER,
    pcrs          TEXT NOT NULL,
    tpm_reset     INTEGER,
    tpm_restart   INTEGER,
    tpm_clock     INTEGER,
    root          TEXT NOT NULL,
    key_level     TEXT NOT NULL,
    runtime       TEXT NOT NULL,
    hpke          BLOB,
    channel_key   BLOB,
    epoch         INTEGER NOT NULL,
    effects       TEXT NOT NULL,
    log_index     INTEGER NOT NULL,
    mac           BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX device_name ON device (tenant, name);
CREATE INDEX device_tenant ON device (tenant);
CREATE INDEX device_by_name ON device (name);

-- Request keys of devices. A person's keys stand with the people.
CREATE TABLE device_key (
    id         TEXT NOT NULL PRIMARY KEY,
    device     TEXT NOT NULL,
    thumbprint BLOB NOT NULL UNIQUE,
    algorithm  TEXT NOT NULL,
    public     BLOB NOT NULL,
    state      TEXT NOT NULL,
    log_index  INTEGER NOT NULL,
    mac        BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX device_key_device ON device_key (device);

CREATE TABLE claim (
    id         TEXT NOT NULL PRIMARY KEY,
    tenant     TEXT NOT NULL,
    name       TEXT NOT NULL,
    serial     TEXT NOT NULL,
    ek         BLOB,
    dice       BLOB,
    rekey      TEXT,
    -- its hash, its end and whether it was used stand in `token`
    token      BLOB NOT NULL UNIQUE,
    log_index  INTEGER NOT NULL,
    mac        BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX claim_tenant ON claim (tenant);

-- The first call of an enrolment, until its second: whose keys, and what the TPM must give back. Its nonce stands in `nonce`.
CREATE TABLE enrolment (
    claim       TEXT NOT NULL PRIMARY KEY,
    thumbprint  BLOB NOT NULL,
    ek_name     BLOB,
    ek_spki     BLOB,
    ek_root     TEXT NOT NULL,
    ek_ends     INTEGER,
    ak_name     BLOB,
    -- the activation secret, sealed at rest
    activation  BLOB NOT NULL,
    log_index   INTEGER NOT NULL,
    mac         BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- The last demand of each device.
CREATE TABLE demand (
    device    TEXT NOT NULL PRIMARY KEY,
    id        TEXT NOT NULL UNIQUE,
    made      INTEGER NOT NULL,
    deadline  INTEGER NOT NULL,
    answered  INTEGER,
    log_index INTEGER NOT NULL,
    mac       BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE reference (
    id         TEXT NOT NULL PRIMARY KEY,
    tenant     TEXT NOT NULL,
    name       TEXT NOT NULL,
    version    INTEGER NOT NULL,
    digest     BLOB NOT NULL,
    body       BLOB NOT NULL,
    state      TEXT NOT NULL,
    taken      INTEGER NOT NULL,
    taken_from TEXT NOT NULL,
    applies_to TEXT NOT NULL,
    log_index  INTEGER NOT NULL,
    mac        BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX reference_version ON reference (tenant, name, version);
CREATE INDEX reference_tenant ON reference (tenant);
CREATE INDEX reference_by_name ON reference (name);

CREATE TABLE secret (
    id        TEXT NOT NULL PRIMARY KEY,
    tenant    TEXT NOT NULL,
    device    TEXT NOT NULL,
    name      TEXT NOT NULL,
    version   INTEGER NOT NULL,
    state     TEXT NOT NULL,
    size      INTEGER NOT NULL,
    put       INTEGER NOT NULL,
    -- sealed at rest; empty once withdrawn
    sealed    BLOB NOT NULL,
    log_index INTEGER NOT NULL,
    mac       BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX secret_name ON secret (device, name);
CREATE INDEX secret_tenant ON secret (tenant);
CREATE INDEX secret_device ON secret (device);

CREATE TABLE bypass (
    id        TEXT NOT NULL PRIMARY KEY,
    device    TEXT NOT NULL,
    action    TEXT NOT NULL,
    actor     TEXT NOT NULL,
    reason    TEXT NOT NULL,
    made      INTEGER NOT NULL,
    expires   INTEGER NOT NULL,
    state     TEXT NOT NULL,
    log_index INTEGER NOT NULL,
    mac       BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX bypass_device ON bypass (device);

-- What follows decides no trust.

-- Evidence as it came: the latest of each device, and what changed a state.
CREATE TABLE evidence (
    result  TEXT NOT NULL PRIMARY KEY,
    device  TEXT NOT NULL,
    keep    INTEGER NOT NULL, -- 1 where it changed a state
    bytes   BLOB NOT NULL,
    -- what it was verified against, to verify it again: purpose, subject of the session, nonce, request key; and the
    -- activation secret of an enrolment, spent and so no secret any more
    purpose TEXT NOT NULL,
    subject TEXT NOT NULL,
    nonce   BLOB NOT NULL,
    request BLOB NOT NULL,
    activation BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX evidence_device ON evidence (device, keep);

-- Attestation Results: EAR as JWT and the checks behind it.
CREATE TABLE result (
    id        TEXT NOT NULL PRIMARY KEY,
    device    TEXT NOT NULL,
    appraised INTEGER NOT NULL,
    body      BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX result_device ON result (device, appraised);

-- What is heard of a device between its verdicts.
CREATE TABLE device_heard (
    device         TEXT NOT NULL PRIMARY KEY,
    seen           INTEGER,
    rejected       INTEGER NOT NULL DEFAULT 0,
    last_rejection TEXT
) STRICT, WITHOUT ROWID;

-- When trust died by itself, to pace what follows from it.
CREATE TABLE device_fall (
    device TEXT NOT NULL,
    tenant TEXT NOT NULL,
    at     INTEGER NOT NULL,
    PRIMARY KEY (device, at)
) STRICT, WITHOUT ROWID;
CREATE INDEX device_fall_tenant ON device_fall (tenant, at);

-- What a device held when its trust died.
CREATE TABLE exposed (
    device TEXT NOT NULL,
    what   TEXT NOT NULL,
    at     INTEGER NOT NULL,
    PRIMARY KEY (device, what)
) STRICT, WITHOUT ROWID;

CREATE TABLE lease (
    id       TEXT NOT NULL PRIMARY KEY,
    device   TEXT NOT NULL,
    asked    TEXT NOT NULL,
    secret   TEXT NOT NULL,
    name     TEXT NOT NULL,
    version  INTEGER NOT NULL,
    result   TEXT NOT NULL,
    released INTEGER NOT NULL,
    expires  INTEGER NOT NULL,
    sealed   BLOB NOT NULL,
    -- waiting, acknowledged, wipe
    state    TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX lease_device ON lease (device, state);
CREATE INDEX lease_secret ON lease (secret);
CREATE INDEX lease_expires ON lease (expires);

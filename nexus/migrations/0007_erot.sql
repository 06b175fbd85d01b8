-- The external root of trust (eRoT) beside a DPU's own, pinned once a good proof has shown it. Rows from before have none, and are
-- covered by their MACs as they are.

CREATE TABLE device_new (
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
    erot          BLOB UNIQUE,
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
INSERT INTO device_new
    SELECT id, tenant, name, serial, lifecycle, attestation, reasons, fresh_from, fresh_until, proved_at, barrier,
           demand_until, result, evidence, reference, dice, NULL, ek_name, ek_spki, ak_name, ek_ends, pcrs, tpm_reset,
           tpm_restart, tpm_clock, root, key_level, runtime, hpke, channel_key, epoch, effects, log_index, mac
    FROM device;
DROP TABLE device;
ALTER TABLE device_new RENAME TO device;
CREATE UNIQUE INDEX device_name ON device (tenant, name);
CREATE INDEX device_tenant ON device (tenant);
CREATE INDEX device_by_name ON device (name);

-- Sets of reference values that come as signed manifests, and who may sign them. Rows from before have none of the new columns,
-- and are covered by their MACs as they are.

CREATE TABLE reference_new (
    id         TEXT NOT NULL PRIMARY KEY,
    tenant     TEXT NOT NULL,
    name       TEXT NOT NULL,
    version    INTEGER NOT NULL,
    digest     BLOB NOT NULL,
    body       BLOB NOT NULL,
    state      TEXT NOT NULL,
    taken      INTEGER NOT NULL,
    -- a device, or a manifest with its signer
    taken_from TEXT,
    applies_to TEXT NOT NULL,
    manifest   BLOB,
    signer     TEXT,
    log_index  INTEGER NOT NULL,
    mac        BLOB NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO reference_new
    SELECT id, tenant, name, version, digest, body, state, taken, taken_from, applies_to, NULL, NULL, log_index, mac FROM reference;
DROP TABLE reference;
ALTER TABLE reference_new RENAME TO reference;
CREATE UNIQUE INDEX reference_version ON reference (tenant, name, version);
CREATE INDEX reference_tenant ON reference (tenant);
CREATE INDEX reference_by_name ON reference (name);

CREATE TABLE reference_signer (
    tenant     TEXT NOT NULL,
    name       TEXT NOT NULL,
    kind       TEXT NOT NULL,
    -- SubjectPublicKeyInfo of a key, else a certificate, DER
    der        BLOB NOT NULL,
    state      TEXT NOT NULL,
    pinned     INTEGER NOT NULL,
    log_index  INTEGER NOT NULL,
    mac        BLOB NOT NULL,
    PRIMARY KEY (tenant, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX reference_signer_tenant ON reference_signer (tenant);

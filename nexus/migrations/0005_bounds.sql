-- Who made a claim: what is open of it goes with them. Rows from before have none, and are covered by their MACs as they are.

CREATE TABLE claim_new (
    id         TEXT NOT NULL PRIMARY KEY,
    tenant     TEXT NOT NULL,
    name       TEXT NOT NULL,
    serial     TEXT NOT NULL,
    ek         BLOB,
    dice       BLOB,
    rekey      TEXT,
    -- its hash, its end and whether it was used stand in `token`
    token      BLOB NOT NULL UNIQUE,
    by         TEXT,
    log_index  INTEGER NOT NULL,
    mac        BLOB NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO claim_new SELECT id, tenant, name, serial, ek, dice, rekey, token, NULL, log_index, mac FROM claim;
DROP TABLE claim;
ALTER TABLE claim_new RENAME TO claim;
CREATE INDEX claim_tenant ON claim (tenant);
CREATE INDEX claim_by ON claim (by);

-- How many certificates of a person run.
CREATE INDEX certificate_operator_end ON certificate (operator, valid_before);

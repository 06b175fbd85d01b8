//! OpenSSH key revocation lists, written as OpenSSH's PROTOCOL.krl describes them.
//!
//! Only what is needed here: certificates by serial, per CA key. A list that revokes nothing is a valid
//! file of its own; an empty file is not, and turns revocation off in sshd (design section 9).

use super::wire::{put_string, put_u32, put_u64};
use std::collections::{BTreeMap, BTreeSet};

const MAGIC: u64 = 0x5353_484b_524c_0a00;
const FORMAT_VERSION: u32 = 1;
const SECTION_CERTIFICATES: u8 = 1;
const CERTIFICATES_SERIAL_LIST: u8 = 0x20;
const CERTIFICATES_SERIAL_RANGE: u8 = 0x21;

/// What is revoked. Order of insertion does not matter: the same set gives the same bytes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Revoked {
    /// Serials by CA key (public key blob, RFC 4253 section 6.6).
    serials: BTreeMap<Vec<u8>, BTreeSet<u64>>,
}

impl Revoked {
    /// Revokes the certificate with this serial, signed by this CA key.
    pub(crate) fn certificate(&mut self, ca_key: &[u8], serial: u64) {
        self.serials
            .entry(ca_key.to_vec())
            .or_default()
            .insert(serial);
    }

    /// The list as a file. `version` grows with each change, `generated` is in seconds since the epoch.
    pub(crate) fn encode(&self, version: u64, generated: u64, comment: &str) -> Vec<u8> {
        let mut out = Vec::with_capacity(256);
        put_u64(&mut out, MAGIC);
        put_u32(&mut out, FORMAT_VERSION);
        put_u64(&mut out, version);
        put_u64(&mut out, generated);
        put_u64(&mut out, 0); // flags
        put_string(&mut out, b""); // reserved
        put_string(&mut out, comment.as_bytes());
        for (ca_key, serials) in &self.serials {
            section(
                &mut out,
                SECTION_CERTIFICATES,
                &certificates(ca_key, serials),
            );
        }
        out
    }
}

fn section(out: &mut Vec<u8>, kind: u8, data: &[u8]) {
    out.push(kind);
    put_string(out, data);
}

/// Runs of three and more become ranges, the rest one list.
fn certificates(ca_key: &[u8], serials: &BTreeSet<u64>) -> Vec<u8> {
    let mut data = Vec::new();
    put_string(&mut data, ca_key);
    put_string(&mut data, b""); // reserved
    let mut list = Vec::new();
    for (first, last) in runs(serials) {
        if last.saturating_sub(first) >= 2 {
            let mut range = Vec::with_capacity(16);
            put_u64(&mut range, first);
            put_u64(&mut range, last);
            section(&mut data, CERTIFICATES_SERIAL_RANGE, &range);
        } else {
            put_u64(&mut list, first);
            if last != first {
                put_u64(&mut list, last);
            }
        }
    }
    if !list.is_empty() {
        section(&mut data, CERTIFICATES_SERIAL_LIST, &list);
    }
    data
}

fn runs(serials: &BTreeSet<u64>) -> Vec<(u64, u64)> {
    let mut runs: Vec<(u64, u64)> = Vec::new();
    for serial in serials {
        match runs.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(*serial) => *last = *serial,
            _ => runs.push((*serial, *serial)),
        }
    }
    runs
}

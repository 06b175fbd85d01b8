//! The vectors that come beside the repository: `ASSAY_VECTORS`, else `../shared/vectors` from the repository's root.

use std::path::{Path, PathBuf};

/// The vectors of one folder; `None`, and a printed line, where there are none. In CI they must be there.
pub(crate) fn folder(name: &str) -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/vectors");
    let all = std::env::var_os("ASSAY_VECTORS").map_or(beside, PathBuf::from);
    let folder = all.join(name);
    if folder.is_dir() {
        return Some(folder);
    }
    assert!(
        std::env::var_os("CI").is_none(),
        "{} is needed in CI",
        folder.display()
    );
    println!("skipped: no vectors at {}", folder.display());
    None
}

/// Every certificate of a PEM file, as DER, in the order of the file.
pub(crate) fn pem(path: &Path) -> Vec<Vec<u8>> {
    let text = std::fs::read_to_string(path).unwrap();
    text.split("-----BEGIN CERTIFICATE-----")
        .skip(1)
        .map(|part| {
            let body: String = part
                .split("-----END")
                .next()
                .unwrap()
                .split_whitespace()
                .collect();
            <base64ct::Base64 as base64ct::Encoding>::decode_vec(&body).unwrap()
        })
        .collect()
}

/// SHA-256 or whatever else, as its hexadecimal.
pub(crate) fn unhex(text: &str) -> Vec<u8> {
    base16ct::lower::decode_vec(text).unwrap()
}

//! The JSON envelope of NVIDIA's RIM service: `{id, rim, sha256, last_updated, rim_format, ..}`.

use assay_attest::digest::sha256;
use serde_json::Value;

use super::kind::hex;
use super::{Rejection, encoding};

/// `CORIM` or `TCG`, where this is such an envelope.
#[must_use]
pub(crate) fn format(json: &Value) -> Option<&str> {
    json.get("rim").and_then(Value::as_str)?;
    json.get("sha256").and_then(Value::as_str)?;
    json.get("rim_format").and_then(Value::as_str)
}

/// The manifest in it. The digest shows that it came whole; who made it says its own signature.
///
/// # Errors
/// `rim.format`, `rim.malformed`, `rim.digest`.
pub(crate) fn unwrap(json: &Value, wanted: &str) -> Result<Vec<u8>, Rejection> {
    let found = format(json)
        .ok_or_else(|| Rejection::new("rim.malformed", "this is no answer of a rim service"))?;
    if found != wanted {
        let kind = if found == "TCG" { "rim-xml" } else { "corim" };
        return Err(Rejection::new(
            "rim.format",
            format!("the envelope holds the format `{found}`: use the kind `{kind}`"),
        ));
    }
    let text = |name: &str| json.get(name).and_then(Value::as_str).unwrap_or_default();
    let rim = encoding::from_base64(text("rim"))
        .ok_or_else(|| Rejection::new("rim.malformed", "`rim` is no base64"))?;
    if !text("sha256").eq_ignore_ascii_case(&hex(&sha256(&[&rim]))) {
        return Err(Rejection::new(
            "rim.digest",
            "`sha256` is not the digest of `rim`: fetch it again",
        ));
    }
    Ok(rim)
}

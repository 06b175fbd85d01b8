//! A request as a query string: flat, and only characters that every hop leaves alone, since the digest in a proof covers
//! the bytes on the wire.

use serde::Serialize;
use serde_json::Value;

/// `name=value&...` for a struct of strings, numbers and booleans; what is absent is left out.
pub(crate) fn encode(request: &impl Serialize) -> Result<String, String> {
    let fields = match serde_json::to_value(request).map_err(|e| e.to_string())? {
        Value::Object(fields) => fields,
        Value::Null => return Ok(String::new()),
        _ => return Err("its query is no struct".to_owned()),
    };
    let mut out = String::new();
    for (name, value) in fields {
        let text = match value {
            Value::Null => continue,
            Value::Bool(flag) => flag.to_string(),
            Value::Number(number) => number.to_string(),
            Value::String(text) => text,
            Value::Array(_) | Value::Object(_) => {
                return Err(format!("`{name}` can't stand in a query"));
            }
        };
        if !out.is_empty() {
            out.push('&');
        }
        escape(&name, &mut out);
        out.push('=');
        escape(&text, &mut out);
    }
    Ok(out)
}

fn escape(text: &str, out: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use assay_api::types::{Empty, InTenant};

    #[test]
    fn a_query_is_flat_and_escaped() {
        let request = InTenant {
            tenant: Some("a b&c=d/\u{e9}+%".into()),
            after: None,
            limit: Some(5),
        };
        let query = encode(&request).unwrap();
        let mut parts: Vec<_> = query.split('&').collect();
        parts.sort_unstable();
        assert_eq!(parts, ["limit=5", "tenant=a%20b%26c%3Dd%2F%C3%A9%2B%25"]);
        assert_eq!(encode(&Empty {}).unwrap(), "");
        assert!(encode(&serde_json::json!({"a": [1]})).is_err() && encode(&1).is_err());
    }
}

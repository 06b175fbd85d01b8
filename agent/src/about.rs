//! What this machine states of itself in a proof. The reporter's word: it may lower trust, never raise it.

use crate::boot::Boot;
use crate::config::Config;
use assay_attest::attester::Statement;
use assay_attest::limits;
use std::path::Path;

const SERIAL: &str = "/sys/class/dmi/id/product_serial";
const MODEL: &str = "/sys/class/dmi/id/product_name";

/// The statement, but for the uptime, which [`now`] fills in.
#[must_use]
pub fn statement(config: &Config, channel_key: [u8; 32], request_key: &[u8; 32]) -> Statement {
    let serial = config.serial.clone().or_else(|| dmi(SERIAL));
    // Without a serial, an id of its own (RFC 9711, 4.2.1.1, type RAND): it only has to be one and the same.
    let ueid = serial.is_none().then(|| {
        let mut ueid = vec![1];
        ueid.extend(request_key.iter().take(16));
        ueid
    });
    Statement {
        ueid,
        serial: serial.map(short),
        channel_key,
        agent_version: env!("CARGO_PKG_VERSION").to_owned(),
        boot_count: None,
        uptime: 0,
        hostname: nix::unistd::gethostname()
            .ok()
            .and_then(|name| name.into_string().ok())
            .map_or_else(|| "unknown".into(), short),
        hwmodel: config
            .model
            .clone()
            .or_else(|| dmi(MODEL))
            .map_or_else(|| "unknown".into(), short),
    }
}

/// The statement at this moment.
#[must_use]
pub fn now(statement: &Statement, boot: Boot) -> Statement {
    Statement {
        uptime: boot.as_millis() / 1000,
        ..statement.clone()
    }
}

fn dmi(path: &str) -> Option<String> {
    let bytes = crate::files::read(Path::new(path), 4096).ok()??;
    let text = String::from_utf8(bytes).ok()?;
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// Cut to what a claim may hold, at a character.
fn short(mut text: String) -> String {
    let mut end = limits::TEXT_BYTES;
    while !text.is_char_boundary(end.min(text.len())) {
        end = end.saturating_sub(1);
    }
    text.truncate(end);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_at_a_character() {
        assert_eq!(short("abc".into()), "abc");
        let long = short("ü".repeat(200));
        assert_eq!(long.len(), limits::TEXT_BYTES - 1);
    }

    #[test]
    fn a_statement_always_identifies_the_machine() {
        let config: Config = toml::from_str("serial = \"MT1\"").unwrap();
        let stated = statement(&config, [1; 32], &[2; 32]);
        assert_eq!(stated.serial.as_deref(), Some("MT1"));
        assert_eq!(stated.ueid, None);
        assert!(!stated.hostname.is_empty());
        assert_eq!(now(&stated, Boot::from_millis(7999)).uptime, 7);
    }
}

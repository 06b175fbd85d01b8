//! One context: a nexus, how to know it again, and who one is there. Nothing in it is secret.

use std::path::PathBuf;

use assay_api::htu::Htu;
use assay_api::id::{KeyId, OperatorId};
use assay_api::log::LogKey;
use assay_tls::Pins;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::fault::Fault;

/// A context as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Context {
    /// The nexus's URL.
    pub(crate) url: String,
    /// SHA-256 of its root's SubjectPublicKeyInfo.
    pub(crate) pin: Hex32,
    /// The same of the root that comes next, announced under the current one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) next_pin: Option<Hex32>,
    /// When the pins were last asked for, in seconds since the epoch.
    #[serde(default)]
    pub(crate) pins_checked: u64,
    /// The person.
    pub(crate) operator_id: OperatorId,
    /// The `kid` of proofs.
    pub(crate) key_id: KeyId,
    /// The person's name, for people.
    pub(crate) name: String,
    /// The key of the audit log, pinned at joining: `name+hash+key`.
    pub(crate) log_key: String,
    /// Where the private key is.
    pub(crate) key: KeyPlace,
}

/// Where a private key is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum KeyPlace {
    /// In an OpenSSH file.
    File(PathBuf),
    /// In ssh-agent, under this fingerprint (`SHA256:...`).
    Agent(String),
}

impl Context {
    /// The roots that are good for this nexus.
    #[must_use]
    pub(crate) fn pins(&self) -> Pins {
        Pins {
            current: self.pin.0,
            next: self.next_pin.map(|p| p.0),
        }
    }

    /// The nexus's URL.
    ///
    /// # Errors
    /// `context.broken`.
    pub(crate) fn url(&self) -> Result<Htu, Fault> {
        Htu::parse(&self.url).map_err(|e| broken(&e))
    }

    /// The audit log's key.
    ///
    /// # Errors
    /// `context.broken`.
    pub(crate) fn log_key(&self) -> Result<LogKey, Fault> {
        LogKey::parse(&self.log_key).map_err(|e| broken(&e))
    }
}

fn broken(why: &dyn std::fmt::Display) -> Fault {
    Fault::new(
        "context.broken",
        format!("the context can't be understood: {why}"),
    )
    .hint("mend it by hand, or remove it and join anew")
}

/// 32 bytes, written in hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hex32(pub(crate) [u8; 32]);

impl Hex32 {
    /// Reads 64 hexadecimal digits.
    #[must_use]
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        let read = base16ct::mixed::decode(text, &mut bytes).ok()?;
        (read.len() == 32).then_some(Self(bytes))
    }
}

impl std::fmt::Display for Hex32 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&base16ct::lower::encode_string(&self.0))
    }
}

impl std::fmt::Debug for Hex32 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self}")
    }
}

impl Serialize for Hex32 {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Hex32 {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(d)?)
            .ok_or_else(|| serde::de::Error::custom("expected 64 hexadecimal digits"))
    }
}

#[cfg(test)]
pub(crate) fn example() -> Context {
    let key = ed25519_dalek::SigningKey::from_bytes(&[7; 32]);
    let log_key = LogKey::new("nexus.example/log", key.verifying_key().as_bytes()).unwrap();
    Context {
        url: "https://127.0.0.1:8443/".into(),
        pin: Hex32([0xa1; 32]),
        next_pin: None,
        pins_checked: 0,
        operator_id: OperatorId::from_random(&[1; 16]),
        key_id: KeyId::from_random(&[2; 16]),
        name: "Ada".into(),
        log_key: log_key.to_string(),
        key: KeyPlace::File("/srv/ada/assay/keys/lab".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_context_reads_as_it_was_written_and_takes_nothing_else() {
        let context = example();
        let text = toml::to_string(&context).unwrap();
        assert_eq!(toml::from_str::<Context>(&text).unwrap(), context);
        assert!(toml::from_str::<Context>(&text.replace("a1a1", "a1a")).is_err());
        assert!(toml::from_str::<Context>(&format!("{text}\nmore = 1\n")).is_err());
        assert_eq!(context.pins().current, [0xa1; 32]);
        assert!(context.url().is_ok() && context.log_key().is_ok());
    }
}

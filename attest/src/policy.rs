//! The Appraisal Policy for Evidence (RFC 9334, 8.5): what a verdict asks of roots, key, runtime and components.

use crate::claims::KeyLevel;
use crate::codec::cbor::{self, Value};
use crate::digest::sha256;
use crate::reference::Component;
use crate::result::{RootLevel, RuntimeLevel};
use alloc::collections::BTreeSet;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

/// How the request key must be held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyPolicy {
    /// `key=tpm` only: the default.
    Tpm,
    /// `key=nonce` too: a tenant opts in, and every result says so.
    TpmOrNonce,
}

impl KeyPolicy {
    /// `tpm` or `tpm-or-nonce`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tpm => "tpm",
            Self::TpmOrNonce => "tpm-or-nonce",
        }
    }

    pub(crate) const fn accepts(self, level: KeyLevel) -> bool {
        match (self, level) {
            (Self::Tpm | Self::TpmOrNonce, KeyLevel::Tpm) | (Self::TpmOrNonce, KeyLevel::Nonce) => {
                true
            }
            (Self::Tpm, KeyLevel::Nonce) => false,
        }
    }
}

/// Which ends of a chain of trust count. `none` never does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RootPolicy {
    /// A vendor's root.
    pub vendor: bool,
    /// The operator's own root.
    pub operator: bool,
    /// Trust on first use, confirmed by an admin.
    pub tofu: bool,
}

impl RootPolicy {
    pub(crate) const fn accepts(self, level: RootLevel) -> bool {
        match level {
            RootLevel::Vendor => self.vendor,
            RootLevel::Operator => self.operator,
            RootLevel::Tofu => self.tofu,
            RootLevel::None => false,
        }
    }

    pub(crate) fn names(self) -> Vec<&'static str> {
        let all = [
            (self.vendor, "vendor"),
            (self.operator, "operator"),
            (self.tofu, "tofu"),
        ];
        all.into_iter()
            .filter(|(accepted, _)| *accepted)
            .map(|(_, name)| name)
            .collect()
    }
}

/// Whether the operating system must be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RuntimePolicy {
    /// It must.
    Measured,
    /// It need not; the result says which it is.
    Any,
}

impl RuntimePolicy {
    /// `measured` or `any`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Measured => "measured",
            Self::Any => "any",
        }
    }

    pub(crate) const fn accepts(self, level: RuntimeLevel) -> bool {
        match (self, level) {
            (Self::Measured | Self::Any, RuntimeLevel::Measured)
            | (Self::Any, RuntimeLevel::Unmeasured) => true,
            (Self::Measured, RuntimeLevel::Unmeasured) => false,
        }
    }
}

/// What is asked of Secure Boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SecureBootPolicy {
    /// The log of measured boot proves that it is on.
    Required,
    /// Nothing.
    Any,
}

impl SecureBootPolicy {
    /// `required` or `any`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Required => "required",
            Self::Any => "any",
        }
    }
}

/// What is made of violations in the IMA log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ViolationPolicy {
    /// One is enough to fail.
    Refused,
    /// They are reported, no more.
    Reported,
}

impl ViolationPolicy {
    /// `refused` or `reported`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Reported => "reported",
        }
    }
}

/// One version of a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppraisalPolicy {
    /// Its name.
    pub id: String,
    /// Its version; a change of anything below is a new one.
    pub version: u64,
    /// How the request key must be held.
    pub key: KeyPolicy,
    /// Which roots count.
    pub roots: RootPolicy,
    /// Whether the operating system must be measured.
    pub runtime: RuntimePolicy,
    /// Whether Secure Boot must be proved to be on.
    pub secure_boot: SecureBootPolicy,
    /// Whether IMA may have seen files that changed while they were in use.
    pub ima_violations: ViolationPolicy,
    /// Components that the reference values must require, whatever else they say.
    pub required: BTreeSet<Component>,
}

impl Default for AppraisalPolicy {
    /// `key=tpm`, any root that is one, any runtime, whatever the reference values require.
    fn default() -> Self {
        Self {
            id: "default".to_string(),
            version: 1,
            key: KeyPolicy::Tpm,
            roots: RootPolicy {
                vendor: true,
                operator: true,
                tofu: true,
            },
            runtime: RuntimePolicy::Any,
            secure_boot: SecureBootPolicy::Any,
            ima_violations: ViolationPolicy::Refused,
            required: BTreeSet::new(),
        }
    }
}

impl AppraisalPolicy {
    /// Canonical CBOR: `{1: id, 2: version, 3: key, 4: [root...], 5: runtime, 6: [component...], 7: secure boot,
    /// 8: ima violations}`.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let text = |text: &str| Value::Text(text.to_string());
        let roots = self.roots.names().into_iter().map(text).collect();
        let required = self
            .required
            .iter()
            .map(|component| text(&component.to_string()))
            .collect();
        let entries = [
            text(&self.id),
            Value::Integer(self.version.into()),
            text(self.key.as_str()),
            Value::Array(roots),
            text(self.runtime.as_str()),
            Value::Array(required),
            text(self.secure_boot.as_str()),
            text(self.ima_violations.as_str()),
        ];
        let entries = (1_u8..)
            .zip(entries)
            .map(|(key, value)| (Value::Integer(key.into()), value));
        cbor::encode(Value::Map(entries.collect()))
    }

    /// SHA-256 of the canonical encoding: results carry it.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        sha256(&[&self.to_bytes()])
    }
}

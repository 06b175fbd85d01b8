//! Detached bundles as NVIDIA's attestation service gives them: `[["JWT", overall], {name: token}]`, the overall token holding a digest of each other one.

use assay_attest::digest::sha256;
use serde_json::{Value, json};

use super::super::claimset::{ClaimSet, Wrap, token_signed};
use super::super::kind::hex;
use super::super::{Accepted, Claims, Rejection, With};
use super::missing;

/// Submodules of one bundle.
const SUBMODULES: usize = 64;

/// A bundle.
pub(super) struct Bundle {
    overall: ClaimSet,
    submods: Vec<Submodule>,
}

struct Submodule {
    name: String,
    set: ClaimSet,
    /// SHA-256 over the token as it stands.
    digest: String,
}

impl Bundle {
    pub(super) fn read(json: &Value) -> Result<Self, Rejection> {
        let no = || {
            Rejection::new(
                "evidence.malformed",
                "the json is no detached bundle: [[\"JWT\", token], {name: token}]",
            )
        };
        let parts = json.as_array().map(Vec::as_slice).ok_or_else(no)?;
        let [overall, submods] = parts else {
            return Err(no());
        };
        let token = match overall.as_array().map(Vec::as_slice) {
            Some([kind, token]) if kind == "JWT" => token.as_str(),
            Some(_) => None,
            None => overall.as_str(),
        };
        let overall = ClaimSet::of_jwt(token.ok_or_else(no)?)?;
        let all = submods
            .as_object()
            .filter(|all| all.len() <= SUBMODULES)
            .ok_or_else(no)?;
        let mut submods = Vec::new();
        for (name, token) in all {
            let token = match token.as_array().map(Vec::as_slice) {
                Some([kind, token]) if kind == "JWT" => token.as_str(),
                Some(_) => None,
                None => token.as_str(),
            }
            .ok_or_else(no)?;
            submods.push(Submodule {
                name: name.clone(),
                set: ClaimSet::of_jwt(token)?,
                digest: hex(&sha256(&[token.as_bytes()])),
            });
        }
        Ok(Self { overall, submods })
    }

    pub(super) fn describe(&self) -> Claims {
        let mut claims = super::describe(&self.overall);
        claims.insert("form".into(), "bundle".into());
        let submods: Claims = self
            .submods
            .iter()
            .map(|one| {
                let said = json!({
                    "digest_matches": self.stated(&one.name).as_deref() == Some(one.digest.as_str()),
                    "claims": one.set.claims,
                });
                (one.name.clone(), said)
            })
            .collect();
        claims.insert("submods".into(), submods.into());
        claims
    }

    /// The digest that the overall token states for a submodule.
    fn stated(&self, name: &str) -> Option<String> {
        let stated = self.overall.claims.get("submods")?.get(name)?;
        let [kind, value] = stated.as_array()?.as_slice() else {
            return None;
        };
        let [alg, digest] = value.as_array()?.as_slice() else {
            return None;
        };
        (kind == "DIGEST" && alg == "SHA-256")
            .then(|| digest.as_str().map(str::to_ascii_lowercase))?
    }

    /// Every token under the key set, every digest, one nonce for all, and what the service concluded.
    pub(super) fn verify(&self, with: &With<'_>) -> Result<Accepted, Rejection> {
        let mut claims = self.describe();
        let refuse = |rejection: Rejection| rejection.claims(&claims);
        for set in std::iter::once(&self.overall).chain(self.submods.iter().map(|one| &one.set)) {
            if let Wrap::Jwt(token) = &set.wrap {
                token_signed(token, with).map_err(refuse)?;
            }
        }
        let refuse = |rejection: Rejection| rejection.authenticated().claims(&claims);
        let stated = self
            .overall
            .claims
            .get("submods")
            .and_then(Value::as_object)
            .ok_or_else(|| refuse(missing("submods")))?;
        for name in stated.keys() {
            if !self.submods.iter().any(|one| one.name == *name) {
                return Err(refuse(Rejection::new(
                    "eat.submodule_missing",
                    format!("the bundle has no token for its submodule `{name}`"),
                )));
            }
        }
        for one in &self.submods {
            if self.stated(&one.name).as_deref() != Some(one.digest.as_str()) {
                return Err(refuse(Rejection::new(
                    "eat.submodule_digest",
                    format!(
                        "the token of the submodule `{}` is not the one whose digest is signed",
                        one.name
                    ),
                )));
            }
            if one.set.claims.get("eat_nonce") != self.overall.claims.get("eat_nonce") {
                return Err(refuse(Rejection::nonce()));
            }
            one.set.fresh(with).map_err(refuse)?;
        }
        let freshness = self.overall.fresh(with).map_err(refuse)?;
        if self.overall.claims.get("x-nvidia-overall-att-result") != Some(&Value::Bool(true)) {
            return Err(refuse(Rejection::new(
                "eat.result",
                "the attestation service did not find the devices good",
            )));
        }
        claims.insert("freshness".into(), freshness);
        Ok(Accepted {
            authenticated: true,
            claims,
        })
    }
}

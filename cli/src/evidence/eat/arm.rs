//! Arm: PSA attestation tokens (RFC 9783) and those before it, CCA platform and realm tokens (Arm DEN0137, the RMM specification, A7.2).

use assay_attest::codec::cbor::{self, Form, Value as Cbor};
use assay_attest::codec::cose_sign::Message;
use assay_attest::digest::HashAlg;
use assay_attest::key::PublicKey;
use serde_json::json;

use super::super::claimset::{ClaimSet, Wrap, unsigned};
use super::super::kind::hex;
use super::super::{Accepted, Claims, Rejection, With, keys};
use super::{malformed, missing};

const NONCE: i64 = 10;
const INSTANCE: i64 = 256;
const PROFILE: i64 = 265;
/// RFC 9783 has taken 268 for it.
const BOOT_SEED: i64 = 268;
const BOOT_SEED_BEFORE: i64 = 2397;
const CLIENT: i64 = 2394;
const LIFECYCLE: i64 = 2395;
const IMPLEMENTATION: i64 = 2396;
const COMPONENTS: i64 = 2399;
const PLATFORM_CONFIG: i64 = 2401;
const PLATFORM_HASH: i64 = 2402;
const PLATFORM_TOKEN: i64 = 44234;
const PERSONALIZATION: i64 = 44235;
const REALM_HASH: i64 = 44236;
const REALM_KEY: i64 = 44237;
const INITIAL: i64 = 44238;
const EXTENSIBLE: i64 = 44239;
const REALM_KEY_HASH: i64 = 44240;
const REALM_TOKEN: i64 = 44241;
/// The tag of a CCA token.
const CCA: u64 = 399;
const LIMIT: usize = 1024 * 1024;

/// Which of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Profile {
    /// PSA_IOT_PROFILE_1, with labels of its own.
    Psa1,
    /// PSA 2.0 and RFC 9783.
    Psa2,
    /// CCA platform.
    Platform,
    /// CCA realm.
    Realm,
}

impl Profile {
    /// By the profile that is named, else by labels that no other has.
    pub(super) fn of(set: &ClaimSet) -> Option<Self> {
        let cbor = set.cbor.as_ref()?;
        let named = |label| get(cbor, label).and_then(Cbor::as_text).unwrap_or_default();
        match named(PROFILE) {
            "http://arm.com/CCA-SSD/1.0.0" => return Some(Self::Platform),
            text if text.starts_with("tag:arm.com,2023:cca_platform#")
                || text.starts_with("tag:arm.com,2024:cca_platform#") =>
            {
                return Some(Self::Platform);
            }
            text if text.starts_with("tag:arm.com,2023:realm#") => return Some(Self::Realm),
            "http://arm.com/psa/2.0.0"
            | "tag:psacertified.org,2023:psa#tfm"
            | "tag:psacertified.org,2019:psa#legacy" => return Some(Self::Psa2),
            _ => {}
        }
        let has = |label| get(cbor, label).is_some();
        if (PERSONALIZATION..=REALM_KEY_HASH).any(has) {
            Some(Self::Realm)
        } else if has(PLATFORM_CONFIG) || has(PLATFORM_HASH) {
            Some(Self::Platform)
        } else if named(-75000) == "PSA_IOT_PROFILE_1" || (has(-75003) && has(-75002)) {
            Some(Self::Psa1)
        } else if has(CLIENT) || has(IMPLEMENTATION) {
            Some(Self::Psa2)
        } else {
            None
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Psa1 => "psa1",
            Self::Psa2 => "psa",
            Self::Platform => "cca_platform",
            Self::Realm => "cca_realm",
        }
    }
}

pub(super) fn describe(set: &ClaimSet, profile: Profile) -> Claims {
    let mut claims = super::describe(set);
    claims.insert("token".into(), profile.name().into());
    if let Some(cbor) = &set.cbor {
        let label = if profile == Profile::Psa1 {
            -75002
        } else {
            LIFECYCLE
        };
        if let Some(word) = get(cbor, label).and_then(unsigned_of).map(lifecycle) {
            claims.insert("lifecycle".into(), word.into());
        }
    }
    claims
}

/// The claims that the profile asks for, with the lengths that it gives them.
pub(super) fn check(set: &ClaimSet, profile: Profile) -> Result<(), Rejection> {
    let cbor = set.cbor.as_ref().ok_or_else(|| missing("eat_profile"))?;
    match profile {
        Profile::Psa1 => psa(
            cbor,
            [-75008, -75009, -75003, -75001, -75002, -75006, -75004],
            true,
        ),
        Profile::Psa2 => psa(
            cbor,
            [
                NONCE,
                INSTANCE,
                IMPLEMENTATION,
                CLIENT,
                LIFECYCLE,
                COMPONENTS,
                BOOT_SEED,
            ],
            false,
        ),
        Profile::Platform => {
            text(cbor, PROFILE, "eat_profile")?;
            bytes(cbor, NONCE, "eat_nonce", &[32, 48, 64])?;
            bytes(cbor, IMPLEMENTATION, "implementation_id", &[32])?;
            instance(cbor, INSTANCE)?;
            get(cbor, PLATFORM_CONFIG)
                .ok_or_else(|| missing("cca_platform_config"))?
                .as_bytes()
                .ok_or_else(|| malformed("cca_platform_config"))?;
            lifecycle_of(cbor, LIFECYCLE)?;
            text(cbor, PLATFORM_HASH, "cca_platform_hash_algorithm")?;
            components(cbor, COMPONENTS)
        }
        Profile::Realm => {
            bytes(cbor, NONCE, "eat_nonce", &[64])?;
            bytes(
                cbor,
                PERSONALIZATION,
                "cca_realm_personalization_value",
                &[64],
            )?;
            text(cbor, REALM_HASH, "cca_realm_hash_algorithm")?;
            text(cbor, REALM_KEY_HASH, "cca_realm_public_key_hash_algorithm")?;
            bytes(
                cbor,
                INITIAL,
                "cca_realm_initial_measurement",
                &[32, 48, 64],
            )?;
            let all = get(cbor, EXTENSIBLE)
                .ok_or_else(|| missing("cca_realm_extensible_measurements"))?
                .as_array()
                .filter(|all| all.len() == 4)
                .ok_or_else(|| malformed("cca_realm_extensible_measurements"))?;
            if all.iter().any(|one| !is_digest(one)) {
                return Err(malformed("cca_realm_extensible_measurements"));
            }
            realm_key(cbor).map(|_| ())
        }
    }
}

fn psa(cbor: &Cbor, labels: [i64; 7], first: bool) -> Result<(), Rejection> {
    let [nonce, own, implementation, client, life, software, seed] = labels;
    bytes(cbor, nonce, "eat_nonce", &[32, 48, 64])?;
    instance(cbor, own)?;
    bytes(cbor, implementation, "implementation_id", &[32])?;
    get(cbor, client)
        .ok_or_else(|| missing("psa_client_id"))?
        .as_integer()
        .and_then(|id| i32::try_from(i128::from(id)).ok())
        .ok_or_else(|| malformed("psa_client_id"))?;
    lifecycle_of(cbor, life)?;
    let seed = get(cbor, seed).or_else(|| get(cbor, BOOT_SEED_BEFORE));
    match seed.map(Cbor::as_bytes) {
        None => {}
        Some(Some(seed)) if (8..=32).contains(&seed.len()) => {}
        Some(_) => return Err(malformed("bootseed")),
    }
    // The profile before may say in a claim of its own that there are no measurements.
    if first && get(cbor, software).is_none() && get(cbor, -75007).is_some() {
        return Ok(());
    }
    components(cbor, software)
}

fn components(cbor: &Cbor, label: i64) -> Result<(), Rejection> {
    let all = get(cbor, label)
        .ok_or_else(|| missing("software_components"))?
        .as_array()
        .filter(|all| !all.is_empty())
        .ok_or_else(|| malformed("software_components"))?;
    for one in all {
        // measurement-value and signer-id (RFC 9783, 4.4.1).
        let sound = one.is_map()
            && [2, 5]
                .into_iter()
                .all(|l| get(one, l).is_some_and(is_digest));
        if !sound {
            return Err(malformed("software_components"));
        }
    }
    Ok(())
}

fn instance(cbor: &Cbor, label: i64) -> Result<(), Rejection> {
    let id = bytes(cbor, label, "ueid", &[33])?;
    if id.first() == Some(&1) {
        Ok(())
    } else {
        Err(malformed("ueid"))
    }
}

fn lifecycle_of(cbor: &Cbor, label: i64) -> Result<(), Rejection> {
    get(cbor, label)
        .ok_or_else(|| missing("security_lifecycle"))
        .and_then(|value| {
            unsigned_of(value)
                .filter(|value| *value <= 0x60ff)
                .ok_or_else(|| malformed("security_lifecycle"))
        })
        .map(|_| ())
}

/// RFC 9783, 4.3.1, table 1; CCA has the same steps.
const fn lifecycle(value: u64) -> &'static str {
    match value >> 8 {
        0x00 => "unknown",
        0x10 => "assembly_and_test",
        0x20 => "rot_provisioning",
        0x30 => "secured",
        0x40 => "debug_of_others",
        0x50 => "recoverable_debug_of_rot",
        0x60 => "decommissioned",
        _ => "invalid",
    }
}

/// A platform token and a realm token.
pub(super) struct Pair {
    platform: ClaimSet,
    realm: ClaimSet,
}

impl Pair {
    /// `None` where the bytes are something else.
    pub(super) fn read(bytes: &[u8]) -> Result<Option<Self>, Rejection> {
        // Tag 399 in its only short encoding: looked at first, so that other files cost nothing.
        if !bytes.starts_with(&[0xd9, 0x01, 0x8f]) {
            return Ok(None);
        }
        let Cbor::Tag(CCA, inner) = cbor::decode("the cca token", bytes, LIMIT, Form::WellFormed)?
        else {
            return Ok(None);
        };
        let part = |label, name: &str| {
            get(&inner, label)
                .and_then(Cbor::as_bytes)
                .ok_or_else(|| missing(name))
                .and_then(|bytes| ClaimSet::of_cbor(bytes))
        };
        Ok(Some(Self {
            platform: part(PLATFORM_TOKEN, "cca_platform_token")?,
            realm: part(REALM_TOKEN, "cca_realm_token")?,
        }))
    }

    pub(super) fn describe(&self, provider: Option<&str>) -> Claims {
        let mut claims = Claims::new();
        let form = if provider.is_some() { "tsm" } else { "cwt" };
        claims.insert("form".into(), form.into());
        if let Some(provider) = provider {
            claims.insert("provider".into(), provider.into());
        }
        claims.insert("token".into(), "cca".into());
        let part = |set, profile| json!(describe(set, profile));
        claims.insert("platform".into(), part(&self.platform, Profile::Platform));
        claims.insert("realm".into(), part(&self.realm, Profile::Realm));
        claims
    }

    /// The platform by the caller's key, the realm by the key that the platform vouches for.
    pub(super) fn verify(
        &self,
        provider: Option<&str>,
        with: &With<'_>,
    ) -> Result<Accepted, Rejection> {
        let mut claims = self.describe(provider);
        let (Wrap::Cwt(_), Wrap::Cwt(realm)) = (&self.platform.wrap, &self.realm.wrap) else {
            unsigned(with)?;
            return Err(Rejection::new(
                "token.unsigned",
                "a cca token's parts must both be signed",
            ));
        };
        let (_, signer) = self
            .platform
            .authenticate(with)
            .map_err(|rejection| rejection.claims(&claims))?;
        claims.extend(signer);
        let refuse = |rejection: Rejection| rejection.authenticated().claims(&claims);
        check(&self.platform, Profile::Platform).map_err(refuse)?;
        check(&self.realm, Profile::Realm).map_err(refuse)?;
        self.bound(realm, with).map_err(refuse)?;
        let freshness = self.realm.fresh(with).map_err(refuse)?;
        claims.insert("freshness".into(), freshness);
        Ok(Accepted {
            authenticated: true,
            claims,
        })
    }

    /// The platform's challenge is the hash of the realm's key, and that key signed the realm's claims.
    fn bound(&self, realm: &Message, with: &With<'_>) -> Result<(), Rejection> {
        let cbor = self
            .realm
            .cbor
            .as_ref()
            .ok_or_else(|| missing("cca_realm_public_key"))?;
        let alg = match text(cbor, REALM_KEY_HASH, "cca_realm_public_key_hash_algorithm")? {
            "sha-256" => HashAlg::Sha256,
            "sha-384" => HashAlg::Sha384,
            "sha-512" => HashAlg::Sha512,
            _ => return Err(malformed("cca_realm_public_key_hash_algorithm")),
        };
        let (bytes, key) = realm_key(cbor)?;
        let digest = alg.hash(&[bytes]);
        if !self
            .platform
            .nonces()
            .iter()
            .any(|nonce| nonce.as_slice() == digest.bytes())
        {
            return Err(Rejection::new(
                "eat.realm_key",
                format!(
                    "the platform does not vouch for the realm's key: its challenge is not {}",
                    hex(digest.bytes())
                ),
            ));
        }
        let signature = realm
            .signatures()
            .first()
            .ok_or_else(|| missing("signature"))?;
        realm.verify(signature, &key, &[], None, with.check)?;
        Ok(())
    }
}

/// The realm's key, as it stands and as a key: a COSE_Key, or the bare point of P-384.
fn realm_key(cbor: &Cbor) -> Result<(&[u8], PublicKey), Rejection> {
    let bytes = get(cbor, REALM_KEY)
        .ok_or_else(|| missing("cca_realm_public_key"))?
        .as_bytes()
        .ok_or_else(|| malformed("cca_realm_public_key"))?;
    let key = match <[u8; 97]>::try_from(bytes.as_slice()) {
        Ok(point) if point.first() == Some(&4) => Some(PublicKey::P384(Box::new(point))),
        _ => keys::from_cose(bytes).map(|(_, key)| key),
    };
    key.map(|key| (bytes.as_slice(), key))
        .ok_or_else(|| malformed("cca_realm_public_key"))
}

fn get(of: &Cbor, label: i64) -> Option<&Cbor> {
    let label = Cbor::from(label);
    of.as_map()?
        .iter()
        .find(|(found, _)| *found == label)
        .map(|(_, value)| value)
}

fn bytes<'a>(
    of: &'a Cbor,
    label: i64,
    name: &str,
    lengths: &[usize],
) -> Result<&'a [u8], Rejection> {
    get(of, label)
        .ok_or_else(|| missing(name))?
        .as_bytes()
        .filter(|bytes| lengths.contains(&bytes.len()))
        .map(Vec::as_slice)
        .ok_or_else(|| malformed(name))
}

fn text<'a>(of: &'a Cbor, label: i64, name: &str) -> Result<&'a str, Rejection> {
    get(of, label)
        .ok_or_else(|| missing(name))?
        .as_text()
        .ok_or_else(|| malformed(name))
}

fn is_digest(value: &Cbor) -> bool {
    value
        .as_bytes()
        .is_some_and(|bytes| matches!(bytes.len(), 32 | 48 | 64))
}

fn unsigned_of(value: &Cbor) -> Option<u64> {
    u64::try_from(i128::from(value.as_integer()?)).ok()
}

#[cfg(test)]
mod tests {
    use assay_checks::AwsLc;

    use super::super::super::encoding;
    use super::*;

    /// Whose key signs the platform token is not known; that the platform vouches for the realm's key, and this for the claims, can be seen.
    #[test]
    fn the_realm_of_a_real_token_is_bound_to_its_platform() {
        let beside = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/vectors");
        let all = std::env::var_os("ASSAY_VECTORS").map_or(beside, std::path::PathBuf::from);
        let Ok(report) = std::fs::read(all.join("eat-composite/ratsd-ex-basic-arm-cca.json"))
        else {
            return;
        };
        let report: serde_json::Value = serde_json::from_slice(&report).unwrap();
        let bytes = encoding::from_base64(report["outblob"].as_str().unwrap()).unwrap();
        let mut pair = Pair::read(&bytes).unwrap().unwrap();
        check(&pair.platform, Profile::Platform).unwrap();
        check(&pair.realm, Profile::Realm).unwrap();
        let with = With {
            chain: None,
            roots: Vec::new(),
            key: None,
            nonce: None,
            at: assay_attest::time::Timestamp::from_secs(1_700_000_000),
            pcrs: None,
            signature: None,
            references: Vec::new(),
            root_from_chain: false,
            check: &AwsLc,
        };
        let Wrap::Cwt(realm) = &pair.realm.wrap else {
            panic!("the realm token is not signed");
        };
        let realm = realm.clone();
        pair.bound(&realm, &with).unwrap();
        // Another platform does not vouch for it.
        pair.platform.cbor = Some(Cbor::Map(vec![(Cbor::from(10), Cbor::Bytes(vec![0; 32]))]));
        assert_eq!(pair.bound(&realm, &with).unwrap_err().code, "eat.realm_key");
    }
}

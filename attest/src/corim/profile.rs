//! Profiles (draft-ietf-rats-corim-11, 4.1.4): what a scheme asks of its manifests. An unknown profile is refused: whoever
//! does not know it can't know what its values mean.

use alloc::string::ToString as _;
use core::fmt;

use super::model::*;
use super::values::*;
use crate::refusal::Refusal;

/// The profiles that are understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// PSA (draft-fdb-rats-psa-endorsements).
    Psa,
    /// PSA, before 2025: tags 600 and 601.
    PsaOld,
    /// Arm CCA platform (draft-ydb-rats-cca-endorsements).
    CcaPlatform,
    /// Arm CCA platform, before 2025: tags 600 to 602.
    CcaPlatformOld,
    /// Arm CCA realm.
    CcaRealm,
    /// Arm CCA realm, before 2025.
    CcaRealmOld,
    /// Parsec with a TPM: PCRs by number, attestation keys.
    ParsecTpm,
    /// Parsec on Arm CCA.
    ParsecCca,
    /// RIoT devices: trust anchors only.
    Riot,
    /// EnactTrust agents with a TPM.
    EnactTrust,
    /// SPDM devices (draft-poirier-rats-eat-da).
    DeviceSpdm,
    /// Ours: measurement keys are names of components.
    Assay,
}

/// Each profile's names; the first one is the one to write.
const NAMES: [(Profile, &[&str]); 12] = [
    (Profile::Psa, &["tag:arm.com,2025:psa#1.0.0"]),
    (Profile::PsaOld, &["http://arm.com/psa/iot/1"]),
    (
        Profile::CcaPlatform,
        &["tag:arm.com,2025:cca_platform#1.0.0"],
    ),
    (
        Profile::CcaPlatformOld,
        &[
            "tag:arm.com,2023:cca_platform#1.0.0",
            "http://arm.com/cca/ssd/1",
        ],
    ),
    (Profile::CcaRealm, &["tag:arm.com,2025:cca_realm#1.0.0"]),
    (
        Profile::CcaRealmOld,
        &["tag:arm.com,2023:realm#1.0.0", "http://arm.com/cca/realm/1"],
    ),
    (
        Profile::ParsecTpm,
        &["tag:github.com/parallaxsecond,2023-03-03:tpm"],
    ),
    (
        Profile::ParsecCca,
        &["tag:github.com/parallaxsecond,2023-03-03:cca"],
    ),
    (Profile::Riot, &["tag:veraison-project.com,2026:riot"]),
    (
        Profile::EnactTrust,
        &["https://enacttrust.com/veraison/1.0.0"],
    ),
    (
        Profile::DeviceSpdm,
        &["tag:linaro.org,2025:device-spdm#1.0.0"],
    ),
    (Profile::Assay, &["tag:assay,2026:reference#1"]),
];

impl Profile {
    /// By its URI.
    ///
    /// # Errors
    /// [`Refusal::CorimProfile`].
    pub fn of_uri(uri: &str) -> Result<Self, Refusal> {
        let known = NAMES.iter().find(|(_, names)| names.contains(&uri));
        known
            .map(|(profile, _)| *profile)
            .ok_or_else(|| Refusal::CorimProfile {
                found: uri.chars().take(128).collect(),
            })
    }

    /// By its object identifier: none is known.
    pub(super) fn of_oid(oid: &[u8]) -> Result<Self, Refusal> {
        Err(Refusal::CorimProfile {
            found: alloc::format!("oid {}", crate::digest::hex(oid)),
        })
    }

    /// Its URI.
    #[must_use]
    pub fn uri(self) -> &'static str {
        let named = NAMES.iter().find(|(profile, _)| *profile == self);
        named
            .and_then(|(_, names)| names.first())
            .copied()
            .unwrap_or_default()
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.uri())
    }
}

type Checked = Result<(), &'static str>;

/// Whether a manifest says all that its profile asks, and only what it allows.
pub(super) fn check(corim: &Corim) -> Result<(), Refusal> {
    let comids = || {
        corim.tags.iter().filter_map(|tag| match tag {
            Tag::Comid(comid) => Some(&comid.triples),
            Tag::Coswid(_) | Tag::Cotl(_) => None,
        })
    };
    let Some(profile) = corim.profile else {
        // These names mean something only under the profile that defines them.
        let foreign = comids()
            .flat_map(|triples| &triples.reference)
            .flat_map(|t| &t.measurements);
        let mut named = foreign.filter_map(|measurement| match &measurement.key {
            Some(Mkey::Text(text)) if text.starts_with("psa.") || text.starts_with("cca.") => {
                Some(text)
            }
            _ => None,
        });
        return match named.next() {
            Some(key) => Err(Refusal::CorimProfileMissing { key: key.clone() }),
            None => Ok(()),
        };
    };
    for triples in comids() {
        scheme(profile, triples).map_err(|why| Refusal::CorimScheme {
            profile: profile.to_string(),
            why,
        })?;
    }
    Ok(())
}

fn scheme(profile: Profile, triples: &Triples) -> Checked {
    match profile {
        Profile::Psa | Profile::PsaOld => {
            let old = profile == Profile::PsaOld;
            for triple in &triples.reference {
                implementation(&triple.environment)?;
                no_instance(&triple.environment, old)?;
                each(triple, |m| psa_component(m, old))?;
            }
            keys(triples, |triple| arm_key(triple, old))
        }
        Profile::CcaPlatform | Profile::CcaPlatformOld | Profile::ParsecCca => {
            for triple in &triples.reference {
                cca_platform(triple)?;
            }
            keys(triples, |triple| {
                arm_key(triple, profile != Profile::CcaPlatform)
            })
        }
        Profile::CcaRealm => triples.reference.iter().try_for_each(cca_realm),
        Profile::CcaRealmOld => {
            if !triples.attest_key.is_empty() || !triples.identity.is_empty() {
                return Err("a realm has no keys");
            }
            triples.reference.iter().try_for_each(|triple| {
                if !matches!(triple.environment.instance, Some(Instance::Bytes(_))) {
                    return Err("the instance must be bytes");
                }
                each(triple, |m| {
                    match (&m.values.raw, m.values.registers.is_empty()) {
                        (Some(_), false) => Ok(()),
                        (None, _) => Err("the personalisation value is missing"),
                        (_, true) => Err("the integrity registers are missing"),
                    }
                })
            })
        }
        Profile::ParsecTpm => {
            for triple in &triples.reference {
                parsec_environment(&triple.environment)?;
                no_instance(&triple.environment, true)?;
                each(triple, |m| match (&m.key, m.values.digests.is_empty()) {
                    (Some(Mkey::Uint(_)), false) => Ok(()),
                    (Some(Mkey::Uint(_)), true) => Err("a pcr has no digests"),
                    (Some(_), _) => Err("a measurement key is no pcr number"),
                    (None, _) => Err("a measurement has no key"),
                })?;
            }
            keys(triples, |triple| {
                parsec_environment(&triple.environment)?;
                if !matches!(triple.environment.instance, Some(Instance::Bytes(_))) {
                    return Err("the instance of a key must be bytes");
                }
                one_public_key(triple)
            })
        }
        Profile::Riot => {
            if !triples.reference.is_empty() {
                return Err("it has no reference values");
            }
            keys(triples, |triple| {
                let class = triple
                    .environment
                    .class
                    .as_ref()
                    .ok_or("the class is missing")?;
                match (class.vendor.as_deref(), class.model.as_deref()) {
                    (Some("Veraison Project"), Some("RIOT")) => {}
                    (None, _) => return Err("the vendor is missing"),
                    (_, None) => return Err("the model is missing"),
                    (Some(_), Some(_)) => {
                        return Err("vendor and model are not those of the scheme");
                    }
                }
                let certificate = |key: &CryptoKey| {
                    matches!(key, CryptoKey::PkixCert(_) | CryptoKey::PkixPath(_))
                };
                triple
                    .keys
                    .iter()
                    .all(certificate)
                    .then_some(())
                    .ok_or("a trust anchor must be a certificate or a path")
            })
        }
        Profile::EnactTrust => {
            let environment = |environment: &Environment| match environment {
                Environment {
                    class: None,
                    instance: Some(Instance::Uuid(_)),
                    group: None,
                } => Ok(()),
                _ => Err("the environment must be an instance by uuid, and nothing else"),
            };
            for triple in &triples.reference {
                environment(&triple.environment)?;
                match triple.measurements.as_slice() {
                    [one] if one.values.digests.len() == 1 => {}
                    _ => return Err("there must be one measurement with one digest"),
                }
            }
            keys(triples, |triple| {
                environment(&triple.environment)?;
                one_public_key(triple)
            })
        }
        Profile::DeviceSpdm => triples.reference.iter().try_for_each(|triple| {
            let environment = &triple.environment;
            if environment.instance.is_some() || environment.group.is_some() {
                return Err("only a class may be named");
            }
            match environment
                .class
                .as_ref()
                .and_then(|class| class.id.as_ref())
            {
                Some(ClassId::Bytes(id)) if core::str::from_utf8(id).is_ok() => {}
                _ => return Err("the class id must be bytes that are a text"),
            }
            each(triple, |m| {
                let Some(Mkey::Uint(_)) = m.key else {
                    return Err("a measurement key is no index");
                };
                match (&m.values.name, m.values.digests.is_empty(), &m.values.raw) {
                    (None, ..) => Err("a measurement has no name"),
                    (_, true, None) => Err("a measurement has neither digests nor a raw value"),
                    (_, false, Some(_)) => Err("a measurement has digests and a raw value"),
                    (_, _, _) => Ok(()),
                }
            })
        }),
        Profile::Assay => triples.reference.iter().try_for_each(|triple| {
            each(triple, |m| match m.key {
                Some(Mkey::Text(_)) => Ok(()),
                Some(_) | None => Err("a measurement key is no component"),
            })
        }),
    }
}

fn each(triple: &ValueTriple, check: impl FnMut(&Measurement) -> Checked) -> Checked {
    triple.measurements.iter().try_for_each(check)
}

fn keys(triples: &Triples, check: impl FnMut(&KeyTriple) -> Checked) -> Checked {
    triples
        .attest_key
        .iter()
        .chain(&triples.identity)
        .try_for_each(check)
}

fn no_instance(environment: &Environment, asked: bool) -> Checked {
    if asked && (environment.instance.is_some() || environment.group.is_some()) {
        return Err("reference values name an instance or group");
    }
    Ok(())
}

fn implementation(environment: &Environment) -> Checked {
    match environment
        .class
        .as_ref()
        .and_then(|class| class.id.as_ref())
    {
        Some(ClassId::ImplementationId(_)) => Ok(()),
        Some(ClassId::Bytes(id)) if id.len() == 32 => Ok(()),
        Some(_) => Err("the implementation id has not 32 bytes"),
        None => Err("the implementation id is missing"),
    }
}

fn parsec_environment(environment: &Environment) -> Checked {
    match environment.class.as_ref().map(|class| &class.id) {
        Some(Some(ClassId::Uuid(_))) => Ok(()),
        Some(Some(_)) => Err("the class id is no uuid"),
        Some(None) | None => Err("the class id is missing"),
    }
}

fn one_public_key(triple: &KeyTriple) -> Checked {
    match triple.keys.as_slice() {
        [CryptoKey::PkixKey(_)] => Ok(()),
        [_] => Err("the key must be a public key in pem"),
        _ => Err("there must be exactly one key"),
    }
}

fn arm_key(triple: &KeyTriple, old: bool) -> Checked {
    implementation(&triple.environment)?;
    match &triple.environment.instance {
        Some(Instance::Ueid(ueid)) if old || (ueid.len() == 33 && ueid.first() == Some(&1)) => {}
        Some(_) => return Err("the instance must be a ueid of 33 bytes, first 01"),
        None => return Err("the instance of a key is missing"),
    }
    one_public_key(triple)
}

fn signer_id(measurement: &Measurement) -> Checked {
    match measurement.values.keys.as_slice() {
        [CryptoKey::Bytes(id)] if matches!(id.len(), 32 | 48 | 64) => Ok(()),
        _ => Err("a component must have one signer id of 32, 48 or 64 bytes"),
    }
}

fn hashes(measurement: &Measurement) -> Checked {
    let digests = &measurement.values.digests;
    if digests.is_empty() {
        return Err("a component has no digests");
    }
    let sized = |digest: &AlgDigest| matches!(digest.bytes.len(), 32 | 48 | 64);
    digests
        .iter()
        .all(sized)
        .then_some(())
        .ok_or("a digest must have 32, 48 or 64 bytes")
}

fn psa_component(measurement: &Measurement, old: bool) -> Checked {
    match (&measurement.key, old) {
        (Some(Mkey::PsaComponent(..)), true) => {}
        (Some(Mkey::Text(text)), false) if text == "psa.software-component" => {
            signer_id(measurement)?;
        }
        (None, _) => return Err("a measurement has no key"),
        (Some(_), _) => return Err("a measurement key is not the scheme's"),
    }
    hashes(measurement)
}

fn cca_platform(triple: &ValueTriple) -> Checked {
    implementation(&triple.environment)?;
    let (mut components, mut configurations, mut old) = (0_u32, 0_u32, false);
    for measurement in &triple.measurements {
        let values = &measurement.values;
        match &measurement.key {
            Some(Mkey::Text(text)) if text == "cca.software-component" => {
                hashes(measurement)?;
                signer_id(measurement)?;
                if values
                    .version
                    .as_ref()
                    .is_some_and(|(_, scheme)| scheme.is_some())
                {
                    return Err("a component states a version scheme");
                }
                components = components.saturating_add(1);
            }
            Some(Mkey::Text(text)) if text == "cca.platform-config" => {
                if values.raw.as_ref().is_none_or(|raw| raw.mask.is_none()) {
                    return Err("the platform configuration needs a raw value with its mask");
                }
                configurations = configurations.saturating_add(1);
            }
            Some(Mkey::PsaComponent(..)) => {
                hashes(measurement)?;
                old = true;
            }
            Some(Mkey::CcaConfig(_)) => {
                if values.raw.is_none() {
                    return Err("the platform configuration has no raw value");
                }
                old = true;
            }
            None => return Err("a measurement has no key"),
            Some(_) => return Err("a measurement key is not the scheme's"),
        }
    }
    if old {
        return no_instance(&triple.environment, true);
    }
    match (components, configurations) {
        (0, _) => Err("there is no software component"),
        (_, 1) => Ok(()),
        _ => Err("there must be exactly one platform configuration"),
    }
}

fn cca_realm(triple: &ValueTriple) -> Checked {
    match triple
        .environment
        .class
        .as_ref()
        .and_then(|class| class.id.as_ref())
    {
        Some(ClassId::Bytes(id)) if matches!(id.len(), 32 | 48 | 64) => {}
        _ => return Err("the class id must be an initial measurement of 32, 48 or 64 bytes"),
    }
    let mut initial = false;
    for measurement in &triple.measurements {
        match &measurement.key {
            Some(Mkey::Text(text)) => match text.as_str() {
                "cca.rim" | "cca.rem0" | "cca.rem1" | "cca.rem2" | "cca.rem3" => {
                    hashes(measurement)?;
                    if measurement.values.digests.len() != 1 {
                        return Err("a realm measurement has more than one digest");
                    }
                    initial |= text == "cca.rim";
                }
                "cca.rpv" if measurement.values.raw.is_some() => {}
                "cca.rpv" => return Err("the personalisation value is missing"),
                _ => return Err("a measurement key is not the scheme's"),
            },
            Some(_) | None => return Err("a measurement key is not the scheme's"),
        }
    }
    initial
        .then_some(())
        .ok_or("the initial measurement is missing")
}

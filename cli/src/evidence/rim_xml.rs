//! Reference integrity manifests as SWID tags in XML, as NVIDIA publishes them for GPU drivers and VBIOS.

use assay_attest::chain::{Chain, Order, Usage};
use assay_attest::corim::{
    AlgDigest, Class, Draft, Environment, Measurement, Mkey, ValueTriple, Values,
};
use assay_attest::digest::{Digest, HashAlg};
use assay_attest::time::Timestamp;
use serde_json::{Value, json};

use super::kind::{anchor_name, time};
use super::rim_service;
use super::xml::{self, Element};
use super::{Accepted, Artefact, Claims, Kind, Opt, Rejection, With};

/// ISO/IEC 19770-2:2015.
const SWID: &str = "http://standards.iso.org/iso/19770-2/2015/schema.xsd";
/// The same as some tools write it.
const SWID_SLASH: &str = "http://standards.iso.org/iso/19770/-2/2015/schema.xsd";
/// The namespaces of hash attributes, by the algorithm that they name.
const HASHES: [(&str, HashAlg); 3] = [
    ("http://www.w3.org/2001/04/xmlenc#sha256", HashAlg::Sha256),
    ("http://www.w3.org/2001/04/xmlenc#sha384", HashAlg::Sha384),
    ("http://www.w3.org/2001/04/xmlenc#sha512", HashAlg::Sha512),
];
/// The most alternatives of one measurement.
const ALTERNATIVES: u64 = 64;

/// The kind `rim-xml`.
pub(crate) struct RimXml;

/// What a manifest says.
#[derive(Debug)]
pub(crate) struct Rim {
    tag_id: String,
    name: String,
    version: String,
    facts: Vec<(&'static str, String)>,
    measurements: Vec<Resource>,
}

#[derive(Debug)]
struct Resource {
    index: u64,
    name: Option<String>,
    active: bool,
    digests: Vec<Digest>,
}

impl Kind for RimXml {
    fn name(&self) -> &'static str {
        "rim-xml"
    }

    fn about(&self) -> &'static str {
        "A reference integrity manifest as a SWID tag in XML with an enveloped signature, as NVIDIA publishes them for GPU drivers and VBIOS; \
         bare, or in the JSON envelope of NVIDIA's RIM service, whose `sha256` must be right.\n\n\
         --root names the root of the signer's chain, which the file itself brings; --root-from-chain believes the root in the file, and says so; \
         --key names the signer's key or certificate instead. Certificates count at --at.\n\n\
         Claims: `tag_id`, `name`, `version`, `facts` (what Meta says: `colloquial_version`, `product`, `edition`, `manufacturer` and so on), \
         `measurements` (each with `index`, `name`, `active` and `digests`, of which one must match; `index` counts from 0, SPDM from 1), `signers` (certificates in the file), \
         `anchor` and `ends` (the earliest end of a certificate).\n\n\
         Refused: document types, entities, CDATA and processing instructions; a signature by reference, over less than the document, with SHA-1, \
         or with other transforms than enveloped-signature and one canonicalization; an index twice."
    }

    fn takes(&self) -> &'static [Opt] {
        &[Opt::Root, Opt::RootFromChain, Opt::Key]
    }

    fn detect(&self, file: &Artefact) -> bool {
        let xml =
            |text: &str| text.contains("SoftwareIdentity") && text.trim_start().starts_with('<');
        file.text().is_some_and(xml)
            || file
                .json()
                .is_some_and(|json| rim_service::format(&json) == Some("TCG"))
    }

    fn inspect(&self, file: &Artefact) -> Result<Claims, Rejection> {
        let (rim, signature) = read(file)?;
        let mut claims = rim.claims();
        claims.insert("signers".into(), signature.certificates.len().into());
        Ok(claims)
    }

    fn verify(&self, file: &Artefact, with: &With<'_>) -> Result<Accepted, Rejection> {
        let (rim, signature) = read(file)?;
        let mut claims = rim.claims();
        claims.insert("signers".into(), signature.certificates.len().into());
        let (key, anchor, ends) = signer(&signature, with).map_err(|r| r.claims(&claims))?;
        signature
            .verify(&key, with.check)
            .map_err(|r| r.claims(&claims))?;
        claims.insert("anchor".into(), anchor);
        claims.insert("ends".into(), time(ends));
        Ok(Accepted {
            authenticated: true,
            claims,
        })
    }
}

type Trusted = (assay_attest::key::PublicKey, Value, Timestamp);

fn signer(signature: &xml::Signature, with: &With<'_>) -> Result<Trusted, Rejection> {
    if let Some(file) = &with.key {
        if let Some(certificate) = super::corim::certificate(file) {
            super::corim::in_time(&certificate, with.at)?;
            return Ok((
                certificate.key().clone(),
                "key".into(),
                certificate.not_after(),
            ));
        }
        return Ok((with.public_key()?, "key".into(), Timestamp::MAX));
    }
    if signature.certificates.is_empty() {
        return Err(Rejection::no_anchor("--key with the signer's public key"));
    }
    let certificates = signature.certificates.iter().map(Vec::as_slice);
    let chain = Chain::parse(certificates, Order::LeafFirst)?;
    let anchors = with.anchors(&[], chain.certificates().first())?;
    let verified = chain.verify(&anchors, Usage::Signer, with.at, with.check)?;
    Ok((
        verified.leaf().key().clone(),
        anchor_name(verified.anchor()),
        verified.ends(),
    ))
}

/// Manifest and signature of a file, neither of them trusted.
///
/// # Errors
/// `xml.*`, `rim.*`.
pub(crate) fn read(file: &Artefact) -> Result<(Rim, xml::Signature), Rejection> {
    let unwrapped;
    let text = match file.json() {
        Some(json) if rim_service::format(&json).is_some() => {
            let bytes = rim_service::unwrap(&json, "TCG")?;
            unwrapped = String::from_utf8(bytes)
                .map_err(|_| Rejection::new("xml.malformed", "the manifest is not utf-8"))?;
            unwrapped.as_str()
        }
        Some(_) | None => std::str::from_utf8(file.raw())
            .map_err(|_| Rejection::new("xml.malformed", "the manifest is not utf-8"))?,
    };
    let document =
        xml::parse(text).map_err(|bad| Rejection::new("xml.malformed", bad.to_string()))?;
    let (document, signature) = xml::split(document)?;
    Ok((rim(&document)?, signature))
}

fn bad(why: impl Into<String>) -> Rejection {
    Rejection::new("rim.malformed", why)
}

fn is(element: &Element, local: &str) -> bool {
    element.is(SWID, local) || element.is(SWID_SLASH, local)
}

fn rim(document: &Element) -> Result<Rim, Rejection> {
    if !is(document, "SoftwareIdentity") {
        return Err(bad("the document is no SWID tag"));
    }
    let due = |name: &str| {
        document
            .attribute("", name)
            .map(str::to_owned)
            .ok_or_else(|| bad(format!("the tag has no `{name}`")))
    };
    let one = |local: &str| {
        let mut found = document.elements().filter(|element| is(element, local));
        match (found.next(), found.next()) {
            (Some(only), None) => Ok(only),
            _ => Err(bad(format!("the tag must have one `{local}`"))),
        }
    };
    let meta = one("Meta")?;
    let facts = FACTS.iter().filter_map(|(attribute, name)| {
        let mut all = meta.attributes.iter();
        all.find(|a| a.local == *attribute)
            .map(|a| (*name, a.value.clone()))
    });
    let mut measurements: Vec<Resource> = Vec::new();
    for element in one("Payload")?.elements() {
        if !is(element, "Resource") {
            return Err(bad("the payload holds something else than resources"));
        }
        if element.attribute("", "type") != Some("Measurement") {
            continue;
        }
        let resource = resource(element)?;
        if measurements
            .iter()
            .any(|known| known.index == resource.index)
        {
            return Err(bad(format!("index {} is there twice", resource.index)));
        }
        measurements.push(resource);
    }
    if measurements.is_empty() {
        return Err(bad("the payload has no measurements"));
    }
    Ok(Rim {
        tag_id: due("tagId")?,
        name: due("name")?,
        version: due("version")?,
        facts: facts.collect(),
        measurements,
    })
}

/// Attributes of Meta, and what claims call them.
const FACTS: [(&str, &str); 9] = [
    ("colloquialVersion", "colloquial_version"),
    ("product", "product"),
    ("edition", "edition"),
    ("revision", "revision"),
    ("BindingSpec", "binding_spec"),
    ("BindingSpecVersion", "binding_spec_version"),
    ("PlatformManufacturerStr", "manufacturer"),
    ("PlatformModel", "model"),
    ("FirmwareManufacturer", "firmware_manufacturer"),
];

fn resource(element: &Element) -> Result<Resource, Rejection> {
    let number = |name: &str| {
        let text = element.attribute("", name);
        text.and_then(|text| text.parse::<u64>().ok())
            .ok_or_else(|| bad(format!("a measurement has no `{name}`")))
    };
    let index = number("index")?;
    let active = match element.attribute("", "active") {
        Some("True" | "true" | "1") => true,
        Some("False" | "false" | "0") => false,
        _ => {
            return Err(bad(format!(
                "measurement {index} does not say whether it is active"
            )));
        }
    };
    let alternatives = number("alternatives")?;
    if !(1..=ALTERNATIVES).contains(&alternatives) {
        return Err(bad(format!(
            "measurement {index} has {alternatives} alternatives"
        )));
    }
    let mut digests = Vec::new();
    for at in 0..alternatives {
        let name = format!("Hash{at}");
        let found = HASHES.iter().find_map(|(namespace, alg)| {
            element
                .attribute(namespace, &name)
                .map(|value| (*alg, value))
        });
        let digest = found.and_then(|(alg, value)| {
            let bytes = base16ct::mixed::decode_vec(value).ok()?;
            Digest::new(alg, &bytes)
        });
        digests
            .push(digest.ok_or_else(|| bad(format!("measurement {index} has no good `{name}`")))?);
    }
    let sized = |digest: &Digest| {
        number("size").is_ok_and(|size| u64::try_from(digest.bytes().len()) == Ok(size))
    };
    if element.attribute("", "size").is_some() && !digests.iter().all(sized) {
        return Err(bad(format!(
            "measurement {index} has digests of another size than it says"
        )));
    }
    Ok(Resource {
        index,
        name: element.attribute("", "name").map(str::to_owned),
        active,
        digests,
    })
}

impl Rim {
    fn claims(&self) -> Claims {
        let mut claims = Claims::new();
        claims.insert("tag_id".into(), self.tag_id.clone().into());
        claims.insert("name".into(), self.name.clone().into());
        claims.insert("version".into(), self.version.clone().into());
        let facts = self
            .facts
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.clone().into()));
        claims.insert("facts".into(), Value::Object(facts.collect()));
        let measurements: Vec<Value> = self
            .measurements
            .iter()
            .map(|m| {
                let digests: Vec<String> = m.digests.iter().map(ToString::to_string).collect();
                json!({"index": m.index, "name": m.name, "active": m.active, "digests": digests})
            })
            .collect();
        claims.insert("measurements".into(), measurements.into());
        claims
    }

    fn fact(&self, name: &str) -> Option<String> {
        let mut facts = self.facts.iter();
        facts
            .find(|(known, _)| *known == name)
            .map(|(_, value)| value.clone())
    }

    /// The same as a CoRIM: the measurements that are active, by the index that SPDM gives them.
    #[must_use]
    pub(crate) fn to_draft(&self, ends: Option<Timestamp>) -> Draft {
        let class = Class {
            vendor: self
                .fact("manufacturer")
                .or_else(|| self.fact("firmware_manufacturer")),
            model: self
                .fact("model")
                .or_else(|| self.fact("product"))
                .or_else(|| Some(self.name.clone())),
            ..Class::default()
        };
        let measurements = self.measurements.iter().filter(|m| m.active).flat_map(|m| {
            m.digests.iter().map(|digest| Measurement {
                // The manifest counts measurements from 0, SPDM from 1 (DSP0274, 10.11: index 0 is none).
                key: Some(Mkey::Uint(m.index.saturating_add(1))),
                values: Values {
                    digests: vec![AlgDigest::from(digest)],
                    name: m.name.clone(),
                    ..Values::default()
                },
                authorized_by: Vec::new(),
            })
        });
        Draft {
            id: self.tag_id.clone(),
            version: 0,
            profile: None,
            ends,
            reference: vec![ValueTriple {
                environment: Environment {
                    class: Some(class),
                    ..Environment::default()
                },
                measurements: measurements.collect(),
            }],
        }
    }
}

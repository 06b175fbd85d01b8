//! What the kinds of SPDM have in common: chains as they are found, their roots, measurements in words.

use assay_attest::chain::{Anchor, AnchorKind, Chain, Order, TrustAnchors, Usage, VerifiedChain};
use assay_attest::codec::dice::{LayerInfo, ueid};
use assay_attest::codec::spdm::block::{Block, Value as Measured, ValueType};
use assay_attest::codec::spdm::opaque::Opaque;
use assay_attest::codec::spdm::slot::{Model, SlotChain, is_hardware_identity};
use assay_attest::codec::x509::Certificate;
use assay_attest::digest::{Digest, hex as hexadecimal};
use assay_attest::evidence::dice::DiceIdentity;
use assay_attest::refusal::Refusal;
use serde_json::{Map, Value, json};

use super::kind::{anchor_name, hex, time};
use super::{Artefact, Claims, Rejection, With, encoding};

/// id-DMTF-device-info, DER: what a device calls itself, `vendor:product:serial`.
const DEVICE_INFO: &[u8] = b"\x06\x0a\x2b\x06\x01\x04\x01\x83\x1c\x82\x12\x01";
/// The common name of a Name, DER.
const COMMON_NAME: &[u8] = b"\x06\x03\x55\x04\x03";
/// A raw measurement up to this length is shown whole.
const SHOWN: usize = 1024;

/// A chain as a file brings it.
pub(crate) struct Found {
    /// Root first.
    pub(crate) chain: Chain,
    /// Where it was an SPDM slot: the hash of its root.
    pub(crate) root_hash: Option<Digest>,
}

/// Reads a chain: an SPDM slot, or certificates in any encoding, in either order; or JSON in which certificates stand as PEM.
///
/// # Errors
/// Where there is none, or it can't be read.
pub(crate) fn chain(file: &Artefact) -> Result<Found, Rejection> {
    if let Some(json) = file.json() {
        let mut pem = String::new();
        collect_pem(&json, &mut pem);
        return in_order(
            Artefact::new(file.name(), pem.into_bytes()).certificates()?,
            None,
        );
    }
    let bytes = file.binary();
    if SlotChain::is_slot(&bytes) {
        let slot = SlotChain::parse(&bytes)?;
        return in_order(slot.certificates().to_vec(), slot.root_hash().cloned());
    }
    in_order(file.certificates()?, None)
}

/// Certificates from the text that NVIDIA's tools put into JSON: PEM, or PEM in base64.
pub(crate) fn chain_of_text(name: &str, text: &str) -> Result<Found, Rejection> {
    let file = Artefact::new(name, text.as_bytes().to_vec());
    if let Ok(certificates) = file.certificates() {
        return in_order(certificates, None);
    }
    chain(&Artefact::new(name, file.binary()))
}

fn collect_pem(json: &Value, into: &mut String) {
    match json {
        Value::String(text) => {
            let decoded =
                encoding::from_base64(text).and_then(|bytes| String::from_utf8(bytes).ok());
            for pem in [Some(text.clone()), decoded].into_iter().flatten() {
                if encoding::from_pem(&pem).is_some() {
                    into.push_str(&pem);
                    into.push('\n');
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect_pem(item, into)),
        Value::Object(fields) => fields.values().for_each(|field| collect_pem(field, into)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// A file says its order by where its root is, or else by its names; the chain itself is then checked in that order.
fn in_order(certificates: Vec<Vec<u8>>, root_hash: Option<Digest>) -> Result<Found, Rejection> {
    let read = |order| Chain::parse(certificates.iter().map(Vec::as_slice), order);
    let chain = read(Order::RootFirst)?;
    let leaf_first = match chain.certificates() {
        [first, .., last] if first.is_self_issued() != last.is_self_issued() => {
            last.is_self_issued()
        }
        [first, second, ..] => first.issuer() == second.subject() && !first.is_self_issued(),
        [] | [_] => false,
    };
    let chain = if leaf_first && root_hash.is_none() {
        read(Order::LeafFirst)?
    } else {
        chain
    };
    Ok(Found { chain, root_hash })
}

/// NVIDIA's root, those of `--root`, and with `--root-from-chain` the chain's own. A root is pinned by its key: what its certificate says
/// of itself is checked as part of the chain.
///
/// # Errors
/// Where a root can't be read.
pub(crate) fn anchors(with: &With<'_>, chain: &Chain) -> Result<TrustAnchors, Rejection> {
    let mut more = Vec::new();
    for root in with.root_certificates()? {
        let name = format!("sha256:{}", hex(&root.spki_sha256()));
        more.push(Anchor::pin(&name, AnchorKind::Operator, root.spki())?);
    }
    if let (true, Some(first)) = (with.root_from_chain, chain.certificates().first()) {
        more.push(Anchor::pin("file", AnchorKind::Operator, first.spki())?);
    }
    Ok(TrustAnchors::new(Anchor::nvidia_device_identity(), more))
}

/// Verifies a chain to those roots.
///
/// # Errors
/// `chain.*`; `verify.no_anchor` where only the root is not known and none was named.
pub(crate) fn verified<'a>(
    with: &With<'_>,
    chain: &'a Chain,
    anchors: &'a TrustAnchors,
) -> Result<VerifiedChain<'a>, Rejection> {
    chain
        .verify(anchors, Usage::Spdm, with.at, with.check)
        .map_err(|refusal| match refusal {
            Refusal::ChainNoAnchor if with.roots.is_empty() && !with.root_from_chain => {
                Rejection::no_anchor("--root with the root's certificate, or --root-from-chain")
            }
            other => other.into(),
        })
}

/// What a verified chain adds to what its certificates say: the root, the earliest end, and with DICE the device's own key.
pub(crate) fn identity(
    with: &With<'_>,
    chain: &Chain,
    verified: &VerifiedChain<'_>,
    anchors: &TrustAnchors,
    claims: &mut Claims,
) {
    claims.insert("anchor".into(), anchor_name(verified.anchor()));
    claims.insert("chain_ends".into(), time(verified.ends()));
    if let Ok(identity) = DiceIdentity::verify(chain, anchors, with.at, with.check) {
        claims.insert("device_key".into(), hex(&identity.device_key()).into());
    }
}

/// What a chain says.
///
/// # Errors
/// Where an extension is not what its name says.
pub(crate) fn describe_chain(found: &Found, claims: &mut Claims) -> Result<(), Rejection> {
    let certificates = found.chain.certificates();
    let shown = certificates
        .iter()
        .enumerate()
        .map(|(index, certificate)| certificate_claims(index, certificate))
        .collect::<Result<Vec<_>, Refusal>>()?;
    claims.insert("model".into(), Model::of(certificates)?.as_str().into());
    if let Some(hash) = &found.root_hash {
        claims.insert("root_hash".into(), hash.to_string().into());
    }
    if let Some(leaf) = certificates.last() {
        let constraints = match leaf.basic_constraints() {
            None => "absent",
            Some(stated) if stated.ca => "ca",
            Some(_) => "not_ca",
        };
        claims.insert("leaf_basic_constraints".into(), constraints.into());
        if let Some(info) = device_info(leaf) {
            claims.insert("device_info".into(), info.into());
        }
    }
    claims.insert("certificates".into(), shown.into());
    Ok(())
}

fn certificate_claims(index: usize, certificate: &Certificate) -> Result<Value, Refusal> {
    let mut claims = Map::new();
    if let Some(name) = text_after(certificate.subject(), COMMON_NAME) {
        claims.insert("common_name".into(), name.into());
    }
    claims.insert("serial".into(), hex(certificate.serial()).into());
    claims.insert("not_before".into(), time(certificate.not_before()));
    claims.insert("not_after".into(), time(certificate.not_after()));
    let digest = assay_attest::digest::sha256(&[certificate.der()]);
    claims.insert("sha256".into(), hex(&digest).into());
    claims.insert("spki_sha256".into(), hex(&certificate.spki_sha256()).into());
    if is_hardware_identity(certificate)? {
        claims.insert("hardware_identity".into(), true.into());
    }
    if let Some(info) = LayerInfo::of(index, certificate)? {
        claims.insert("dice_layout".into(), info.layout.as_str().into());
        let fwids: Vec<String> = info
            .fwids()
            .map(|fwid| {
                fwid.to_digest().map_or_else(
                    |_| format!("sha3:{}", hexadecimal(&fwid.digest)),
                    |digest| digest.to_string(),
                )
            })
            .collect();
        claims.insert("fwids".into(), fwids.into());
    }
    if let Some(ueid) = ueid(certificate)? {
        claims.insert("ueid".into(), hex(&ueid).into());
    }
    Ok(Value::Object(claims))
}

/// What a leaf calls its device, where its alternative names say so: a statement, never an identity (BlueField-3 writes a placeholder).
fn device_info(leaf: &Certificate) -> Option<String> {
    leaf.extensions()
        .iter()
        .find_map(|extension| text_after(&extension.value, DEVICE_INFO))
}

/// The text after an object identifier: a string of fewer than 128 bytes, or one within the context tag 0.
fn text_after(der: &[u8], oid: &[u8]) -> Option<String> {
    let at = der.windows(oid.len()).position(|window| window == oid)?;
    let mut rest = der.get(at.checked_add(oid.len())?..)?;
    if let [0xa0, _, inner @ ..] = rest {
        rest = inner;
    }
    let [0x0c | 0x13 | 0x16, length @ ..=0x7f, text @ ..] = rest else {
        return None;
    };
    let text = text.get(..usize::from(*length))?;
    let text = std::str::from_utf8(text).ok()?;
    (!text.chars().any(char::is_control)).then(|| text.to_owned())
}

/// Measurement blocks in words: each index with its type and digest or raw value; and what is said of the whole.
pub(crate) fn describe_blocks<'a>(
    blocks: impl IntoIterator<Item = &'a Block>,
    claims: &mut Claims,
) {
    let mut shown = Vec::new();
    let mut unused = Vec::new();
    for block in blocks {
        let mut one = Map::new();
        one.insert("index".into(), block.index.into());
        one.insert("type".into(), block.kind.as_str().into());
        match &block.value {
            Measured::Digest(digest) => {
                if digest.is_zero() {
                    unused.push(block.index);
                }
                one.insert("digest".into(), digest.to_string().into());
            }
            Measured::Raw(raw) => {
                one.insert("size".into(), raw.len().into());
                if raw.len() <= SHOWN {
                    one.insert("raw".into(), hex(raw).into());
                }
            }
        }
        if let Some(svn) = block.svn() {
            one.insert("svn".into(), svn.into());
            claims.insert("svn".into(), svn.into());
        }
        if block.kind == ValueType::FirmwareVersion
            && let Measured::Raw(raw) = &block.value
            && let Ok(text) = std::str::from_utf8(raw)
            && !text.chars().any(char::is_control)
        {
            one.insert("version".into(), text.into());
        }
        if let Some(mode) = block.device_mode() {
            claims.insert(
                "device_mode".into(),
                json!({
                    "operational": mode.operational(),
                    "debug": mode.debug(),
                    "closed": mode.is_closed(),
                }),
            );
        }
        shown.push(Value::Object(one));
    }
    claims.insert("measurement_count".into(), shown.len().into());
    claims.insert("unused_indices".into(), json!(unused));
    claims.insert("measurements".into(), shown.into());
}

/// Opaque data in words.
pub(crate) fn describe_opaque(opaque: &Opaque, claims: &mut Claims) {
    let shown = match opaque {
        Opaque::Empty => return,
        Opaque::Nvidia(fields) => {
            let mut shown = Map::new();
            for field in fields {
                let name = field
                    .name()
                    .map_or_else(|| format!("type_{}", field.kind), str::to_owned);
                let value = field.text().unwrap_or_else(|| hex(&field.value));
                shown.insert(name, value.into());
            }
            json!({ "format": "nvidia", "fields": shown })
        }
        Opaque::General(elements) => {
            let elements: Vec<Value> = elements
                .iter()
                .map(|element| {
                    json!({
                        "registry": element.registry,
                        "vendor": hex(&element.vendor),
                        "data": hex(&element.data),
                    })
                })
                .collect();
            json!({ "format": "general", "elements": elements })
        }
        Opaque::Other(bytes) => json!({ "format": "unknown", "data": hex(bytes) }),
    };
    claims.insert("opaque".into(), shown);
}

//! Certificates as files have them, put in a chain's order, and what they say in words.

use assay_attest::appraise::OPEN_FLAGS;
use assay_attest::chain::{Anchor, AnchorKind, Chain, Order, TrustAnchors, VerifiedChain};
use assay_attest::codec::crl::Crl;
use assay_attest::codec::csr::Request;
use assay_attest::codec::dice::{Fwid, FwidAlg, LayerInfo, TcbInfo, ueid_of};
use assay_attest::codec::name;
use assay_attest::codec::ocsp::Answer;
use assay_attest::codec::x509::{Certificate, Extension};
use assay_attest::digest::sha256;
use assay_attest::key::PublicKey;
use assay_attest::limits;
use assay_attest::revocation::{Ages, Known, Revocation};
use serde_json::{Value, json};

use super::artefact::der_element;
use super::kind::{hex, time};
use super::{Artefact, Claims, Rejection, With, encoding};

/// Certificates in the order of a chain, root first.
pub(crate) struct Path {
    /// Root first.
    pub(crate) certificates: Vec<Certificate>,
    /// How the file had them: `leaf-first`, `root-first`, `single`.
    pub(crate) order: &'static str,
}

impl Path {
    /// The file's certificates in the one of the two orders that its issuers' names tell; in no other.
    ///
    /// # Errors
    /// `chain.too_long`, and what can't be parsed.
    pub(crate) fn of(ders: &[Vec<u8>]) -> Result<Self, Rejection> {
        if ders.len() > limits::CHAIN_CERTIFICATES {
            return Err(assay_attest::refusal::Refusal::ChainTooLong {
                limit: limits::CHAIN_CERTIFICATES,
            }
            .into());
        }
        let mut certificates = ders
            .iter()
            .map(|der| Certificate::parse(der))
            .collect::<Result<Vec<_>, _>>()?;
        let pairs = || certificates.iter().zip(certificates.iter().skip(1));
        let leaf_first = pairs().filter(|(a, b)| a.issuer() == b.subject()).count();
        let root_first = pairs().filter(|(a, b)| b.issuer() == a.subject()).count();
        let order = match certificates.len() {
            0 | 1 => "single",
            _ if root_first > leaf_first => "root-first",
            _ => "leaf-first",
        };
        if order == "leaf-first" {
            certificates.reverse();
        }
        Ok(Self {
            certificates,
            order,
        })
    }

    /// Puts the certificates of `--chain` above, as far as each signed the one below it.
    ///
    /// # Errors
    /// What can't be parsed.
    pub(crate) fn extended(mut self, with: &With<'_>) -> Result<Self, Rejection> {
        let Some(file) = &with.chain else {
            return Ok(self);
        };
        let mut extra = Vec::new();
        for der in file.certificates()? {
            extra.push(Certificate::parse(&der)?);
        }
        while let Some(top) = self.certificates.first() {
            if top.is_self_issued() || self.certificates.len() >= limits::CHAIN_CERTIFICATES {
                break;
            }
            let issuer = extra.iter().position(|one| {
                one.subject() == top.issuer()
                    && top.is_signed_by(one.key(), with.check).is_ok()
                    && !self.certificates.contains(one)
            });
            let Some(at) = issuer else {
                break;
            };
            self.certificates.insert(0, extra.swap_remove(at));
        }
        Ok(self)
    }

    /// The certificate on the root's side.
    pub(crate) fn first(&self) -> Option<&Certificate> {
        self.certificates.first()
    }

    /// As a chain, still to be verified.
    ///
    /// # Errors
    /// As [`Chain::parse`].
    pub(crate) fn chain(&self) -> Result<Chain, Rejection> {
        let ders = self.certificates.iter().map(Certificate::der);
        Ok(Chain::parse(ders, Order::RootFirst)?)
    }

    /// The pinned roots: `--root`, the built-in ones, the file's own with `--root-from-chain`, and the key of `--key` as the issuer of
    /// the first certificate.
    ///
    /// # Errors
    /// As [`With::anchors`].
    pub(crate) fn anchors(
        &self,
        with: &With<'_>,
        built_in: &[Anchor],
    ) -> Result<TrustAnchors, Rejection> {
        let mut all = built_in.to_vec();
        if let (Some(file), Some(first)) = (&with.key, self.first()) {
            let spki = assay_attest::codec::spki::write(&key_of(file, with)?);
            all.insert(
                0,
                Anchor::issuer("key", AnchorKind::Operator, &spki, first.issuer())?,
            );
        }
        with.anchors(&all, self.first())
    }
}

/// Certificates of a file: PEM, DER, or any JSON that holds PEM blocks in its texts (bare or in base64), in order.
///
/// # Errors
/// `file.no_certificate`.
pub(crate) fn certificates(file: &Artefact) -> Result<Vec<Vec<u8>>, Rejection> {
    let Some(json) = file.json() else {
        return file.certificates();
    };
    let mut found = Vec::new();
    in_json(&json, &mut found);
    if found.is_empty() {
        return file.certificates();
    }
    Ok(found)
}

fn in_json(value: &Value, found: &mut Vec<Vec<u8>>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| in_json(item, found)),
        Value::Object(fields) => fields.values().for_each(|item| in_json(item, found)),
        Value::String(text) => {
            let decoded = if text.starts_with("LS0tLS1CRUdJTi") {
                encoding::from_base64(text).and_then(|bytes| String::from_utf8(bytes).ok())
            } else {
                None
            };
            let text = decoded.as_deref().unwrap_or(text);
            if !text.contains("-----BEGIN CERTIFICATE-----") {
                return;
            }
            let blocks = encoding::from_pem(text).unwrap_or_default();
            found.extend(blocks.into_iter().map(|(_, der)| der));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// The request for a certificate in a file, where that is what it holds.
pub(crate) fn request(file: &Artefact) -> Option<Request> {
    if let Some(text) = file.text()
        && let Some(blocks) = encoding::from_pem(text)
        && !blocks
            .iter()
            .any(|(label, _)| label.ends_with("CERTIFICATE REQUEST"))
    {
        return None;
    }
    Request::parse(&file.binary()).ok()
}

/// The key of `--key`: also that of a request for a certificate that proves its possession.
pub(crate) fn key_of(file: &Artefact, with: &With<'_>) -> Result<PublicKey, Rejection> {
    match request(file) {
        Some(request) => {
            request
                .verify(with.check)
                .map_err(|_bad| request_signature())?;
            Ok(request.key().clone())
        }
        None => file.public_key(),
    }
}

/// A request that is not signed by its own key.
pub(crate) fn request_signature() -> Rejection {
    Rejection::new(
        "request.signature",
        "the certification request is not signed by the key that asks",
    )
}

/// Judges revocation by the files of `--reference`: lists and OCSP answers. Nothing where there are none.
///
/// # Errors
/// `chain.revoked`, `chain.on_hold`, `revocation.*`, `file.no_revocation` for a file that is neither.
pub(crate) fn revocation(
    chain: &VerifiedChain<'_>,
    with: &With<'_>,
) -> Result<Option<Value>, Rejection> {
    if with.references.is_empty() {
        return Ok(None);
    }
    let (mut lists, mut answers) = (Vec::new(), Vec::new());
    for file in &with.references {
        let mut ders = Vec::new();
        match file.text().and_then(encoding::from_pem) {
            Some(blocks) => ders.extend(blocks.into_iter().map(|(_, der)| der)),
            None => {
                let bytes = file.binary();
                let mut rest = bytes.as_slice();
                while let Some((one, after)) = der_element(rest) {
                    ders.push(one.to_vec());
                    rest = after;
                }
                if !rest.is_empty() || ders.is_empty() {
                    return Err(no_revocation(file));
                }
            }
        }
        for der in ders {
            // The first element of an OCSPResponse is an ENUMERATED, of a CertificateList a SEQUENCE.
            let inner = der_body(&der).and_then(|body| body.first());
            if inner == Some(&0x0a) {
                answers.push(Answer::parse(&der)?);
            } else {
                lists.push(Crl::parse(&der)?);
            }
        }
    }
    let files = lists.len() + answers.len();
    let revocation = Revocation::new(lists, answers, Ages::default(), false)?;
    let judged = revocation
        .judge(chain, with.at, with.check)
        .map_err(|refusal| Rejection::from(refusal).authenticated())?;
    let certificates: Vec<&str> = judged
        .known()
        .iter()
        .map(|known| match known {
            Known::Good { .. } => "good",
            Known::Unknown => "unknown",
        })
        .collect();
    Ok(Some(json!({
        "files": files,
        "certificates": certificates,
        "old": judged.old(),
        "ends": time(judged.ends()),
    })))
}

fn der_body(der: &[u8]) -> Option<&[u8]> {
    let head = match *der.get(1)? {
        short @ 0..=0x7f => return der.get(2..2 + usize::from(short)),
        long => 2 + usize::from(long & 0x7f),
    };
    der.get(head..)
}

fn no_revocation(file: &Artefact) -> Rejection {
    Rejection::new(
        "file.no_revocation",
        format!(
            "`{}` holds neither revocation lists nor ocsp answers in DER or PEM",
            file.name()
        ),
    )
}

/// A certificate in words.
pub(crate) fn describe(certificate: &Certificate) -> Value {
    let mut claims = Claims::new();
    let name = |der: &[u8]| Value::from(name::text(der).unwrap_or_else(|_| hex(der)));
    claims.insert("subject".into(), name(certificate.subject()));
    claims.insert("issuer".into(), name(certificate.issuer()));
    claims.insert("serial".into(), hex(certificate.serial()).into());
    claims.insert("not_before".into(), time(certificate.not_before()));
    claims.insert("not_after".into(), time(certificate.not_after()));
    let fingerprint = hex(&sha256(&[certificate.der()]));
    claims.insert("fingerprint".into(), format!("sha256:{fingerprint}").into());
    let key = hex(&certificate.spki_sha256());
    claims.insert("key".into(), format!("sha256:{key}").into());
    claims.insert("key_type".into(), key_type(certificate.key()).into());
    let ca = certificate.basic_constraints().is_some_and(|b| b.ca);
    claims.insert("ca".into(), ca.into());
    extensions(certificate.extensions(), &mut claims);
    Value::Object(claims)
}

/// `p-384`, `ed25519`, `rsa-2048`.
pub(crate) fn key_type(key: &PublicKey) -> String {
    match key {
        PublicKey::Ed25519(_) => "ed25519".into(),
        PublicKey::P256(_) => "p-256".into(),
        PublicKey::P384(_) => "p-384".into(),
        PublicKey::P521(_) => "p-521".into(),
        PublicKey::Rsa { modulus, .. } => format!("rsa-{}", modulus.len().saturating_mul(8)),
    }
}

/// What DICE's extensions say.
pub(crate) fn extensions(extensions: &[Extension], claims: &mut Claims) {
    if let Ok(Some(ueid)) = ueid_of(extensions) {
        claims.insert("ueid".into(), hex(&ueid).into());
    }
    match LayerInfo::of_extensions(0, extensions) {
        Ok(Some(info)) => layer(&info, claims),
        Ok(None) => {}
        Err(refusal) => {
            claims.insert("dice_error".into(), refusal.code().into());
        }
    }
    if let Ok(Some(inputs)) = assay_attest::codec::open_dice::Inputs::of(extensions) {
        claims.insert("inputs".into(), inputs_of(&inputs));
    }
}

/// The inputs of the Open Profile for DICE.
pub(crate) fn inputs_of(inputs: &assay_attest::codec::open_dice::Inputs) -> Value {
    let mut claims = Claims::new();
    claims.insert("code_hash".into(), hex(&inputs.code_hash).into());
    claims.insert("authority_hash".into(), hex(&inputs.authority_hash).into());
    for (name, value) in [
        ("code_descriptor", &inputs.code_descriptor),
        ("configuration_hash", &inputs.configuration_hash),
        ("configuration_descriptor", &inputs.configuration_descriptor),
        ("authority_descriptor", &inputs.authority_descriptor),
    ] {
        if let Some(value) = value {
            claims.insert(name.into(), hex(value).into());
        }
    }
    claims.insert("mode".into(), inputs.mode.as_str().into());
    if let Some(profile) = &inputs.profile {
        claims.insert("profile".into(), profile.clone().into());
    }
    Value::Object(claims)
}

/// What a layer says of its firmware.
pub(crate) fn layer(info: &LayerInfo, claims: &mut Claims) {
    claims.insert("layout".into(), info.layout.as_str().into());
    let fwids: Vec<String> = info.fwids().map(fwid).collect();
    claims.insert("fwids".into(), json!(fwids));
    let flags = info.tcb.iter().fold(0, |all, tcb| all | tcb.flags);
    claims.insert("flags".into(), json!(flag_names(flags)));
    if let Some(device) = &info.device_spki {
        let device = hex(&sha256(&[device]));
        claims.insert("device_id".into(), format!("sha256:{device}").into());
    }
    let tcb: Vec<Value> = info.tcb.iter().map(tcb_info).collect();
    claims.insert("tcb".into(), tcb.into());
}

fn tcb_info(tcb: &TcbInfo) -> Value {
    let mut claims = Claims::new();
    for (name, text) in [
        ("vendor", &tcb.vendor),
        ("model", &tcb.model),
        ("version", &tcb.version),
    ] {
        if let Some(text) = text {
            claims.insert(name.into(), text.clone().into());
        }
    }
    for (name, number) in [("svn", tcb.svn), ("layer", tcb.layer), ("index", tcb.index)] {
        if let Some(number) = number {
            claims.insert(name.into(), number.into());
        }
    }
    let fwids: Vec<String> = tcb.fwids.iter().map(fwid).collect();
    claims.insert("fwids".into(), json!(fwids));
    if let Some(flags) = tcb.stated_flags {
        claims.insert("flags".into(), json!(flag_names(flags)));
    }
    if let Some(mask) = tcb.flags_mask {
        claims.insert("flags_mask".into(), json!(flag_names(mask)));
    }
    for (name, bytes) in [("vendor_info", &tcb.vendor_info), ("type", &tcb.kind)] {
        if !bytes.is_empty() {
            claims.insert(name.into(), hex(bytes).into());
        }
    }
    if !tcb.registers.is_empty() {
        let registers: Vec<Value> = tcb
            .registers
            .iter()
            .map(|register| {
                let digests: Vec<String> = register.digests.iter().map(fwid).collect();
                json!({ "name": register.name, "number": register.number, "digests": digests })
            })
            .collect();
        claims.insert("integrity_registers".into(), registers.into());
    }
    Value::Object(claims)
}

/// `sha384:hex`.
pub(crate) fn fwid(fwid: &Fwid) -> String {
    let digest = hex(&fwid.digest);
    match (fwid.to_digest(), fwid.alg) {
        (Ok(known), _) => known.to_string(),
        (Err(_), FwidAlg::Sha3(size)) => format!("sha3-{}:{digest}", size.saturating_mul(8)),
        (Err(_), FwidAlg::Sha2(_)) => digest,
    }
}

/// OperationalFlags by name.
pub(crate) fn flag_names(flags: u32) -> Vec<&'static str> {
    let others = [
        (4, "notReplayProtected"),
        (5, "notIntegrityProtected"),
        (6, "notRuntimeMeasured"),
        (7, "notImmutable"),
        (8, "notTcb"),
    ];
    OPEN_FLAGS
        .into_iter()
        .chain(others)
        .filter(|(bit, _)| flags & (1 << bit) != 0)
        .map(|(_, name)| name)
        .collect()
}

/// Flags that no policy of ours passes: notSecure, recovery, debug. notConfigured and the rest lower trust (real parts ship with it).
const REFUSED: u32 = 0b1110;

/// Refuses a layer that says it is open: the default policy.
///
/// # Errors
/// `dice.flags`.
pub(crate) fn closed(index: usize, flags: u32) -> Result<(), Rejection> {
    if flags & REFUSED == 0 {
        return Ok(());
    }
    let flags = flag_names(flags & REFUSED).join(", ");
    let refusal = assay_attest::refusal::Refusal::DiceFlags { index, flags };
    Err(Rejection::from(refusal).authenticated())
}

/// `lowered_by`: the flags of all layers, where there are any.
pub(crate) fn lowered(flags: u32, claims: &mut Claims) {
    if flags != 0 {
        claims.insert("lowered_by".into(), json!(flag_names(flags)));
    }
}

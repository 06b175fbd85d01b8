//! TPM quotes as tools keep them: tpm2-tools' files, keylime's text, trustee's JSON, go-tpm-tools' protobuf.

use assay_attest::chain::{Chain, Order, Usage};
use assay_attest::codec::go_attestation::Attestation;
use assay_attest::codec::quote_file;
use assay_attest::codec::spki;
use assay_attest::codec::tpm::{Attest, Attested, Public};
use assay_attest::codec::x509::Certificate;
use assay_attest::digest::hex as hexed;
use assay_attest::key::PublicKey;
use assay_attest::quote::{Ak, Quote, Quoted};
use assay_attest::refusal::Refusal;
use serde_json::{Value, json};

use super::kind::{anchor_name, hex};
use super::path::{self, Path};
use super::references::{Components, match_references};
use super::{Accepted, Artefact, Claims, Kind, Opt, Rejection, With};

/// The kind `tpm-quote`.
pub(crate) struct TpmQuote;

/// What a file holds.
enum Form {
    /// tpm2-tools: the quote alone.
    Raw(Attest),
    /// keylime.
    Text(Quote),
    /// trustee: with the AK's SubjectPublicKeyInfo, where it is there.
    Json(Quote, Option<Vec<u8>>),
    /// go-tpm-tools.
    Protobuf(Box<Attestation>),
}

impl Kind for TpmQuote {
    fn name(&self) -> &'static str {
        "tpm-quote"
    }

    fn about(&self) -> &'static str {
        "A TPM 2.0 quote, in one of four forms. tpm2-tools: the file is TPMS_ATTEST (`tpm2_quote --message`), --signature its signature (TPMT_SIGNATURE, \
         or plain where --key tells the scheme), --pcrs the values (serialised, `values`, or the text of tpm2_pcrread or tpm2_quote). keylime: text \
         `r<quote>:<signature>:<pcrs>`. trustee: JSON with `ak_public` and `tpm_quote`. go-tpm-tools: a protobuf Attestation with AK, quotes, event \
         log and AK certificate.\n\n\
         --key is the attestation key (TPM2B_PUBLIC or TPMT_PUBLIC, whose attributes and scheme are then judged, or PEM, JWK, certificate). With \
         --root (and --chain) a protobuf's AK certificate may stand for it. --root-from-chain believes the key that the file brings and says so \
         (`anchor` is `file`). --nonce must be the qualifying data; trustee's, which it fills up with zeros, may be given without them.\n\n\
         --reference names a manifest (CoRIM, CoMID) whose PCRs must be among those that were sent, and match: by number, by name (`pcr.sha256.7`), or \
         as integrity registers. It adds the claims `references`, `reference_matches`, `unlisted` and `endorsements`.\n\n\
         Claims: `form`, `nonce`, `hash`, `banks` (the selected PCRs), `pcr_digest`, `pcrs` (bank to index to value, where they were sent: they give \
         the digest), `clock`, `reset_count`, `restart_count`, `safe`, `firmware_version`, `qualified_signer`, `key`, `ak_name`, `ak_attributes`, \
         `anchor`; of a protobuf also `ignored_banks`, `event_log_size`, `canonical_event_log_size`. An event log is not judged here: take it out \
         and verify it as `eventlog`, with --pcrs.\n\n\
         Refused: SHA-1, whether it signs or is the only bank (`tpm.algorithm`); beside other banks a quote of SHA-1 is checked and ignored. \
         Clock and counters are only comparable with those of another quote by the same key: the nexus does that, in the order reset, restart, clock."
    }

    fn takes(&self) -> &'static [Opt] {
        &[
            Opt::Chain,
            Opt::Root,
            Opt::Key,
            Opt::Nonce,
            Opt::Pcrs,
            Opt::Signature,
            Opt::RootFromChain,
            Opt::Reference,
        ]
    }

    fn detect(&self, file: &Artefact) -> bool {
        form(file).is_ok()
    }

    fn inspect(&self, file: &Artefact) -> Result<Claims, Rejection> {
        Ok(form(file)?.claims())
    }

    fn verify(&self, file: &Artefact, with: &With<'_>) -> Result<Accepted, Rejection> {
        let form = form(file)?;
        let said = form.claims();
        let mut accepted = verify(form, with).map_err(|rejection| {
            if rejection.claims.is_empty() {
                rejection.claims(&said)
            } else {
                rejection
            }
        })?;
        let measured = Components::of_pcr_claims(&accepted.claims);
        match match_references(&with.references, &measured) {
            Ok(matched) => {
                accepted.claims.extend(matched);
                Ok(accepted)
            }
            Err(rejection) => {
                let found = rejection.claims.clone();
                accepted.claims.extend(found);
                Err(rejection.claims(&accepted.claims).authenticated())
            }
        }
    }
}

fn form(file: &Artefact) -> Result<Form, Rejection> {
    if let Some(json) = file.json() {
        let (quote, key) = quote_file::trustee(&json)?;
        return Ok(Form::Json(quote, key));
    }
    if let Some(text) = file.text()
        && text.trim_start().starts_with('r')
        && text.contains(':')
    {
        return Ok(Form::Text(quote_file::keylime(text)?));
    }
    let bytes = file.binary();
    // An Attestation begins with the AK or a quote: field 1 or 2, bytes.
    if bytes.first() == Some(&0x0a) || bytes.first() == Some(&0x12) {
        return Ok(Form::Protobuf(Box::new(Attestation::parse(&bytes)?)));
    }
    let attest = quote_file::attest(&bytes)?;
    match attest.attested {
        Attested::Quote { .. } => Ok(Form::Raw(attest)),
        Attested::Certify { .. } => Err(Refusal::TpmType { found: 0x8017 }.into()),
    }
}

fn verify(form: Form, with: &With<'_>) -> Result<Accepted, Rejection> {
    if !matches!(form, Form::Raw(_)) && (with.signature.is_some() || with.pcrs.is_some()) {
        return Err(Rejection::new(
            "tpm.whole",
            "the file brings its signature and pcr values: leave out --signature and --pcrs",
        ));
    }
    match form {
        Form::Raw(attest) => raw(attest, with),
        Form::Text(quote) => one("keylime", &quote, None, with),
        Form::Json(quote, key) => one("trustee", &quote, key, with),
        Form::Protobuf(attestation) => protobuf(&attestation, with),
    }
}

fn raw(attest: Attest, with: &With<'_>) -> Result<Accepted, Rejection> {
    let Some(file) = &with.signature else {
        return Err(Rejection::new(
            "tpm.no_signature",
            "the quote's signature is not in the file: give it with --signature",
        ));
    };
    let ak = with.key.as_ref().map(|key| given(key, with)).transpose()?;
    let ids = match &ak {
        Some(Ak::Public(public)) => public.scheme,
        Some(Ak::Key(_)) | None => None,
    };
    let signature = quote_file::signature(&file.binary(), ak.as_ref().map(Ak::key), ids)?;
    let pcrs = match &with.pcrs {
        None => None,
        Some(file) => Some(pcr_file(file, &attest)?),
    };
    let quote = Quote {
        attest,
        signature,
        pcrs,
    };
    one("tpm2-tools", &quote, None, with)
}

fn pcr_file(file: &Artefact, attest: &Attest) -> Result<assay_attest::quote::PcrValues, Rejection> {
    match quote_file::pcrs(file.raw(), attest) {
        Ok(values) => Ok(values),
        // Perhaps in base64 or hexadecimal.
        Err(refusal) => Ok(quote_file::pcrs(&file.binary(), attest).map_err(|_| refusal)?),
    }
}

/// The attestation key of `--key`.
fn given(file: &Artefact, with: &With<'_>) -> Result<Ak, Rejection> {
    let bytes = file.binary();
    let is_text = file
        .text()
        .is_some_and(|text| text.contains("-----BEGIN") || text.trim_start().starts_with('{'));
    if !is_text && bytes.first() != Some(&0x30) {
        return Ok(Ak::Public(quote_file::public(&bytes)?));
    }
    path::key_of(file, with).map(Ak::Key)
}

/// One quote under the key that is believed.
fn one(
    form: &str,
    quote: &Quote,
    own: Option<Vec<u8>>,
    with: &With<'_>,
) -> Result<Accepted, Rejection> {
    // First what no key could make good, so that the answer says it.
    quote.acceptable()?;
    let own = own
        .map(|der| spki::parse("the attestation key", &der))
        .transpose()?;
    let (ak, anchor) = match (&with.key, own, with.root_from_chain) {
        (Some(file), own, _) => {
            let ak = given(file, with)?;
            if own.is_some_and(|own| own != *ak.key()) {
                return Err(Refusal::TpmOtherAk.into());
            }
            (ak, "key")
        }
        (None, Some(own), true) => (Ak::Key(own), "file"),
        (None, _, _) => return Err(Rejection::no_anchor("--key with the attestation key")),
    };
    let quoted = quote.verify(&ak, None, with.check)?;
    let mut claims = claims_of(form, &quote.attest);
    quoted_claims(&quoted, &mut claims);
    key_claims(&ak, &mut claims);
    claims.insert("anchor".into(), anchor.into());
    nonce(form, &quoted.nonce, with).map_err(|no| no.authenticated().claims(&claims))?;
    Ok(Accepted {
        authenticated: true,
        claims,
    })
}

fn nonce(form: &str, found: &[u8], with: &With<'_>) -> Result<(), Rejection> {
    // trustee's attester fills a shorter hash up to the 64 bytes of its report data.
    if form == "trustee"
        && let Some(wanted) = &with.nonce
        && wanted.len() >= 16
        && found
            .strip_prefix(wanted.as_slice())
            .is_some_and(|rest| found.len() == 64 && rest.iter().all(|byte| *byte == 0))
    {
        return Ok(());
    }
    with.answers(Some(found))
}

fn protobuf(attestation: &Attestation, with: &With<'_>) -> Result<Accepted, Rejection> {
    let (sha1, others): (Vec<&Quote>, Vec<&Quote>) = attestation
        .quotes
        .iter()
        .partition(|quote| quote.is_sha1_only());
    let Some(first) = others.first() else {
        // Says which algorithm it is.
        if let Some(quote) = sha1.first() {
            quote.acceptable()?;
        }
        return Err(Rejection::new("tpm.no_quote", "there is no quote"));
    };
    let (ak, anchor) = protobuf_key(attestation, with)?;
    let mut claims = claims_of("go-tpm-tools", &first.attest);
    protobuf_claims(attestation, &mut claims);
    key_claims(&ak, &mut claims);
    claims.insert("anchor".into(), anchor);
    let failed = |refusal: Refusal| Rejection::from(refusal).claims(&claims);
    for quote in &sha1 {
        quote.authentic(&ak, None, with.check).map_err(failed)?;
    }
    let mut all = Vec::new();
    for quote in &others {
        all.push(quote.verify(&ak, None, with.check).map_err(failed)?);
    }
    let mut pcrs = Claims::new();
    for quoted in &all {
        for (bank, values) in quoted.pcrs.iter().flatten() {
            let name = bank_name(*bank);
            if pcrs.insert(name, values_of(values)).is_some() {
                return Err(failed(Refusal::TpmPcrSelection));
            }
        }
    }
    for quote in &attestation.quotes {
        with.answers(Some(&quote.attest.extra_data))
            .map_err(|no| no.authenticated().claims(&claims))?;
    }
    claims.insert("pcrs".into(), Value::Object(pcrs));
    Ok(Accepted {
        authenticated: true,
        claims,
    })
}

/// The AK of an Attestation, and who says so.
fn protobuf_key(attestation: &Attestation, with: &With<'_>) -> Result<(Ak, Value), Rejection> {
    let ak = Ak::Public(attestation.ak.clone());
    if let Some(file) = &with.key {
        if *given(file, with)?.key() != attestation.ak.key {
            return Err(Refusal::TpmOtherAk.into());
        }
        return Ok((ak, "key".into()));
    }
    if !with.roots.is_empty() && !attestation.ak_certificate.is_empty() {
        let mut ders: Vec<Vec<u8>> = attestation.intermediates.clone();
        ders.reverse();
        ders.push(attestation.ak_certificate.clone());
        let certificate = Certificate::parse(&attestation.ak_certificate)?;
        if *certificate.key() != attestation.ak.key {
            return Err(Refusal::TpmCertificateOther.into());
        }
        let path = Path::of(&ders)?.extended(with)?;
        let anchors = path.anchors(with, &[])?;
        let ders = path.certificates.iter().map(Certificate::der);
        let chain = Chain::parse(ders, Order::RootFirst)?;
        let verified = chain.verify(&anchors, Usage::AttestationKey, with.at, with.check)?;
        return Ok((ak, anchor_name(verified.anchor())));
    }
    if with.root_from_chain {
        return Ok((ak, "file".into()));
    }
    Err(Rejection::no_anchor(
        "--key with the attestation key, or --root for its certificate",
    ))
}

impl Form {
    fn claims(&self) -> Claims {
        match self {
            Self::Raw(attest) => claims_of("tpm2-tools", attest),
            Self::Text(quote) => claims_of("keylime", &quote.attest),
            Self::Json(quote, _) => claims_of("trustee", &quote.attest),
            Self::Protobuf(attestation) => {
                let quotes = &attestation.quotes;
                let best = quotes.iter().find(|quote| !quote.is_sha1_only());
                let mut claims = best
                    .or_else(|| quotes.first())
                    .map(|quote| claims_of("go-tpm-tools", &quote.attest))
                    .unwrap_or_default();
                protobuf_claims(attestation, &mut claims);
                claims
            }
        }
    }
}

fn protobuf_claims(attestation: &Attestation, claims: &mut Claims) {
    let banks: Vec<Value> = attestation
        .quotes
        .iter()
        .flat_map(|quote| banks(&quote.attest))
        .collect();
    claims.insert("banks".into(), banks.into());
    let ignored: Vec<&str> = attestation
        .quotes
        .iter()
        .filter(|quote| quote.is_sha1_only())
        .map(|_| "sha1")
        .collect();
    claims.insert("ignored_banks".into(), json!(ignored));
    let sizes = [
        ("event_log_size", attestation.event_log.len()),
        (
            "canonical_event_log_size",
            attestation.canonical_event_log.len(),
        ),
    ];
    for (name, size) in sizes {
        claims.insert(name.into(), size.into());
    }
    if let Ok(certificate) = Certificate::parse(&attestation.ak_certificate) {
        claims.insert("ak_certificate".into(), path::describe(&certificate));
    }
    public_claims(&attestation.ak, claims);
}

fn claims_of(form: &str, attest: &Attest) -> Claims {
    let mut claims = Claims::new();
    claims.insert("form".into(), form.into());
    claims.insert("nonce".into(), hex(&attest.extra_data).into());
    claims.insert("clock".into(), attest.clock.clock.into());
    claims.insert("reset_count".into(), attest.clock.reset_count.into());
    claims.insert("restart_count".into(), attest.clock.restart_count.into());
    claims.insert("safe".into(), attest.clock.safe.into());
    let firmware = format!("{:#018x}", attest.firmware_version);
    claims.insert("firmware_version".into(), firmware.into());
    let signer = hex(&attest.qualified_signer);
    claims.insert("qualified_signer".into(), signer.into());
    if let Attested::Quote { digest, .. } = &attest.attested {
        claims.insert("pcr_digest".into(), hex(digest).into());
    }
    claims.insert("banks".into(), banks(attest).into());
    claims
}

fn banks(attest: &Attest) -> Vec<Value> {
    let Attested::Quote { selection, .. } = &attest.attested else {
        return Vec::new();
    };
    selection
        .iter()
        .filter(|one| !one.pcrs.is_empty())
        .map(|one| {
            let bank = match one.bank {
                0x0004 => "sha1".to_owned(),
                0x000b => "sha256".to_owned(),
                0x000c => "sha384".to_owned(),
                0x000d => "sha512".to_owned(),
                other => format!("{other:#06x}"),
            };
            json!({ "bank": bank, "pcrs": one.pcrs })
        })
        .collect()
}

fn quoted_claims(quoted: &Quoted, claims: &mut Claims) {
    let Some(banks) = &quoted.pcrs else {
        return;
    };
    let mut pcrs = Claims::new();
    for (bank, values) in banks {
        pcrs.insert(bank_name(*bank), values_of(values));
    }
    claims.insert("pcrs".into(), Value::Object(pcrs));
}

fn bank_name(bank: assay_attest::digest::HashAlg) -> String {
    match bank {
        assay_attest::digest::HashAlg::Sha256 => "sha256".into(),
        assay_attest::digest::HashAlg::Sha384 => "sha384".into(),
        assay_attest::digest::HashAlg::Sha512 => "sha512".into(),
    }
}

fn values_of(values: &std::collections::BTreeMap<u8, assay_attest::digest::Digest>) -> Value {
    let values: Claims = values
        .iter()
        .map(|(index, value)| (index.to_string(), Value::from(hexed(value.bytes()))))
        .collect();
    Value::Object(values)
}

fn key_claims(ak: &Ak, claims: &mut Claims) {
    let key: &PublicKey = ak.key();
    let fingerprint = hex(&assay_attest::digest::sha256(&[&spki::write(key)]));
    claims.insert("key".into(), format!("sha256:{fingerprint}").into());
    claims.insert("key_type".into(), path::key_type(key).into());
    if let Ak::Public(public) = ak {
        public_claims(public, claims);
    }
}

fn public_claims(public: &Public, claims: &mut Claims) {
    if let Ok(name) = public.name() {
        claims.insert("ak_name".into(), hex(name.as_bytes()).into());
    }
    let attributes = format!("{:#010x}", public.attributes.0);
    claims.insert("ak_attributes".into(), attributes.into());
}

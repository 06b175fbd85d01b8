//! Signed SPDM measurements: the transcript, with the chain of the key that signed it.

use assay_attest::codec::spdm::block;
use assay_attest::codec::spdm::transcript::Transcript;
use assay_attest::refusal::Refusal;
use assay_attest::spdm::{Leaf, verify};
use serde_json::{Value, json};

use super::kind::hex;
use super::references::{Components, match_references};
use super::spdm::{
    Found, anchors, chain, chain_of_text, describe_blocks, describe_chain, describe_opaque,
    identity, verified,
};
use super::{Accepted, Artefact, Claims, Kind, Opt, Rejection, With, encoding};

/// The kind `spdm-report`.
pub(crate) struct SpdmReport;

/// One report and what came with it.
struct Report {
    transcript: Transcript,
    chain: Option<Found>,
    nonce: Option<Vec<u8>>,
    arch: Option<String>,
}

impl Kind for SpdmReport {
    fn name(&self) -> &'static str {
        "spdm-report"
    }

    fn about(&self) -> &'static str {
        "Signed measurements of SPDM 1.0 to 1.3 (DSP0274): the transcript of GET_MEASUREMENTS and MEASUREMENTS, one exchange or several of which the last \
         is signed, since 1.2 with the negotiation before them; of BlueField, GPUs, NVSwitches or any other responder. As binary, hex or base64; as JSON \
         of NVIDIA's tools (`evidence`, `certificate`, `nonce`, `arch`; one object, a list, or a list in an object that has nonce and architecture for all); or as the body of Redfish's \
         SPDMGetSignedMeasurements.\n\n\
         --chain gives the certificate chain where the file does not bring it: PEM in either order, DER, an SPDM slot, or JSON in which it stands as PEM. It \
         must end in NVIDIA's device root, which is built in, in a root given with --root, or with --root-from-chain in its own (`anchor` is then `file`). \
         --nonce is the requester's nonce that the signed request must hold; a nonce in the JSON must be that one too.\n\n\
         --reference names a manifest (CoRIM, CoMID, XML RIM) whose every measurement must be there and match, by index; given again, one of several \
         values of an index must. It adds the claims `references`, `reference_matches` (`key`, `outcome`, `expected`, `seen`), `unlisted` and `endorsements`.\n\n\
         The key of the leaf decides the algorithm, since 1.2 together with the signed negotiation; what the JSON says of algorithms decides nothing. Refused are: a \
         byte too few or too many, an index twice or not asked for, digests by two hashes, an unsigned last exchange, exchanges after the signed one, a negotiation \
         that is not signed (before 1.2) or missing (since), measurements that changed while they were read, and a firmware digest in NVIDIA's opaque data that \
         is not the leaf's. Digests of zeros only are shown as unused and match nothing.\n\n\
         Claims: `spdm_version`, `exchanges`, `slot`, `nonce`, `responder_nonce`, `content_changed`, `signature_algorithm` and `base_hash` (since 1.2 as agreed on), \
         `opaque` (`format` nvidia with `fields`, general with `elements`, unknown with `data`), those of `spdm-measurements` and, with a chain, those of `spdm-chain`; \
         `arch` (as the JSON states it); once verified `signed_with` (the hash). Of a list with several, `reports` holds the claims of each, and \
         every one must hold."
    }

    fn takes(&self) -> &'static [Opt] {
        &[
            Opt::Chain,
            Opt::Root,
            Opt::RootFromChain,
            Opt::Nonce,
            Opt::Reference,
        ]
    }

    fn detect(&self, file: &Artefact) -> bool {
        match file.json() {
            Some(json) => entries(&json).iter().any(is_report),
            // Version 1.x, then GET_MEASUREMENTS or GET_VERSION.
            None => matches!(
                file.binary().as_slice(),
                [0x10..=0x1f, 0xe0 | 0x84, _, _, ..]
            ),
        }
    }

    fn inspect(&self, file: &Artefact) -> Result<Claims, Rejection> {
        let described = read(file)?
            .iter()
            .map(|report| {
                let mut claims = describe(report);
                if let Some(found) = &report.chain {
                    describe_chain(found, &mut claims)?;
                }
                Ok(claims)
            })
            .collect::<Result<Vec<_>, Rejection>>()?;
        Ok(together(described))
    }

    fn verify(&self, file: &Artefact, with: &With<'_>) -> Result<Accepted, Rejection> {
        let mut reports = read(file)?;
        if let Some(other) = &with.chain {
            for report in &mut reports {
                report.chain = Some(chain(other)?);
            }
        }
        let mut accepted = Vec::new();
        for report in &reports {
            let mut claims = describe(report);
            match judge(report, with, &mut claims) {
                Ok(()) => accepted.push(claims),
                Err(rejection) => return Err(rejection.claims(&claims)),
            }
        }
        Ok(Accepted {
            authenticated: true,
            claims: together(accepted),
        })
    }
}

fn judge(report: &Report, with: &With<'_>, claims: &mut Claims) -> Result<(), Rejection> {
    let found = report
        .chain
        .as_ref()
        .ok_or_else(|| Rejection::no_anchor("--chain with the responder's certificate chain"))?;
    describe_chain(found, claims)?;
    let anchors = anchors(with, &found.chain)?;
    let chain = verified(with, &found.chain, &anchors)?;
    let leaf = Leaf::of_chain(&chain)?;
    let signed = verify(&report.transcript, &leaf, with.check)?;
    identity(with, &found.chain, &chain, &anchors, claims);
    claims.insert("signed_with".into(), signed.hash().name().into());
    // From here on it is authentic, whatever else is wrong with it.
    let content = || {
        with.answers(Some(report.transcript.nonce()))?;
        if let Some(nonce) = &report.nonce {
            signed.answers(nonce)?;
        }
        signed.consistent(&leaf).map_err(Rejection::from)?;
        match_references(&with.references, &components(&report.transcript))
    };
    match content() {
        Ok(matched) => {
            claims.extend(matched);
            Ok(())
        }
        Err(rejection) => {
            claims.extend(rejection.claims.clone());
            Err(rejection.authenticated())
        }
    }
}

/// What was measured, as manifests name it.
fn components(transcript: &Transcript) -> Components {
    let mut measured = Components::default();
    for block in transcript.blocks().values() {
        let index = u64::from(block.index);
        match &block.value {
            block::Value::Digest(digest) => measured.digest(index, digest),
            block::Value::Raw(bytes) => measured.raw(index, bytes, block.svn()),
        }
    }
    measured
}

/// One report, or each of several.
fn together(mut reports: Vec<Claims>) -> Claims {
    if reports.len() == 1 {
        return reports.remove(0);
    }
    let mut claims = Claims::new();
    claims.insert("reports".into(), json!(reports));
    claims
}

fn describe(report: &Report) -> Claims {
    let transcript = &report.transcript;
    let mut claims = Claims::new();
    if let Some(arch) = &report.arch {
        claims.insert("arch".into(), arch.clone().into());
    }
    claims.insert("spdm_version".into(), transcript.version().as_str().into());
    claims.insert("exchanges".into(), transcript.exchanges().len().into());
    claims.insert("slot".into(), transcript.slot().into());
    claims.insert("nonce".into(), hex(transcript.nonce()).into());
    claims.insert(
        "responder_nonce".into(),
        hex(transcript.responder_nonce()).into(),
    );
    claims.insert(
        "content_changed".into(),
        transcript.changed().as_str().into(),
    );
    if let Some(agreed) = transcript.negotiation() {
        claims.insert(
            "signature_algorithm".into(),
            agreed.asymmetric.to_string().into(),
        );
        claims.insert("base_hash".into(), agreed.hash.name().into());
    }
    describe_opaque(transcript.opaque(), &mut claims);
    describe_blocks(transcript.blocks().values(), &mut claims);
    claims
}

fn is_report(json: &Value) -> bool {
    let text = |name: &str| json.get(name).is_some_and(Value::is_string);
    text("SignedMeasurements") || (text("evidence") && text("certificate"))
}

fn read(file: &Artefact) -> Result<Vec<Report>, Rejection> {
    match file.json() {
        Some(json @ (Value::Array(_) | Value::Object(_))) => {
            let reports: Vec<Report> = entries(&json)
                .iter()
                .map(|entry| from_json(file, entry))
                .collect::<Result<_, _>>()?;
            if reports.is_empty() {
                return Err(malformed("there is no report in it"));
            }
            Ok(reports)
        }
        _ => Ok(vec![Report {
            transcript: Transcript::parse(&file.binary())?,
            chain: None,
            nonce: None,
            arch: None,
        }]),
    }
}

/// The reports of a file: itself, a list, or a list inside of an object whose nonce and architecture are theirs.
fn entries(json: &Value) -> Vec<Value> {
    match json {
        Value::Array(items) => items.clone(),
        Value::Object(fields) if !is_report(json) => {
            let list = fields
                .values()
                .filter_map(Value::as_array)
                .find(|items| items.first().is_some_and(is_report));
            let Some(list) = list else {
                return vec![json.clone()];
            };
            let mut list = list.clone();
            for entry in list.iter_mut().filter_map(Value::as_object_mut) {
                for name in ["nonce", "arch"] {
                    if let (None, Some(value)) = (entry.get(name), fields.get(name)) {
                        entry.insert(name.to_owned(), value.clone());
                    }
                }
            }
            list
        }
        other => vec![other.clone()],
    }
}

fn malformed(why: &str) -> Rejection {
    Rejection::from(Refusal::Malformed {
        what: "the evidence",
        why: why.to_owned(),
    })
}

fn from_json(file: &Artefact, json: &Value) -> Result<Report, Rejection> {
    let text = |name: &str| json.get(name).and_then(Value::as_str);
    let encoded = text("SignedMeasurements")
        .or_else(|| text("evidence"))
        .ok_or_else(|| malformed("it has neither `evidence` nor `SignedMeasurements`"))?;
    let transcript = encoding::from_hex(encoded)
        .or_else(|| encoding::from_base64(encoded))
        .ok_or_else(|| malformed("the transcript is neither base64 nor hexadecimal"))?;
    let chain = text("certificate")
        .map(|text| chain_of_text(file.name(), text))
        .transpose()?;
    let nonce = match json.get("nonce") {
        None | Some(Value::Null) => None,
        Some(nonce) => {
            let bytes = nonce
                .as_str()
                .and_then(|text| encoding::from_hex(text).or_else(|| encoding::from_base64(text)));
            Some(bytes.ok_or_else(|| malformed("the nonce is not hexadecimal"))?)
        }
    };
    Ok(Report {
        transcript: Transcript::parse(&transcript)?,
        chain,
        nonce,
        arch: text("arch").map(str::to_owned),
    })
}

//! Reference Values as files: signed manifests (CoRIM), made and converted on this machine, taken in and put in force by the nexus.

use std::path::{Path, PathBuf};

use assay_api::routes::call;
use assay_api::types::*;
use assay_attest::codec::spki;
use assay_attest::corim::{self, Document, Draft};
use assay_attest::digest::hex;
use assay_attest::reference::ReferenceValues;
use assay_checks::AwsLc;

use super::words::{TenantArg, joined};
use crate::app::Cx;
use crate::clock;
use crate::evidence::{Artefact, Kind as _, Rejection, With, corim as files_corim, rim_xml};
use crate::fault::{Exit, Fault};
use crate::files::{self, Mode};
use crate::key;
use crate::out::{Card, Row};
use crate::session::Session;

/// Who may sign a manifest.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
pub(crate) struct SignerFile {
    /// Its public key: PEM, DER, JWK, COSE_Key.
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Its certificate; counts while that is valid.
    #[arg(long, value_name = "FILE")]
    certificate: Option<PathBuf>,
    /// The root of its chain, which manifests bring.
    #[arg(long, value_name = "FILE")]
    root: Option<PathBuf>,
}

/// Take a manifest in.
#[derive(Debug, clap::Args)]
pub(crate) struct ImportArgs {
    /// The signed CoRIM, or an answer of NVIDIA's RIM service that holds one.
    file: PathBuf,
    /// What the set is called; the one of that name that is in force stays so until this one is activated.
    #[arg(long, value_name = "NAME")]
    name: String,
    /// Which part of a device it speaks of: tpm, irot, erot, accel.0; what its profile says where absent.
    #[arg(long, value_name = "PART")]
    scope: Option<String>,
    /// DPUs that the set is for; every DPU of the tenant where absent.
    #[arg(long = "for", value_name = "DPU", value_delimiter = ',')]
    applies_to: Vec<String>,
    /// Components that may be missing.
    #[arg(long, value_name = "COMPONENT", value_delimiter = ',')]
    optional: Vec<String>,
    /// Components that are not looked at.
    #[arg(long, value_name = "COMPONENT", value_delimiter = ',')]
    ignore: Vec<String>,
    /// Components that must not be measured.
    #[arg(long, value_name = "COMPONENT", value_delimiter = ',')]
    forbid: Vec<String>,
    #[command(flatten)]
    tenant: TenantArg,
}

/// Convert a vendor's manifest.
#[derive(Debug, clap::Args)]
pub(crate) struct ConvertArgs {
    /// An XML RIM, an answer of NVIDIA's RIM service, or a CoRIM in an older wrapping.
    file: PathBuf,
    /// Where the unsigned CoRIM goes.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// The root of the signer's chain; may be given again.
    #[arg(long, value_name = "FILE")]
    root: Vec<PathBuf>,
    /// The signer's key or certificate, in the place of a root.
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// The time for which it is verified; now where absent.
    #[arg(long, value_name = "TIME")]
    at: Option<Time>,
}

impl Row for ReferenceSigner {
    const HEAD: &'static [&'static str] = &["NAME", "KIND", "STATE", "SHA256", "PINNED"];
    fn cells(&self) -> Vec<String> {
        vec![
            self.name.clone(),
            self.kind.clone(),
            self.state.clone(),
            hex(&self.sha256.0),
            self.pinned_at.to_string(),
        ]
    }
}

impl Card for ReferenceImpact {
    fn lines(&self) -> Vec<(&'static str, String)> {
        let one = |on: &ReferenceImpactOn| format!("{}  {}", on.device_id, on.reasons.join(" "));
        vec![
            ("set", self.reference_id.to_string()),
            ("becomes", self.becomes.clone()),
            ("looked at", self.looked_at.to_string()),
            ("not looked at", self.not_looked_at.to_string()),
            ("would fail", self.would_fail.to_string()),
            (
                "failing",
                self.failing.iter().map(one).collect::<Vec<_>>().join("\n"),
            ),
            ("would clear", self.would_clear.to_string()),
            ("clearing", joined(&self.clearing)),
        ]
    }
}

pub(super) async fn import(cx: &Cx, args: ImportArgs) -> Result<(), Fault> {
    let file = Artefact::open(&args.file)?;
    let manifest = files_corim::read(&file).map_err(refused)?;
    let ask = ReferenceImport {
        tenant: args.tenant.tenant,
        name: args.name,
        manifest: B64(manifest),
        scope: args.scope,
        applies_to: args.applies_to,
        optional: args.optional,
        ignored: args.ignore,
        forbidden: args.forbid,
    };
    let session = Session::open(cx).await?;
    let set = session.call::<call::import_reference>(None, &ask).await?;
    let sentence = format!(
        "reference values `{}` version {} ({}) taken in, signed by `{}`: {} components, not in force yet: see `assay reference impact {}`",
        set.name,
        set.version,
        set.id,
        set.signer.as_deref().unwrap_or("-"),
        set.components.len(),
        set.id
    );
    cx.out.done(&sentence, &set)
}

pub(super) async fn impact(cx: &Cx, reference: &str) -> Result<(), Fault> {
    let session = Session::open(cx).await?;
    let impact = session
        .call::<call::show_reference_impact>(Some(reference), &Empty {})
        .await?;
    cx.out.card(&impact)
}

pub(super) async fn activate(cx: &Cx, reference: &str, accept: u32) -> Result<(), Fault> {
    let ask = ReferenceChange {
        accept_failures: accept,
    };
    let session = Session::open(cx).await?;
    let set = session
        .call::<call::activate_reference>(Some(reference), &ask)
        .await?;
    let sentence = format!(
        "reference values `{}` version {} are in force",
        set.name, set.version
    );
    cx.out.done(&sentence, &set)
}

pub(super) async fn retire(cx: &Cx, reference: &str, accept: u32) -> Result<(), Fault> {
    let ask = ReferenceChange {
        accept_failures: accept,
    };
    let session = Session::open(cx).await?;
    let set = session
        .call::<call::retire_reference>(Some(reference), &ask)
        .await?;
    let sentence = format!(
        "reference values `{}` version {} judge no more",
        set.name, set.version
    );
    cx.out.done(&sentence, &set)
}

pub(super) async fn pin(
    cx: &Cx,
    name: String,
    signer: SignerFile,
    tenant: TenantArg,
) -> Result<(), Fault> {
    let certificate = |path: &Path| -> Result<Vec<u8>, Fault> {
        let mut all = Artefact::open(path)?.certificates().map_err(refused)?;
        match (all.pop(), all.is_empty()) {
            (Some(only), true) => Ok(only),
            _ => Err(Fault::usage(format!(
                "`{}` must hold one certificate",
                path.display()
            ))),
        }
    };
    let (kind, der) = match (signer.key, signer.certificate, signer.root) {
        (Some(path), _, _) => {
            let key = Artefact::open(&path)?.public_key().map_err(refused)?;
            ("key", spki::write(&key))
        }
        (_, Some(path), _) => ("certificate", certificate(&path)?),
        (_, _, Some(path)) => ("root", certificate(&path)?),
        (None, None, None) => return Err(Fault::usage("name a key, a certificate or a root")),
    };
    let ask = ReferenceSignerPin {
        tenant: tenant.tenant,
        name,
        kind: kind.into(),
        der: B64(der),
    };
    let session = Session::open(cx).await?;
    let pinned = session
        .call::<call::pin_reference_signer>(None, &ask)
        .await?;
    let sentence = format!(
        "manifests signed by `{}` ({}) are taken in",
        pinned.name, pinned.kind
    );
    cx.out.done(&sentence, &pinned)
}

pub(super) async fn signers(cx: &Cx, tenant: TenantArg) -> Result<(), Fault> {
    let session = Session::open(cx).await?;
    let all = session
        .all::<call::list_reference_signers>(tenant.tenant.as_deref())
        .await?;
    cx.out.list(&all)
}

pub(super) async fn unpin(cx: &Cx, name: String, tenant: TenantArg) -> Result<(), Fault> {
    let ask = ReferenceSignerRetire {
        tenant: tenant.tenant,
        name,
    };
    let session = Session::open(cx).await?;
    let gone = session
        .call::<call::retire_reference_signer>(None, &ask)
        .await?;
    let sentence = format!(
        "manifests signed by `{}` are no longer taken in; sets made of them stay as they are: `assay reference list`",
        gone.name
    );
    cx.out.done(&sentence, &gone)
}

/// The set as an unsigned manifest.
pub(super) async fn export(cx: &Cx, reference: &str, out: &Path) -> Result<(), Fault> {
    files::check_free(out)?;
    let session = Session::open(cx).await?;
    let set = session
        .call::<call::show_reference>(Some(reference), &Empty {})
        .await?;
    let values = values(&set)?;
    files::create(out, &Draft::of(&values).to_bytes(), Mode::Public)?;
    let sentence = format!(
        "written to `{}`; whoever vouches for it signs it: `assay reference sign`",
        out.display()
    );
    cx.out.done(&sentence, &set)
}

/// Signs with the key of the context.
pub(super) fn sign(cx: &Cx, file: &Path, out: &Path, ends: Option<Time>) -> Result<(), Fault> {
    files::check_free(out)?;
    let manifest = Artefact::open(file)?.cbor().map_err(refused)?;
    match Document::parse(&manifest).map_err(|r| refused(r.into()))? {
        Document::Unsigned(_) => {}
        Document::Signed(_) | Document::Comid(..) => {
            return Err(Fault::usage("only an unsigned manifest can be signed")
                .hint("`assay reference export` and `assay reference convert` write such"));
        }
    }
    let name = cx.home.pick(cx.context.as_deref())?;
    let context = cx.home.load(&name)?;
    let signer = key::open(&context.key, &context.key_id)?;
    let key = signer.jwk().public_key().clone();
    let id = context.key_id.to_string();
    let signed = corim::sign(
        manifest,
        &key,
        id.as_bytes(),
        &id,
        ends.map(|t| t.0),
        |message| signer.sign(message).map(Vec::from),
    );
    let signed = signed.map_err(|error| Fault::new("sign.failed", error.to_string()))?;
    files::create(out, &signed, Mode::Public)?;
    let told = serde_json::json!({
        "file": out.display().to_string(),
        "key_id": id,
        "key": hex(&spki::write(&key)),
    });
    cx.out
        .done(&format!("signed by `{id}`: `{}`", out.display()), &told)
}

/// A vendor's manifest as an unsigned one of draft 11, once its own signature holds.
pub(super) fn convert(cx: &Cx, args: &ConvertArgs) -> Result<(), Fault> {
    files::check_free(&args.out)?;
    let file = Artefact::open(&args.file)?;
    let roots = args
        .root
        .iter()
        .map(|path| Artefact::open(path))
        .collect::<Result<_, _>>()?;
    let with = With {
        chain: None,
        roots,
        key: args.key.as_deref().map(Artefact::open).transpose()?,
        nonce: None,
        at: args.at.unwrap_or_else(clock::now).0,
        pcrs: None,
        signature: None,
        references: Vec::new(),
        root_from_chain: false,
        check: &AwsLc,
    };
    let draft = if rim_xml::RimXml.detect(&file) {
        rim_xml::RimXml.verify(&file, &with).map_err(refused)?;
        rim_xml::read(&file).map_err(refused)?.0.to_draft(None)
    } else {
        files_corim::Corim.verify(&file, &with).map_err(refused)?;
        let bytes = files_corim::read(&file).map_err(refused)?;
        let document = Document::parse(&bytes).map_err(|r| refused(r.into()))?;
        let manifest = document
            .corim()
            .ok_or_else(|| Fault::usage("it holds no manifest"))?;
        let triples = manifest
            .comids()
            .flat_map(|comid| comid.triples.reference.clone());
        Draft {
            id: manifest.id.to_string(),
            version: manifest
                .comids()
                .map(|comid| comid.version)
                .max()
                .unwrap_or(0),
            profile: manifest.profile,
            ends: manifest.validity.map(|validity| validity.not_after),
            reference: triples.collect(),
        }
    };
    files::create(&args.out, &draft.to_bytes(), Mode::Public)?;
    let count: usize = draft
        .reference
        .iter()
        .map(|triple| triple.measurements.len())
        .sum();
    let told = serde_json::json!({
        "file": args.out.display().to_string(), "id": draft.id, "measurements": count,
    });
    let sentence = format!(
        "`{}` with {count} measurements written to `{}`; sign it with `assay reference sign`",
        draft.id,
        args.out.display()
    );
    cx.out.done(&sentence, &told)
}

/// What differs between two sets; each a file that `export` wrote, a manifest of ours, or a set of the nexus.
pub(super) async fn diff(cx: &Cx, from: &str, to: &str) -> Result<(), Fault> {
    let session = Session::open(cx).await?;
    let mut sets = Vec::new();
    for name in [from, to] {
        let set = session
            .call::<call::show_reference>(Some(name), &Empty {})
            .await?;
        sets.push(values(&set)?);
    }
    let [before, after] = sets.as_slice() else {
        return Err(Fault::usage("name two sets"));
    };
    let keys: std::collections::BTreeSet<_> = before
        .entries()
        .keys()
        .chain(after.entries().keys())
        .collect();
    let rows: Vec<Difference> = keys
        .into_iter()
        .filter_map(|key| {
            let (was, is) = (before.entries().get(key), after.entries().get(key));
            (was != is).then(|| Difference {
                component: key.to_string(),
                before: was.map_or_else(|| "-".to_owned(), entry),
                after: is.map_or_else(|| "-".to_owned(), entry),
            })
        })
        .collect();
    cx.out.list(&rows)
}

/// One component that differs.
#[derive(Debug, serde::Serialize)]
struct Difference {
    component: String,
    before: String,
    after: String,
}

impl Row for Difference {
    const HEAD: &'static [&'static str] = &["COMPONENT", "BEFORE", "AFTER"];
    fn cells(&self) -> Vec<String> {
        vec![
            self.component.clone(),
            self.before.clone(),
            self.after.clone(),
        ]
    }
}

fn entry(entry: &assay_attest::reference::Entry) -> String {
    let digests = entry.accepted().iter().map(ToString::to_string);
    let all: Vec<String> = digests
        .chain(entry.conditions().iter().map(ToString::to_string))
        .collect();
    format!("{} {}", entry.need().as_str(), all.join(" or "))
}

fn values(set: &Reference) -> Result<ReferenceValues, Fault> {
    let body = set.body.as_ref().ok_or_else(|| {
        Fault::new(
            "reference.body",
            "the nexus did not send the set's canonical form",
        )
        .hint("it may be older than this `assay`: update it")
    })?;
    let values = ReferenceValues::parse(&body.0).map_err(|refusal| refused(refusal.into()))?;
    if values.digest().as_slice() == set.digest.0.as_slice() {
        Ok(values)
    } else {
        Err(Fault::new(
            "reference.digest",
            "the set's canonical form has another digest than the nexus says",
        ))
    }
}

fn refused(rejection: Rejection) -> Fault {
    Fault::new(&rejection.code, rejection.message.as_str()).exit(Exit::Attestation)
}

//! Artefacts of attestation, read and verified on this machine alone.

use std::path::PathBuf;

use assay_api::types::Time;
use assay_checks::AwsLc;
use clap::Subcommand;
use serde::Serialize;
use serde_json::Value;

use crate::app::Cx;
use crate::clock;
use crate::evidence::{Artefact, Claims, Kind, Opt, Rejection, With, encoding, table};
use crate::fault::{Exit, Fault};
use crate::out::Row;

/// What can be done with artefacts.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show what an artefact says; its kind is found out. Nothing of it is believed.
    Inspect {
        /// The artefact; `-` reads standard input.
        file: PathBuf,
    },
    /// List the kinds of artefacts; or say all about one: files, options, claims, what is refused.
    Kinds {
        /// The kind.
        kind: Option<String>,
    },
    /// Verify an artefact: exit code 0 where it holds, 3 where it does not.
    Verify(Box<VerifyArgs>),
}

/// Verify an artefact.
#[derive(Debug, clap::Args)]
pub(crate) struct VerifyArgs {
    /// What it is; `assay evidence kinds` lists the kinds.
    #[arg(long, value_name = "KIND")]
    kind: String,
    /// The artefact; `-` reads standard input.
    file: PathBuf,
    /// Certificates that the file does not bring itself.
    #[arg(long, value_name = "FILE")]
    chain: Option<PathBuf>,
    /// A root certificate that is believed; may be given again.
    #[arg(long, value_name = "FILE")]
    root: Vec<PathBuf>,
    /// The signer's public key: PEM, DER, JWK, COSE_Key, certificate.
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// The nonce that it must answer.
    #[arg(long, value_name = "HEX")]
    nonce: Option<String>,
    /// The time for which it is verified (2026-11-22T21:00:00Z); now where absent.
    #[arg(long, value_name = "TIME")]
    at: Option<Time>,
    /// PCR values that it must replay to, or that it quotes.
    #[arg(long, value_name = "FILE")]
    pcrs: Option<PathBuf>,
    /// The signature, where the file does not hold it.
    #[arg(long, value_name = "FILE")]
    signature: Option<PathBuf>,
    /// Reference Values to hold it against; may be given again.
    #[arg(long, value_name = "FILE")]
    reference: Vec<PathBuf>,
    /// Believe the root that the file itself brings; the claims say so.
    #[arg(long)]
    root_from_chain: bool,
}

/// What was found, as scripts read it.
#[derive(Debug, Serialize)]
struct Inspected {
    kind: &'static str,
    claims: Claims,
}

/// What came of a verification, as scripts read it.
#[derive(Debug, Serialize)]
struct Verified {
    verdict: &'static str,
    code: Option<String>,
    authenticated: bool,
    claims: Claims,
}

pub(super) fn run(cx: &Cx, command: Command) -> Result<u8, Fault> {
    match command {
        Command::Kinds { kind: None } => kinds(cx),
        Command::Kinds { kind: Some(name) } => about(cx, &name),
        Command::Inspect { file } => inspect(cx, &Artefact::open(&file)?),
        Command::Verify(args) => verify(cx, &args),
    }
}

/// A kind, as scripts read it.
#[derive(Debug, Serialize)]
struct KindOut {
    kind: &'static str,
    /// Options of `verify` beside --at.
    takes: Vec<&'static str>,
    /// What collections of test vectors call it.
    also_called: Vec<&'static str>,
    about: &'static str,
}

impl From<&'static dyn Kind> for KindOut {
    fn from(kind: &'static dyn Kind) -> Self {
        Self {
            kind: kind.name(),
            takes: kind.takes().iter().map(|opt| opt.flag()).collect(),
            also_called: table::MANIFEST
                .iter()
                .filter(|(_, ours)| *ours == kind.name())
                .map(|(theirs, _)| *theirs)
                .collect(),
            about: kind.about(),
        }
    }
}

impl Row for KindOut {
    const HEAD: &'static [&'static str] = &["KIND", "WHAT IT IS"];
    fn cells(&self) -> Vec<String> {
        let first = self.about.split_inclusive(". ").next().unwrap_or_default();
        let mut first: String = first.trim_end_matches(". ").to_owned();
        if let Some((at, _)) = first.char_indices().nth(100) {
            first.truncate(at);
            first.push('…');
        }
        vec![self.kind.to_owned(), first]
    }
}

fn kinds(cx: &Cx) -> Result<u8, Fault> {
    let all: Vec<KindOut> = table::KINDS.iter().map(|kind| (*kind).into()).collect();
    cx.out.list(&all)?;
    Ok(0)
}

fn about(cx: &Cx, name: &str) -> Result<u8, Fault> {
    let kind: KindOut = known(name)?.into();
    cx.out.done_in_paragraphs(kind.about, &kind)?;
    Ok(0)
}

fn known(name: &str) -> Result<&'static dyn Kind, Fault> {
    table::find(name).ok_or_else(|| {
        Fault::usage(format!("there is no kind `{name}`")).hint(format!("known kinds: {}", names()))
    })
}

fn inspect(cx: &Cx, file: &Artefact) -> Result<u8, Fault> {
    let kind = table::detect(file).ok_or_else(|| {
        Fault::new(
            "inspect.unknown",
            format!("`{}` is no artefact that is known here", file.name()),
        )
        .exit(Exit::Attestation)
        .hint(format!("known kinds: {}", names()))
    })?;
    let claims = kind.inspect(file).map_err(|rejection| {
        refused(&rejection).hint(format!("it was taken for the kind `{}`", kind.name()))
    })?;
    let mut lines = vec![("kind".to_owned(), kind.name().to_owned())];
    lines.extend(facts(&claims));
    let answer = Inspected {
        kind: kind.name(),
        claims,
    };
    cx.out.facts(&lines, &answer)?;
    Ok(0)
}

fn verify(cx: &Cx, args: &VerifyArgs) -> Result<u8, Fault> {
    let kind = known(&args.kind)?;
    only_what_it_takes(kind, args)?;
    let open = |path: &Option<PathBuf>| path.as_deref().map(Artefact::open).transpose();
    let all = |paths: &[PathBuf]| {
        paths
            .iter()
            .map(|path| Artefact::open(path))
            .collect::<Result<Vec<_>, _>>()
    };
    let nonce = args
        .nonce
        .as_deref()
        .map(|text| {
            encoding::from_hex(text)
                .ok_or_else(|| Fault::usage(format!("the nonce `{text}` is not hexadecimal")))
        })
        .transpose()?;
    let file = Artefact::open(&args.file)?;
    let with = With {
        chain: open(&args.chain)?,
        roots: all(&args.root)?,
        key: open(&args.key)?,
        nonce,
        at: args.at.unwrap_or_else(clock::now).0,
        pcrs: open(&args.pcrs)?,
        signature: open(&args.signature)?,
        references: all(&args.reference)?,
        root_from_chain: args.root_from_chain,
        check: &AwsLc,
    };
    match kind.verify(&file, &with) {
        Ok(accepted) => {
            let signed = if accepted.authenticated {
                "yes"
            } else {
                "no: nothing signs it"
            };
            let mut lines = vec![
                ("verdict".to_owned(), "accept".to_owned()),
                ("signed".to_owned(), signed.to_owned()),
            ];
            lines.extend(facts(&accepted.claims));
            let answer = Verified {
                verdict: "accept",
                code: None,
                authenticated: accepted.authenticated,
                claims: accepted.claims,
            };
            cx.out.facts(&lines, &answer)?;
            Ok(0)
        }
        Err(rejection) => {
            let mut lines = vec![("verdict".to_owned(), "reject".to_owned())];
            if rejection.authenticated {
                let said = "yes: it is what it says that is refused".to_owned();
                lines.push(("signed".to_owned(), said));
            }
            lines.extend(facts(&rejection.claims));
            let fault = refused(&rejection);
            let answer = Verified {
                verdict: "reject",
                code: Some(rejection.code),
                authenticated: rejection.authenticated,
                claims: rejection.claims,
            };
            cx.out.facts(&lines, &answer)?;
            Err(fault)
        }
    }
}

/// Nothing that was asked for is left out unnoticed.
fn only_what_it_takes(kind: &dyn Kind, args: &VerifyArgs) -> Result<(), Fault> {
    let given = [
        (Opt::Chain, args.chain.is_some()),
        (Opt::Root, !args.root.is_empty()),
        (Opt::Key, args.key.is_some()),
        (Opt::Nonce, args.nonce.is_some()),
        (Opt::Pcrs, args.pcrs.is_some()),
        (Opt::Signature, args.signature.is_some()),
        (Opt::Reference, !args.reference.is_empty()),
        (Opt::RootFromChain, args.root_from_chain),
    ];
    match given
        .iter()
        .find(|(opt, given)| *given && !kind.takes().contains(opt))
    {
        Some((opt, _)) => Err(Fault::usage(format!(
            "the kind `{}` has no use for {}",
            kind.name(),
            opt.flag()
        ))
        .hint(format!(
            "leave it out; `assay evidence kinds {}` says what it takes",
            kind.name()
        ))),
        None => Ok(()),
    }
}

fn refused(rejection: &Rejection) -> Fault {
    Fault::new(&rejection.code, rejection.message.as_str()).exit(Exit::Attestation)
}

fn names() -> String {
    let names: Vec<&str> = table::KINDS.iter().map(|kind| kind.name()).collect();
    names.join(", ")
}

/// Claims as lines for people: what is nested is indented, a short list of plain values is one line.
fn facts(claims: &Claims) -> Vec<(String, String)> {
    let mut lines = Vec::new();
    object(claims, 0, &mut lines);
    lines
}

fn object(claims: &Claims, depth: usize, lines: &mut Vec<(String, String)>) {
    for (name, value) in claims {
        entry(name, value, depth, lines);
    }
}

fn entry(name: &str, value: &Value, depth: usize, lines: &mut Vec<(String, String)>) {
    let label = format!("{:indent$}{name}", "", indent = 2 * depth);
    match value {
        Value::Object(inner) if !inner.is_empty() => {
            lines.push((format!("{label}:"), String::new()));
            object(inner, depth + 1, lines);
        }
        Value::Array(items) if items.iter().any(|i| i.is_object() || i.is_array()) => {
            lines.push((format!("{label}:"), String::new()));
            for (index, item) in items.iter().enumerate() {
                entry(&format!("{index}"), item, depth + 1, lines);
            }
        }
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(plain).collect();
            let one = items.join(", ");
            let fits = one.chars().count() <= 80;
            lines.push((label, if fits { one } else { items.join("\n") }));
        }
        other => lines.push((label, plain(other))),
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::Null => "-".to_owned(),
        other => other.to_string(),
    }
}

//! Joining: a one-time token and a new key become a person and a context.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use assay_api::id::{KeyId, OperatorId};
use assay_api::join::challenge_bytes;
use assay_api::log::LogKey;
use assay_api::routes::call;
use assay_api::signer::RequestSigner;
use assay_api::token::{MAX_TOKEN, Token, TokenFault, TokenKind};
use assay_api::types::*;
use assay_client::{Client, Settings};
use assay_tls::Pins;
use serde::Serialize;
use zeroize::Zeroizing;

use crate::app::Cx;
use crate::fault::{Exit, Fault};
use crate::home::{Context, Hex32, KeyPlace};
use crate::key::{AgentKey, Secrecy, load_or_make};
use crate::{clock, files, prompt};

/// How one joins.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The file with the token; `-` reads standard input, and at a terminal asks without showing it.
    #[arg(value_name = "TOKENFILE")]
    token: PathBuf,
    /// Your name, where the token does not fix it (bootstrap); your login where absent.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// What this key is called in lists; this machine's name where absent.
    #[arg(long, value_name = "LABEL")]
    label: Option<String>,
    /// The key file: used where it is there, else made. Kept beside the context where absent.
    #[arg(long, value_name = "FILE", conflicts_with = "agent")]
    key: Option<PathBuf>,
    /// Use this Ed25519 key of ssh-agent, by fingerprint or comment.
    #[arg(long, value_name = "KEY")]
    agent: Option<String>,
    /// Make the key file without a passphrase: for automation only.
    #[arg(long, conflicts_with = "agent")]
    no_passphrase: bool,
}

/// What came of it.
#[derive(Serialize)]
struct Outcome<'a> {
    context: &'a str,
    url: &'a str,
    #[serde(flatten)]
    joined: &'a Joined,
}

pub(super) async fn bootstrap(cx: &Cx, args: Args) -> Result<(), Fault> {
    become_somebody(cx, args, TokenKind::Bootstrap).await
}

pub(super) async fn join(cx: &Cx, args: Args) -> Result<(), Fault> {
    become_somebody(cx, args, TokenKind::Invite).await
}

async fn become_somebody(cx: &Cx, args: Args, kind: TokenKind) -> Result<(), Fault> {
    let context_name = cx.context.clone().unwrap_or_else(|| "default".to_owned());
    cx.home.check_free(&context_name)?;
    let token = read_token(cx, &args.token, kind)?;
    let label = args.label.clone().unwrap_or_else(machine);
    let (signer, place) = key(cx, &args, &context_name, &label)?;
    let thumbprint = *signer.jwk().thumbprint().as_bytes();

    let pins = Pins {
        current: *token.root_pin(),
        next: None,
    };
    let mut settings = Settings::new(token.url().clone(), pins, Some(Arc::clone(&signer)));
    settings.timeout = cx.timeout;
    let client = Client::new(settings)?;
    let secret = || SecretB64(Zeroizing::new(token.secret().to_vec()));

    let begin = JoinBegin { secret: secret() };
    let answer = client.call::<call::begin_join>(None, &begin).await?;
    let (challenge, nexus_id) = (answer.body, answer.nexus_id);
    if challenge.purpose != kind.name() || challenge.challenge.0.len() != 32 {
        return Err(Fault::new(
            "join.challenge",
            "the nexus asked for an answer to something else than the token is for",
        ));
    }
    let message = challenge_bytes(kind.name(), &nexus_id, &challenge.challenge.0, &thumbprint);
    let signature = signer
        .sign(&message)
        .map_err(|e| Fault::new("client.sign", e.to_string()).exit(Exit::Authentication))?;
    let name = args
        .name
        .clone()
        .or_else(|| (kind == TokenKind::Bootstrap).then(person));
    let complete = JoinComplete {
        challenge_id: challenge.challenge_id,
        secret: secret(),
        signature: B64(signature.to_vec()),
        name,
        label: Some(label),
    };
    // Asked for beforehand, so that nothing but writing a file can go wrong once the token is spent.
    let trust = client.call::<call::trust>(None, &Empty {}).await?.body;
    let log_key = log_key(&trust)?;
    let joined = client
        .call::<call::complete_join>(None, &complete)
        .await?
        .body;

    let context = Context {
        url: token.url().to_string(),
        pin: Hex32(nexus_id),
        next_pin: next_pin(&trust),
        pins_checked: clock::now().0.as_secs(),
        operator_id: joined.operator_id.clone(),
        key_id: joined.key_id.clone(),
        name: joined.name.clone(),
        log_key: log_key.to_string(),
        key: place,
    };
    keep(
        cx,
        &context_name,
        &context,
        &joined.operator_id,
        &joined.key_id,
    )?;
    cx.out.done(
        &format!(
            "you are {} ({}, {}) at {}; context `{context_name}`",
            joined.name,
            joined.role.as_str(),
            joined.operator_id,
            context.url
        ),
        &Outcome {
            context: &context_name,
            url: &context.url,
            joined: &joined,
        },
    )
}

/// Writes the context. If that fails the person exists all the same, so everything that is needed is said.
fn keep(
    cx: &Cx,
    name: &str,
    context: &Context,
    operator: &OperatorId,
    key: &KeyId,
) -> Result<(), Fault> {
    let _lock = cx.home.lock()?;
    cx.home.save(name, context, true).map_err(|fault| {
        let message = format!(
            "you have joined as {operator} with key {key}, but the context was not kept: {fault}"
        );
        Fault::new(&fault.code, message)
    })?;
    if cx.home.current()?.is_none() {
        cx.home.set_current(name)?;
    }
    Ok(())
}

fn read_token(cx: &Cx, path: &Path, kind: TokenKind) -> Result<Token, Fault> {
    let bytes = if path == Path::new("-") {
        if std::io::stdin().is_terminal() {
            let typed = prompt::secret("token: ")?;
            Zeroizing::new(typed.as_bytes().to_vec())
        } else {
            files::read_stdin(MAX_TOKEN.saturating_add(2))?
        }
    } else {
        check_not_an_argument(path)?;
        warn_if_shared(cx, path);
        files::read(path, MAX_TOKEN.saturating_add(2))?
    };
    let text = std::str::from_utf8(&bytes).unwrap_or_default().trim();
    Token::parse(text, kind).map_err(|fault| {
        let hint = match fault {
            TokenFault::Kind {
                found: TokenKind::Bootstrap,
            } => "use `assay bootstrap`",
            TokenFault::Kind {
                found: TokenKind::Invite,
            } => "use `assay join`",
            TokenFault::Kind {
                found: TokenKind::Claim,
            } => "it is for the agent of a DPU: `assay-agent enrol`",
            TokenFault::Malformed => "ask for a new one, and copy the whole line",
        };
        Fault::new(fault.code(), fault.to_string())
            .hint(hint)
            .exit(Exit::Authentication)
    })
}

/// A token on the command line is in the shell's history and in the list of processes.
fn check_not_an_argument(path: &Path) -> Result<(), Fault> {
    if path.to_string_lossy().starts_with("assay1.") {
        return Err(Fault::usage(
            "a token is never an argument: everybody on this machine can see it now",
        )
        .hint("put it into a file, or give `-` and type it; and ask for a new one"));
    }
    Ok(())
}

fn warn_if_shared(cx: &Cx, path: &Path) {
    use std::os::unix::fs::MetadataExt;
    if std::fs::metadata(path).is_ok_and(|m| m.is_file() && m.mode() & 0o077 != 0) {
        cx.out.warn(&format!(
            "`{}` can be read by others; they could have joined in your place",
            path.display()
        ));
    }
}

fn key(
    cx: &Cx,
    args: &Args,
    context: &str,
    label: &str,
) -> Result<(Arc<dyn RequestSigner>, KeyPlace), Fault> {
    if let Some(wanted) = &args.agent {
        let key = AgentKey::find(wanted, None)?;
        let place = KeyPlace::Agent(key.fingerprint().to_owned());
        return Ok((Arc::new(key), place));
    }
    let path = match &args.key {
        Some(path) => std::path::absolute(path).map_err(|e| {
            Fault::new("file.read", format!("`{}` is no path: {e}", path.display()))
        })?,
        None => cx.home.key_path(context),
    };
    let secrecy = if args.no_passphrase {
        Secrecy::Plain
    } else {
        Secrecy::Passphrase
    };
    let key = load_or_make(&path, secrecy, &format!("assay {context} {label}"))?;
    Ok((Arc::new(key), KeyPlace::File(path)))
}

fn log_key(trust: &Trust) -> Result<LogKey, Fault> {
    let bad = || {
        Fault::new(
            "join.log_key",
            "the nexus gave no usable key of its audit log",
        )
    };
    let key: [u8; 32] = trust.log_key.0.as_slice().try_into().map_err(|_| bad())?;
    LogKey::new(&trust.log_origin, &key).map_err(|_| bad())
}

fn next_pin(trust: &Trust) -> Option<Hex32> {
    let next = trust.next_root.as_ref()?;
    next.0.as_slice().try_into().ok().map(Hex32)
}

fn person() -> String {
    ["USER", "LOGNAME"]
        .iter()
        .find_map(|v| std::env::var(v).ok().filter(|v| !v.is_empty()))
        .unwrap_or_else(|| "admin".to_owned())
}

fn machine() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name: String = name.trim().chars().take(64).collect();
    if name.is_empty() {
        "key".to_owned()
    } else {
        name
    }
}

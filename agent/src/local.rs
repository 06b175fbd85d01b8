//! What other programs on this DPU may ask the agent: status, a secret, a wipe. A Unix socket (0600), and only this user and root.
//!
//! One question a connection: a line of JSON in; a line of JSON out, then as many bytes as it says.

use crate::deliver::hub::HostInfo;
use crate::deliver::unix::Bound;
use crate::sys::Locked;
use crate::vault::LeaseInfo;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::Path;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

const MAX_LINE: u64 = 1024;
const MAX_ANSWER: usize = 1024 * 1024;
const PATIENCE: Duration = Duration::from_secs(10);

/// A question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Ask {
    /// How things stand.
    Status,
    /// The secret of that name.
    Secret {
        /// Its name.
        name: String,
    },
    /// Wipe every lease now.
    Wipe,
}

/// A question on its way to whoever holds the answer.
#[derive(Debug)]
pub struct Asked {
    /// The question.
    pub ask: Ask,
    /// Where the answer goes.
    pub answer: oneshot::Sender<Answer>,
}

/// An answer.
#[derive(Debug)]
pub enum Answer {
    /// How things stand.
    Status(Box<Report>),
    /// A secret, a copy of its own.
    Secret(Locked),
    /// It is done.
    Done,
    /// It can't be done.
    No {
        /// Stable code.
        code: String,
        /// In words.
        detail: String,
    },
}

/// How things stand, for people and monitors.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// `starting`, `verified`, `stale`, `failed` or `refused`.
    pub state: String,
    /// Codes that go with it.
    pub reasons: Vec<String>,
    /// Seconds that the last good proof counts, where it does.
    pub fresh_for: Option<u64>,
    /// The device.
    pub device: String,
    /// Its name.
    pub name: String,
    /// The nexus.
    pub nexus: String,
    /// Entries of the audit log that this agent has seen, where it has seen any.
    pub audit_size: Option<u64>,
    /// What goes wrong now, by what was tried.
    pub faults: Vec<FaultInfo>,
    /// What one should know.
    pub warnings: Vec<String>,
    /// Leases held.
    pub leases: Vec<LeaseInfo>,
    /// Hosts behind this DPU.
    pub hosts: Vec<HostInfo>,
}

/// Something that went wrong when it was last tried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultInfo {
    /// What was tried.
    pub what: String,
    /// Stable code.
    pub code: String,
    /// In words.
    pub detail: String,
}

#[derive(Serialize, Deserialize)]
struct Head {
    ok: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    length: usize,
}

/// Answers questions until the inbox is closed.
pub async fn serve(socket: Bound, inbox: mpsc::Sender<Asked>) {
    loop {
        let Ok((stream, _)) = socket.listener().accept().await else {
            tokio::time::sleep(Duration::from_secs(1)).await;
            continue;
        };
        if inbox.is_closed() {
            return;
        }
        let inbox = inbox.clone();
        tokio::task::spawn_local(async move {
            let served = timeout(PATIENCE, one(stream, inbox)).await;
            if let Ok(Err(error)) = served {
                tracing::debug!(%error, "a local question was not answered");
            }
        });
    }
}

async fn one(stream: UnixStream, inbox: mpsc::Sender<Asked>) -> io::Result<()> {
    let peer = stream.peer_cred()?.uid();
    let (reader, mut writer) = stream.into_split();
    let answer = if peer == 0 || peer == nix::unistd::geteuid().as_raw() {
        let mut line = String::new();
        BufReader::new(reader.take(MAX_LINE))
            .read_line(&mut line)
            .await?;
        match serde_json::from_str(&line) {
            Ok(ask) => question(ask, &inbox).await,
            Err(_) => no("local.malformed", "the question can't be read"),
        }
    } else {
        tracing::warn!(uid = peer, "a local question from a user who may not ask");
        no("local.forbidden", "ask as root, or as the agent's own user")
    };
    let (head, body) = match &answer {
        Answer::Status(report) => (None, serde_json::to_vec(report)?),
        Answer::Secret(_) | Answer::Done => (None, Vec::new()),
        Answer::No { code, detail } => (Some((code.clone(), detail.clone())), Vec::new()),
    };
    let secret = if let Answer::Secret(secret) = &answer {
        secret.expose()
    } else {
        &body
    };
    let (code, detail) = head.unzip();
    let mut head = serde_json::to_vec(&Head {
        ok: code.is_none(),
        code,
        detail,
        length: secret.len(),
    })?;
    head.push(b'\n');
    writer.write_all(&head).await?;
    writer.write_all(secret).await?;
    writer.shutdown().await
}

async fn question(ask: Ask, inbox: &mpsc::Sender<Asked>) -> Answer {
    let (answer, wait) = oneshot::channel();
    if inbox.send(Asked { ask, answer }).await.is_err() {
        return no("local.ending", "the agent is ending");
    }
    wait.await
        .unwrap_or_else(|_| no("local.ending", "the agent is ending"))
}

/// A refusal.
#[must_use]
pub fn no(code: &str, detail: &str) -> Answer {
    Answer::No {
        code: code.to_owned(),
        detail: detail.to_owned(),
    }
}

/// The asking side could not get its answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// No agent answers.
    #[error(
        "no agent answers at `{path}` ({source}): is assay-agent running, and are you its user or root?"
    )]
    Away {
        /// Where.
        path: String,
        /// What came instead.
        source: io::Error,
    },
    /// It says no.
    #[error("{detail}")]
    No {
        /// Its code.
        code: String,
        /// Its words.
        detail: String,
    },
}

/// Asks the agent at `socket`; gives the bytes of the answer, in locked memory where they may be a secret.
///
/// # Errors
/// [`AskError`].
pub async fn ask(socket: &Path, ask: &Ask) -> Result<Locked, AskError> {
    let asked = async {
        let stream = UnixStream::connect(socket).await?;
        let (reader, mut writer) = stream.into_split();
        let mut line = serde_json::to_vec(ask)?;
        line.push(b'\n');
        writer.write_all(&line).await?;
        // Read byte by byte up to the line's end: a buffer would keep a copy of the secret behind it.
        let mut reader = reader;
        let mut head = Vec::new();
        loop {
            match reader.read_u8().await? {
                b'\n' => break,
                byte if head.len() < 4096 => head.push(byte),
                _ => return Err(io::Error::other("the answer can't be read")),
            }
        }
        let head: Head = serde_json::from_slice(&head)?;
        if head.length > MAX_ANSWER {
            return Err(io::Error::other("the answer is too long"));
        }
        let mut body = Locked::zeroed(head.length)?;
        reader.read_exact(body.as_mut()).await?;
        Ok((head, body))
    };
    let answered = timeout(PATIENCE, asked)
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
    let (head, body) = answered.map_err(|source| AskError::Away {
        path: socket.display().to_string(),
        source,
    })?;
    if head.ok {
        Ok(body)
    } else {
        Err(AskError::No {
            code: head.code.unwrap_or_default(),
            detail: head.detail.unwrap_or_default(),
        })
    }
}

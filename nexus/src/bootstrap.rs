//! The door that the first admin comes through: a one-time token in a file that only root and the nexus read.
//!
//! The door is a row. It is open until the first admin has come in, and then shut for good: deleting or restoring the row is
//! found out at its next use (I12). [`recover`] makes a token that passes a door that is shut; only whoever is root on the
//! machine, with the nexus stopped, can ask for that.

use std::path::{Path, PathBuf};

use assay_api::token::{Token as TokenWords, TokenKind as Word};
use assay_attest::time::Timestamp;
use zeroize::Zeroizing;

use crate::app::App;
use crate::start::{StartFault, write_private};
use crate::store::people::{Door, DoorState};
use crate::store::token::{self, Token, TokenFault, TokenKind, TokenState};
use crate::store::{Change, EntryDraft, Rows, StoreFault, Writes};

/// How long a token lives, in milliseconds.
pub const LIFETIME: u64 = 3_600_000;

/// The key of the row.
pub(crate) const DOOR: &str = "bootstrap";
/// What a token is for that passes only an open door.
const FIRST: &str = "first";
/// What a token is for that passes a shut one.
pub(crate) const RECOVER: &str = "recover";

/// At start: while the door is open, there is a file with a token that opens it; gives its path, which may be shown, as the
/// token may not. `None` once the door is shut. A token that expired, whose file is gone, or that leads elsewhere is
/// replaced; one that still opens stays, so that a restart cuts nobody off. Blocks: not for a runtime's thread.
///
/// # Errors
/// [`StartFault`].
pub fn ensure(app: &App) -> Result<Option<PathBuf>, StartFault> {
    if !app.store.read_now(|rows| door_is_open(rows))? {
        forget_file(app)?;
        return Ok(None);
    }
    let path = app.config.bootstrap_file();
    if let Some(words) = read(&path) {
        let leads_here =
            app.config.public_url() == Some(words.url()) && *words.root_pin() == app.nexus_id;
        if leads_here && opens(app, &words)? {
            return Ok(Some(path));
        }
    }
    make(app, EntryDraft::system("bootstrap.token", "start"), FIRST).map(Some)
}

/// For `assay-nexus recover`: makes a token for one more super:admin although the door is shut, and gives the path of its file.
/// Those made before are void. Blocks: not for a runtime's thread.
///
/// # Errors
/// [`StartFault`].
pub fn recover(app: &App, entry: EntryDraft) -> Result<PathBuf, StartFault> {
    make(app, entry, RECOVER)
}

/// Whether the first admin is still to come.
pub(crate) fn door_is_open(rows: &impl Rows) -> Result<bool, StoreFault> {
    let door: Option<Door> = rows.get(DOOR)?;
    Ok(door.is_none_or(|d| d.state == DoorState::Open))
}

/// Removes the file whose token opens nothing any more, so that nobody takes it for a live one. What is no token stays.
///
/// # Errors
/// The store's faults.
pub(crate) fn forget_file(app: &App) -> Result<(), StoreFault> {
    let path = app.config.bootstrap_file();
    let Some(words) = read(&path) else {
        return Ok(());
    };
    if !opens(app, &words)?
        && let Err(error) = std::fs::remove_file(&path)
    {
        tracing::warn!(path = %path.display(), %error, "the file of a spent token can't be removed");
    }
    Ok(())
}

/// Whether this token still lets somebody in.
fn opens(app: &App, words: &TokenWords) -> Result<bool, StoreFault> {
    let now = app.store.clock().now();
    app.store.read_now(
        |rows| match token::look(rows, TokenKind::Bootstrap, words.secret(), now) {
            Ok(token) => Ok(token.subject == RECOVER || door_is_open(rows)?),
            Err(TokenFault::Store(fault)) => Err(fault),
            Err(_) => Ok(false),
        },
    )
}

fn make(app: &App, entry: EntryDraft, subject: &'static str) -> Result<PathBuf, StartFault> {
    let path = app.config.bootstrap_file();
    let wrong = |why: String| StartFault::Bootstrap {
        path: path.clone(),
        why,
    };
    let url = app.config.public_url().cloned();
    let url = url.ok_or_else(|| wrong("there is no public URL".to_owned()))?;
    let secret = app
        .store
        .write_blocking(move |tx| tx.change(entry, |c| issue(c, subject)))?;
    let words = TokenWords::new(Word::Bootstrap, secret, url, app.nexus_id)
        .map_err(|e| wrong(e.to_string()))?;
    write_private(&path, words.expose().as_bytes()).map_err(|e| wrong(e.to_string()))?;
    Ok(path)
}

/// One open token: those before are void.
fn issue(c: &mut Change<'_, '_>, subject: &str) -> Result<Zeroizing<[u8; 32]>, StoreFault> {
    let now = c.now();
    if c.get::<Door>(DOOR)?.is_none() {
        c.insert(&Door {
            name: DOOR.into(),
            state: DoorState::Open,
        })?;
    }
    for mut token in open_tokens(c, now)? {
        token.state = TokenState::Void;
        c.update(&token)?;
    }
    let end = now.plus_millis(LIFETIME);
    token::issue(c, TokenKind::Bootstrap, "", subject, end)
}

fn open_tokens(rows: &impl Rows, now: Timestamp) -> Result<Vec<Token>, StoreFault> {
    let mut tokens: Vec<Token> = rows.find("tenant", "")?;
    tokens.retain(|t| {
        t.kind == TokenKind::Bootstrap && t.state == TokenState::Open && now < t.expires
    });
    Ok(tokens)
}

/// The token in a file; `None` for whatever else is there.
fn read(path: &Path) -> Option<TokenWords> {
    let text = Zeroizing::new(std::fs::read_to_string(path).ok()?);
    TokenWords::parse(text.trim(), Word::Bootstrap).ok()
}

#[cfg(test)]
#[path = "bootstrap_tests.rs"]
mod tests;

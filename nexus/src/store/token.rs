//! One-time tokens: bootstrap, invite, claim. The store keeps a hash; a failed attempt burns nothing; exactly one wins.

use assay_attest::time::Timestamp;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::fault::StoreFault;
use super::tx::{Change, Writes};
use super::view::Rows;
use crate::keys::KeyFault;

crate::column_enum! {
    /// What a token lets in.
    pub enum TokenKind {
        /// The first admin.
        Bootstrap = "bootstrap",
        /// A person.
        Invite = "invite",
        /// A DPU.
        Claim = "claim",
    }
}

crate::column_enum! {
    /// Whether a token still opens anything.
    pub enum TokenState {
        /// It does, until it expires.
        Open = "open",
        /// It has.
        Spent = "spent",
        /// It was taken back.
        Void = "void",
    }
}

crate::trust_row! {
    /// A one-time token, without its secret.
    pub struct Token in "token" {
        key {
            /// What it lets in.
            kind: TokenKind,
            /// The first 16 bytes of `hash`.
            id: [u8; 16],
        }
        columns {
            /// SHA-256 of the secret.
            hash: [u8; 32],
            /// The tenant; empty for what is global.
            tenant: String,
            /// What it is for: the caller's words, such as the id of an invited operator or of a claim.
            subject: String,
            /// From when on it opens nothing.
            expires: Timestamp,
            /// Whether it still opens anything.
            state: TokenState,
        }
        index { tenant }
    }
}

/// Why a token does not open. Outside, all but the store's fault are one `auth.failed`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenFault {
    /// There is none with this secret.
    #[error("this token is not known")]
    Unknown,
    /// It has been used.
    #[error("this token was used before")]
    Spent,
    /// It was taken back.
    #[error("this token was taken back")]
    Void,
    /// Its time is over.
    #[error("this token has expired")]
    Expired,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreFault),
}

impl TokenFault {
    /// The exact step, for audit entries.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Unknown => "token.unknown",
            Self::Spent => "token.spent",
            Self::Void => "token.void",
            Self::Expired => "token.expired",
            Self::Store(fault) => fault.code(),
        }
    }
}

/// A token's id: the first 16 bytes of SHA-256(secret).
#[must_use]
pub fn id(secret: &[u8; 32]) -> [u8; 16] {
    hash(secret).first_chunk().copied().unwrap_or_default()
}

fn hash(secret: &[u8; 32]) -> [u8; 32] {
    Sha256::digest(secret).into()
}

/// Makes a token and gives its secret, which is shown once and stored nowhere.
///
/// # Errors
/// The store's faults; [`KeyFault::Random`].
pub fn issue(
    change: &mut Change<'_, '_>,
    kind: TokenKind,
    tenant: &str,
    subject: &str,
    expires: Timestamp,
) -> Result<Zeroizing<[u8; 32]>, StoreFault> {
    let mut secret = Zeroizing::new([0; 32]);
    getrandom::fill(secret.as_mut_slice()).map_err(|e| KeyFault::Random(e.to_string()))?;
    let (tenant, subject, state) = (tenant.to_owned(), subject.to_owned(), TokenState::Open);
    change.insert(&Token {
        kind,
        id: id(&secret),
        hash: hash(&secret),
        tenant,
        subject,
        expires,
        state,
    })?;
    Ok(secret)
}

/// The open token with this secret. For the first of two calls, and for what is decided before; it spends nothing.
///
/// # Errors
/// [`TokenFault`].
pub fn look(
    rows: &impl Rows,
    kind: TokenKind,
    secret: &[u8; 32],
    now: Timestamp,
) -> Result<Token, TokenFault> {
    let token = rows
        .get::<Token>((&kind, &id(secret)))?
        .ok_or(TokenFault::Unknown)?;
    if !bool::from(token.hash.ct_eq(&hash(secret))) {
        return Err(TokenFault::Unknown);
    }
    match token.state {
        TokenState::Spent => Err(TokenFault::Spent),
        TokenState::Void => Err(TokenFault::Void),
        TokenState::Open if token.expires <= now => Err(TokenFault::Expired),
        TokenState::Open => Ok(token),
    }
}

/// Spends the token, in the change that makes what it is for. Where that fails, nothing is burnt.
///
/// # Errors
/// [`TokenFault`].
pub fn spend(
    change: &mut Change<'_, '_>,
    kind: TokenKind,
    secret: &[u8; 32],
) -> Result<Token, TokenFault> {
    let mut token = look(change, kind, secret, change.now())?;
    token.state = TokenState::Spent;
    change.update(&token)?;
    Ok(token)
}

/// Takes a token back by its id. One that is spent stays so.
///
/// # Errors
/// [`TokenFault::Unknown`], [`TokenFault::Spent`], and the store's faults.
pub fn void(
    change: &mut Change<'_, '_>,
    kind: TokenKind,
    id: &[u8; 16],
) -> Result<Token, TokenFault> {
    let mut token = change
        .get::<Token>((&kind, id))?
        .ok_or(TokenFault::Unknown)?;
    if token.state == TokenState::Spent {
        return Err(TokenFault::Spent);
    }
    token.state = TokenState::Void;
    change.update(&token)?;
    Ok(token)
}

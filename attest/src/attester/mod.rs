//! The building side (Attester, RFC 9334): claims, members, envelope. Keys sign by closure, so no private key comes in
//! but that of the lab's software root ([`dice`]).
//!
//! Begin a [`Draft`] with the session, then for each root in the order of [`Label`]: ask what it must sign
//! ([`Draft::binding`]), let it sign, add its member; seal last.

pub mod dice;
pub mod logs;
pub mod spdm;
pub mod tpm;

use crate::claims::StatedClaims;
use crate::codec::cose::{self, BuildError, Protected};
use crate::evidence::envelope::{self, CLAIMS_MEDIA_TYPE, CONTENT_TYPE, Wrapped};
use crate::expected::RequestKey;
use crate::hpke::HpkeKey;
use crate::refusal::Refusal;
use crate::session::{Binding, BindingChain, Label, Session, SessionInput};
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

/// What an agent states of itself and its machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// Universal Entity ID (RFC 9711, 4.2.1), 7 to 33 bytes; this or a serial must be there.
    pub ueid: Option<Vec<u8>>,
    /// Serial number of the machine.
    pub serial: Option<String>,
    /// Ed25519 key of the channel to hosts.
    pub channel_key: [u8; 32],
    /// Version of the agent.
    pub agent_version: String,
    /// Boots so far, where the platform counts them.
    pub boot_count: Option<u64>,
    /// Seconds since boot.
    pub uptime: u64,
    /// Host name.
    pub hostname: String,
    /// Hardware model.
    pub hwmodel: String,
}

/// Evidence in the making.
#[derive(Clone, Debug)]
pub struct Draft {
    session: Session,
    chain: BindingChain,
    members: Vec<Wrapped>,
}

impl Draft {
    /// Begins with the `claims` member.
    ///
    /// # Errors
    /// What the Verifier would refuse: texts that are too long, neither UEID nor serial.
    pub fn begin(input: &SessionInput<'_>, statement: &Statement) -> Result<Self, Refusal> {
        let session = Session::new(input);
        let stated = stated_claims(
            &session,
            input.hpke,
            input.request_key_thumbprint,
            statement,
        );
        let value = envelope::write_claims(&stated);
        envelope::parse_claims(&value)?;
        let mut draft = Self {
            session,
            chain: BindingChain::new(session),
            members: Vec::new(),
        };
        draft.add(Label::Claims, CLAIMS_MEDIA_TYPE, value)?;
        Ok(draft)
    }

    /// The session that this evidence answers.
    #[must_use]
    pub const fn session(&self) -> &Session {
        &self.session
    }

    /// What the root behind `label` must sign now: a TPM as qualifying data (quote and certification alike), an SPDM
    /// responder as its nonce, a DICE leaf as its message.
    ///
    /// # Errors
    /// [`Refusal::MemberOrder`], [`Refusal::MemberTwice`].
    pub fn binding(&self, label: Label) -> Result<Binding, Refusal> {
        self.chain.binding(label)
    }

    /// Adds a member.
    ///
    /// # Errors
    /// [`Refusal::MemberOrder`], [`Refusal::MemberTwice`].
    pub fn add(&mut self, label: Label, media_type: &str, value: Vec<u8>) -> Result<(), Refusal> {
        self.chain.push(label, &value)?;
        self.members.push(Wrapped {
            label,
            media_type: media_type.to_string(),
            value,
        });
        Ok(())
    }

    /// Wraps and signs the lot. `sign` gets the bytes to be signed, unhashed, and gives the raw signature (64 bytes).
    ///
    /// # Errors
    /// [`BuildError::Signer`] with what the signer said.
    pub fn seal<E>(
        &self,
        request_key: &RequestKey,
        sign: impl FnOnce(&[u8]) -> Result<Vec<u8>, E>,
    ) -> Result<Vec<u8>, BuildError<E>> {
        let protected = Protected {
            key: request_key.key(),
            key_id: request_key.thumbprint(),
            content_type: CONTENT_TYPE,
        };
        cose::build(
            &protected,
            envelope::write_collection(&self.members),
            b"",
            sign,
        )
    }
}

fn stated_claims(
    session: &Session,
    hpke: &HpkeKey,
    request_key_thumbprint: [u8; 32],
    statement: &Statement,
) -> StatedClaims {
    let Statement {
        ueid,
        serial,
        channel_key,
        agent_version,
        boot_count,
        uptime,
        hostname,
        hwmodel,
    } = statement.clone();
    StatedClaims {
        session: *session.as_bytes(),
        ueid,
        serial,
        hpke: hpke.clone(),
        request_key_thumbprint,
        channel_key,
        agent_version,
        boot_count,
        uptime,
        hostname,
        hwmodel,
    }
}

//! What agent and assay-host say to each other over their channel: few messages, framed and bounded.
//!
//! A frame is a 4-byte big-endian length and that many bytes of deterministic CBOR. Both sides say hello first. The
//! channel is authenticated by TLS with pinned keys; what it carries for the host to trust is signed by the nexus anyway.

use assay_attest::time::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::id::HostId;
use crate::signed::{bytes, from_slice, to_vec};

/// The version that is spoken.
pub const VERSION: u32 = 1;
/// The most that one frame may hold, in bytes: a manifest and a little more.
pub const MAX_FRAME: usize = 2 * 1024 * 1024;
const MAX_TEXT: usize = 512;

/// What the agent says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum FromAgent {
    /// First of all.
    Hello {
        /// See [`VERSION`].
        version: u32,
    },
    /// A manifest to install: the signed bytes.
    Manifest {
        /// COSE_Sign1 by the delivery key.
        #[serde(with = "bytes")]
        manifest: Vec<u8>,
    },
    /// Report the host's posture, bound to a session (design section 2, member `posture`). A host that can't yet says
    /// [`FromHost::Declined`].
    PostureAsk {
        /// The session, 32 bytes.
        #[serde(with = "bytes")]
        session: [u8; 32],
    },
}

/// What the host says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum FromHost {
    /// First of all.
    Hello {
        /// See [`VERSION`].
        version: u32,
        /// Who it is; the agent holds it against the key that this channel ended in.
        host_id: HostId,
        /// The sequence of the manifest in force; 0 for none.
        sequence: u64,
        /// The end of that manifest; absent where there is none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        not_after: Option<Timestamp>,
    },
    /// What became of a manifest.
    Report {
        /// Its sequence; 0 where it could not even be read.
        sequence: u64,
        /// `ok`, or a stable code.
        outcome: String,
        /// In words, at most 512 bytes.
        detail: String,
    },
    /// Ask the nexus for a newer manifest now.
    Refresh,
    /// The host does not do what was asked.
    Declined {
        /// A stable code.
        code: String,
    },
    /// The posture asked for: report and signature by the host key.
    Posture {
        /// The report's bytes.
        #[serde(with = "bytes")]
        report: Vec<u8>,
        /// Ed25519 over SHA-256(lp("assay/posture/1") lp(session) lp(report)).
        #[serde(with = "bytes")]
        signature: Vec<u8>,
    },
}

/// Why what came over the channel is refused. The channel is closed then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChannelFault {
    /// A frame, or a text in it, is over its limit.
    #[error("a message over the channel is too long")]
    TooLarge,
    /// Not a message of this direction.
    #[error("a message over the channel is malformed: {0}")]
    Malformed(String),
    /// The other side speaks another version.
    #[error(
        "the other side speaks version {found} of the channel, this one {VERSION}: update the older of agent and assay-host"
    )]
    Version {
        /// Its version.
        found: u32,
    },
    /// Something came before hello, or hello came twice.
    #[error("the other side did not begin with one hello")]
    Order,
}

impl ChannelFault {
    /// The name that machines may rely on.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::TooLarge => "channel.too_large",
            Self::Malformed(_) => "channel.malformed",
            Self::Version { .. } => "channel.version",
            Self::Order => "channel.order",
        }
    }
}

/// A message of either direction.
pub trait Message: Serialize + DeserializeOwned {
    /// The version, where this is a hello.
    fn hello(&self) -> Option<u32>;

    /// Bounds that the types do not hold.
    ///
    /// # Errors
    /// [`ChannelFault::TooLarge`].
    fn check(&self) -> Result<(), ChannelFault>;
}

impl Message for FromAgent {
    fn hello(&self) -> Option<u32> {
        if let Self::Hello { version } = self {
            Some(*version)
        } else {
            None
        }
    }

    fn check(&self) -> Result<(), ChannelFault> {
        Ok(())
    }
}

impl Message for FromHost {
    fn hello(&self) -> Option<u32> {
        if let Self::Hello { version, .. } = self {
            Some(*version)
        } else {
            None
        }
    }

    fn check(&self) -> Result<(), ChannelFault> {
        let short = match self {
            Self::Report {
                outcome, detail, ..
            } => outcome.len() <= 64 && detail.len() <= MAX_TEXT,
            Self::Declined { code } => code.len() <= 64,
            Self::Posture { report, signature } => {
                report.len() <= 64 * 1024 && signature.len() == 64
            }
            Self::Hello { .. } | Self::Refresh => true,
        };
        if short {
            Ok(())
        } else {
            Err(ChannelFault::TooLarge)
        }
    }
}

/// The frame of a message.
///
/// # Errors
/// [`ChannelFault::TooLarge`].
pub fn frame<M: Message>(message: &M) -> Result<Vec<u8>, ChannelFault> {
    message.check()?;
    let body = to_vec(message).map_err(ChannelFault::Malformed)?;
    let length = u32::try_from(body.len())
        .ok()
        .filter(|_| body.len() <= MAX_FRAME)
        .ok_or(ChannelFault::TooLarge)?;
    Ok([length.to_be_bytes().as_slice(), &body].concat())
}

/// Takes bytes as they come and gives messages. The first is a hello of our version, and only the first.
#[derive(Debug, Default)]
pub struct Inbox {
    buffer: Vec<u8>,
    greeted: bool,
}

impl Inbox {
    /// Takes what was read.
    pub fn push(&mut self, read: &[u8]) {
        self.buffer.extend_from_slice(read);
    }

    /// The next whole message; `None` where more bytes are needed. After an error the channel is to be closed.
    ///
    /// # Errors
    /// [`ChannelFault`].
    pub fn take<M: Message>(&mut self) -> Result<Option<M>, ChannelFault> {
        let Some((length, rest)) = self.buffer.split_first_chunk::<4>() else {
            return Ok(None);
        };
        let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
        if length > MAX_FRAME {
            return Err(ChannelFault::TooLarge);
        }
        let Some(body) = rest.get(..length) else {
            return Ok(None);
        };
        let message: M = from_slice("message", body, MAX_FRAME).map_err(ChannelFault::Malformed)?;
        message.check()?;
        self.buffer.drain(..length.saturating_add(4));
        match message.hello() {
            Some(_) if self.greeted => return Err(ChannelFault::Order),
            Some(version) if version != VERSION => {
                return Err(ChannelFault::Version { found: version });
            }
            None if !self.greeted => return Err(ChannelFault::Order),
            Some(_) | None => self.greeted = true,
        }
        Ok(Some(message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn hello() -> FromHost {
        FromHost::Hello {
            version: VERSION,
            host_id: HostId::from_random(&[1; 16]),
            sequence: 0,
            not_after: None,
        }
    }

    fn report() -> FromHost {
        FromHost::Report {
            sequence: 3,
            outcome: "ok".into(),
            detail: String::new(),
        }
    }

    fn read<M: Message>(wire: &[u8]) -> Result<Vec<M>, ChannelFault> {
        let mut inbox = Inbox::default();
        inbox.push(wire);
        let mut out = Vec::new();
        while let Some(message) = inbox.take()? {
            out.push(message);
        }
        Ok(out)
    }

    #[test]
    fn messages_come_whole_however_the_bytes_come() {
        let sent = vec![
            hello(),
            report(),
            FromHost::Refresh,
            FromHost::Declined {
                code: "posture.none".into(),
            },
            FromHost::Posture {
                report: vec![1],
                signature: vec![2; 64],
            },
        ];
        let wire: Vec<u8> = sent.iter().flat_map(|m| frame(m).unwrap()).collect();
        let (mut inbox, mut got) = (Inbox::default(), Vec::new());
        for byte in wire {
            inbox.push(&[byte]);
            while let Some(message) = inbox.take::<FromHost>().unwrap() {
                got.push(message);
            }
        }
        assert_eq!(got, sent);
        let sent = vec![
            FromAgent::Hello { version: VERSION },
            FromAgent::Manifest {
                manifest: vec![7; 1 << 20],
            },
            FromAgent::PostureAsk { session: [1; 32] },
        ];
        let wire: Vec<u8> = sent.iter().flat_map(|m| frame(m).unwrap()).collect();
        assert_eq!(read::<FromAgent>(&wire).unwrap(), sent);
    }

    #[test]
    fn hello_comes_first_once_and_in_our_version() {
        let join = |messages: &[FromHost]| {
            messages
                .iter()
                .flat_map(|m| frame(m).unwrap())
                .collect::<Vec<_>>()
        };
        assert_eq!(
            read::<FromHost>(&join(&[report()])),
            Err(ChannelFault::Order)
        );
        assert_eq!(
            read::<FromHost>(&join(&[hello(), hello()])),
            Err(ChannelFault::Order)
        );
        let other = frame(&FromAgent::Hello { version: 2 }).unwrap();
        assert_eq!(
            read::<FromAgent>(&other),
            Err(ChannelFault::Version { found: 2 })
        );
    }

    #[test]
    fn too_long_and_unknown_are_refused() {
        assert_eq!(read::<FromHost>(&[0xff; 8]), Err(ChannelFault::TooLarge));
        let manifest = FromAgent::Manifest {
            manifest: vec![0; MAX_FRAME],
        };
        assert_eq!(frame(&manifest), Err(ChannelFault::TooLarge));
        let long = FromHost::Report {
            sequence: 1,
            outcome: "ok".into(),
            detail: "x".repeat(513),
        };
        assert_eq!(frame(&long), Err(ChannelFault::TooLarge));
        let wrong_way = frame(&FromAgent::Hello { version: VERSION }).unwrap();
        assert_eq!(
            read::<FromHost>(&wrong_way).unwrap_err().code(),
            "channel.malformed"
        );
        assert_eq!(
            read::<FromHost>(&[0, 0, 0, 1, 0xf6]).unwrap_err().code(),
            "channel.malformed"
        );
        assert_eq!(
            read::<FromHost>(&[0, 0, 0, 0]).unwrap_err().code(),
            "channel.malformed"
        );
    }

    proptest! {
        #[test]
        fn never_panics(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let length = u32::try_from(bytes.len()).unwrap().to_be_bytes();
            let _ = read::<FromHost>(&bytes);
            let _ = read::<FromAgent>(&[length.as_slice(), &bytes].concat());
        }
    }
}

//! What every kind of artefact can do, and what it is given.

use assay_attest::chain::{Anchor, AnchorKind, TrustAnchors};
use assay_attest::codec::x509::Certificate;
use assay_attest::key::{CheckSignature, PublicKey};
use assay_attest::refusal::Refusal;
use assay_attest::time::Timestamp;
use serde_json::Value;

use super::Artefact;

/// What an artefact says: stable, documented names; digests as `sha384:hex`, bytes as hex, times as RFC 3339.
pub(crate) type Claims = serde_json::Map<String, Value>;

/// One kind of artefact.
pub(crate) trait Kind: Sync {
    /// `spdm-report`: the word after `--kind`.
    fn name(&self) -> &'static str;
    /// For the man page: which files, which options, which claims, what is refused and why. Paragraphs are parted by an empty line.
    fn about(&self) -> &'static str;
    /// The options that [`Kind::verify`] reads. Any other is a wrong command line, so that no check is ever skipped unnoticed.
    fn takes(&self) -> &'static [Opt];
    /// Whether the file looks like one: cheap, and an answer for any bytes.
    fn detect(&self, file: &Artefact) -> bool;
    /// What it says; nothing is believed.
    ///
    /// # Errors
    /// Where it is not what it looked like.
    fn inspect(&self, file: &Artefact) -> Result<Claims, Rejection>;
    /// Whether it holds.
    ///
    /// # Errors
    /// Why it does not.
    fn verify(&self, file: &Artefact, with: &With<'_>) -> Result<Accepted, Rejection>;
}

/// An option of `assay evidence verify` beside `--at`, which every kind takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opt {
    /// `--chain`
    Chain,
    /// `--root`
    Root,
    /// `--key`
    Key,
    /// `--nonce`
    Nonce,
    /// `--pcrs`
    Pcrs,
    /// `--signature`
    Signature,
    /// `--reference`
    Reference,
    /// `--root-from-chain`
    RootFromChain,
}

impl Opt {
    /// As it is typed.
    #[must_use]
    pub(crate) const fn flag(self) -> &'static str {
        match self {
            Self::Chain => "--chain",
            Self::Root => "--root",
            Self::Key => "--key",
            Self::Nonce => "--nonce",
            Self::Pcrs => "--pcrs",
            Self::Signature => "--signature",
            Self::Reference => "--reference",
            Self::RootFromChain => "--root-from-chain",
        }
    }
}

/// An artefact that holds.
#[derive(Debug)]
pub(crate) struct Accepted {
    /// Whether a signature under a key or root that the caller named (or a built-in one) covers it.
    pub(crate) authenticated: bool,
    /// What it says.
    pub(crate) claims: Claims,
}

/// An artefact that does not.
#[derive(Debug)]
pub(crate) struct Rejection {
    /// Stable, dotted.
    pub(crate) code: String,
    /// For people.
    pub(crate) message: String,
    /// Whether its signature held all the same, so that it is its content that was refused.
    pub(crate) authenticated: bool,
    /// What could be read.
    pub(crate) claims: Claims,
}

impl Rejection {
    /// Without claims, not authenticated.
    #[must_use]
    pub(crate) fn new(code: &str, message: impl Into<String>) -> Self {
        Self {
            code: code.to_owned(),
            message: message.into(),
            authenticated: false,
            claims: Claims::new(),
        }
    }

    /// A signed kind where nobody said whom to believe.
    #[must_use]
    pub(crate) fn no_anchor(wanted: &str) -> Self {
        Self::new(
            "verify.no_anchor",
            format!("nothing says who may sign this: give {wanted}"),
        )
    }

    /// Another nonce than the one that was asked for.
    #[must_use]
    pub(crate) fn nonce() -> Self {
        Self::new(
            "evidence.nonce",
            "the artefact answers another nonce than the one given with --nonce",
        )
    }

    /// With what could be read.
    #[must_use]
    pub(crate) fn claims(mut self, claims: &Claims) -> Self {
        self.claims = claims.clone();
        self
    }

    /// Its signature held; its content is refused.
    #[must_use]
    pub(crate) fn authenticated(mut self) -> Self {
        self.authenticated = true;
        self
    }
}

impl From<Refusal> for Rejection {
    fn from(refusal: Refusal) -> Self {
        Self::new(refusal.code(), refusal.to_string())
    }
}

/// What `assay evidence verify` was given beside the file.
pub(crate) struct With<'a> {
    /// `--chain`: certificates that the file does not bring itself.
    pub(crate) chain: Option<Artefact>,
    /// `--root`: certificates that are believed.
    pub(crate) roots: Vec<Artefact>,
    /// `--key`: a public key that is believed.
    pub(crate) key: Option<Artefact>,
    /// `--nonce`: what the artefact must answer.
    pub(crate) nonce: Option<Vec<u8>>,
    /// `--at`, or now.
    pub(crate) at: Timestamp,
    /// `--pcrs`: values that a log must replay to, or that a quote covers.
    pub(crate) pcrs: Option<Artefact>,
    /// `--signature`: where it is not in the file.
    pub(crate) signature: Option<Artefact>,
    /// `--reference`: more of what the kind says in its man page.
    pub(crate) references: Vec<Artefact>,
    /// `--root-from-chain`: believe the file's own root, and say so.
    pub(crate) root_from_chain: bool,
    /// aws-lc.
    pub(crate) check: &'a dyn CheckSignature,
}

impl With<'_> {
    /// The certificates of every `--root`, parsed.
    ///
    /// # Errors
    /// Where a file holds none, or one can't be read.
    pub(crate) fn root_certificates(&self) -> Result<Vec<Certificate>, Rejection> {
        let mut all = Vec::new();
        for file in &self.roots {
            for der in file.certificates()? {
                all.push(Certificate::parse(&der)?);
            }
        }
        Ok(all)
    }

    /// The pinned roots: those of `--root`, the built-in ones that the kind names, and with `--root-from-chain` the file's own (`first`).
    ///
    /// # Errors
    /// `verify.no_anchor` where that is none; what is wrong with a root.
    pub(crate) fn anchors(
        &self,
        built_in: &[Anchor],
        first: Option<&Certificate>,
    ) -> Result<TrustAnchors, Rejection> {
        let mut all = Vec::new();
        for root in self.root_certificates()? {
            let name = format!("sha256:{}", hex(&root.spki_sha256()));
            all.push(Anchor::from_certificate(
                &name,
                AnchorKind::Operator,
                &root,
            )?);
        }
        if self.root_from_chain
            && let Some(first) = first
        {
            all.push(Anchor::from_certificate(
                "file",
                AnchorKind::Operator,
                first,
            )?);
        }
        all.extend(built_in.iter().cloned());
        TrustAnchors::from_vec(all)
            .ok_or_else(|| Rejection::no_anchor("--root with the root's certificate"))
    }

    /// The key of `--key`.
    ///
    /// # Errors
    /// `verify.no_anchor` where there is none; what is wrong with it.
    pub(crate) fn public_key(&self) -> Result<PublicKey, Rejection> {
        self.key
            .as_ref()
            .ok_or_else(|| Rejection::no_anchor("--key with the signer's public key"))?
            .public_key()
    }

    /// Holds a nonce against `--nonce`, where one was given.
    ///
    /// # Errors
    /// `evidence.nonce` where they differ, or the artefact has none.
    pub(crate) fn answers(&self, nonce: Option<&[u8]>) -> Result<(), Rejection> {
        match &self.nonce {
            Some(wanted) if nonce != Some(wanted.as_slice()) => Err(Rejection::nonce()),
            _ => Ok(()),
        }
    }
}

/// Bytes as claims show them.
#[must_use]
pub(crate) fn hex(bytes: &[u8]) -> String {
    base16ct::lower::encode_string(bytes)
}

/// An instant as claims show it: RFC 3339 in UTC.
#[must_use]
pub(crate) fn time(at: Timestamp) -> Value {
    Value::from(assay_api::types::Time(at).to_string())
}

/// The name of an anchor in claims: `nvidia-device-identity`, `file` for the file's own root, else `sha256:` of the root's
/// SubjectPublicKeyInfo.
#[must_use]
pub(crate) fn anchor_name(anchor: &Anchor) -> Value {
    Value::from(anchor.name())
}

//! THE table of refusals: every way in which evidence can be refused, its stable code, its class and its message.
//!
//! To add one, add a row. A code never changes and is never reused: machines and audit logs rely on it.

use alloc::string::String;

/// What kind of refusal this is. Whoever answers a request maps this and only this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// The bytes do not have the shape they must have.
    Malformed,
    /// The shape is right; a signature, chain or binding is not.
    Untrusted,
    /// Right once, too late or too early now.
    Stale,
    /// Authentic, and says something that policy does not accept.
    Contraindicated,
    /// A kind, version or algorithm that is not supported.
    Unsupported,
}

/// One row per refusal: `variant { fields } = "code", class, "message"`.
macro_rules! refusals {
    ($( $(#[$doc:meta])* $name:ident $({ $($field:ident : $ty:ty),* })? = $code:literal, $class:ident, $msg:literal; )*) => {
        /// Why evidence was refused.
        #[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
        #[non_exhaustive]
        pub enum Refusal {
            $( $(#[$doc])* #[error($msg)] $name $({ $(
                #[doc = concat!("See the message of `", $code, "`.")]
                $field: $ty
            ),* })?, )*
        }

        impl Refusal {
            /// Every code there is, in the order of the table.
            pub const CODES: &'static [&'static str] = &[$($code),*];

            /// The name that machines may rely on.
            #[must_use]
            pub const fn code(&self) -> &'static str {
                match self { $( Self::$name { .. } => $code, )* }
            }

            /// What kind of refusal this is.
            #[must_use]
            pub const fn class(&self) -> Class {
                match self { $( Self::$name { .. } => Class::$class, )* }
            }
        }
    };
}

refusals! {
    // -- shape ------------------------------------------------------------------------------------------------------
    /// The bytes end before the structure does.
    Truncated { what: &'static str, offset: usize } = "evidence.truncated", Malformed, "{what} ends early, at byte {offset}";
    /// Bytes follow the structure.
    TrailingBytes { what: &'static str, offset: usize } = "evidence.trailing_bytes", Malformed, "{what} is followed by unexpected bytes, at byte {offset}";
    /// A length, count or depth is over its bound.
    TooLarge { what: &'static str, limit: usize } = "evidence.too_large", Malformed, "{what} is over its limit of {limit}";
    /// The structure is not what its format says.
    Malformed { what: &'static str, why: String } = "evidence.malformed", Malformed, "{what} is malformed: {why}";
    /// A kind, version or algorithm that is not supported.
    Unsupported { what: &'static str, found: String } = "evidence.unsupported", Unsupported, "{what} `{found}` is not supported";

    /// An algorithm of keys or signatures that nobody here checks: told apart from a bad signature.
    AlgorithmUnsupported { what: &'static str, found: String } = "algorithm.unsupported", Unsupported, "{what} `{found}` is not supported: keys are ecdsa (p-256, p-384, p-521), ed25519 and rsa from 2048 bits, hashes sha-256 to sha-512";

    /// A CBOR map with a key twice.
    DuplicateKey { what: &'static str } = "evidence.duplicate_key", Malformed, "{what} holds a key twice";

    // -- the envelope -------------------------------------------------------------------------------------------------
    /// The COSE algorithm is not one of the key's.
    CoseAlgorithm { found: String } = "cose.algorithm", Untrusted, "the message names the algorithm `{found}`, which its key does not have";
    /// The COSE signature does not verify.
    CoseSignature = "cose.signature", Untrusted, "the signature of the message does not verify under its key";
    /// The envelope names another key than the device's.
    EnvelopeKey = "envelope.key", Untrusted, "the evidence is not signed by the request key of this device";
    /// The claims state another request key than the device's.
    ClaimsKey = "claims.request_key", Untrusted, "the claims name another request key than the one that signed";
    /// The evidence answers another session.
    Session = "evidence.session", Untrusted, "the evidence answers another nonce, nexus, device, purpose or key: ask for a nonce and prove again";
    /// An enrolment with a TPM without its activation secret, or a secret where none belongs.
    Activation = "evidence.activation", Untrusted, "a proof at enrolment with a tpm needs the activated credential of 32 bytes, and no other proof has one";
    /// The claims name neither a UEID nor a serial.
    ClaimsIdentity = "claims.identity", Malformed, "the claims name neither a ueid nor a serial";
    /// A member that this device must send is not there.
    RequiredMissing { label: String } = "evidence.required_missing", Untrusted, "evidence member `{label}` is required of this device and is missing";
    /// Nothing in the evidence was signed by a root of trust under this session.
    NoProof = "evidence.no_proof", Untrusted, "no root of trust signed in this session: a tpm quote or a dice signature is needed";

    // -- the collection -----------------------------------------------------------------------------------------------
    /// A label that does not exist.
    LabelUnknown { label: String } = "evidence.label_unknown", Unsupported, "there is no evidence member `{label}`";
    /// A member of a kind that is not known, or that may not stand under its label.
    KindUnknown { label: String, kind: String } = "evidence.kind_unknown", Unsupported, "evidence member `{label}` has the kind `{kind}`, which is not accepted there";
    /// Two members under one label.
    MemberTwice { label: String } = "evidence.member_twice", Malformed, "evidence member `{label}` is there twice";
    /// Members out of their fixed order.
    MemberOrder { label: String, after: String } = "evidence.member_order", Malformed, "evidence member `{label}` stands after `{after}`, against the fixed order";

    // -- TPM ----------------------------------------------------------------------------------------------------------
    /// The structure was not made by a TPM.
    TpmMagic = "tpm.magic", Untrusted, "the tpm attestation does not begin as one that a tpm made";
    /// A TPMS_ATTEST of another kind.
    TpmType { found: u16 } = "tpm.type", Untrusted, "the tpm attestation has the type {found:#06x}, another was due";
    /// An algorithm that is not accepted, SHA-1 among them.
    TpmAlgorithm { what: &'static str, found: String } = "tpm.algorithm", Unsupported, "the {what} uses the algorithm {found}, which is not accepted here";
    /// A TPM where none is pinned.
    TpmUnexpected = "tpm.unexpected", Untrusted, "no tpm is pinned for this device: enrol it again with its tpm";
    /// Another AK than the pinned one.
    TpmOtherAk = "tpm.other_ak", Untrusted, "the attestation key is not the one pinned for this device";
    /// The AK may sign what did not come from its TPM, or may have left it.
    TpmAkAttributes { found: u32 } = "tpm.ak_attributes", Untrusted, "the attestation key has the attributes {found:#010x}: it must be restricted, sign, not decrypt, and be fixed to its tpm";
    /// The AK is not in the endorsement hierarchy.
    TpmHierarchy { what: &'static str } = "tpm.hierarchy", Untrusted, "the key that signed the {what} is not the attestation key in the endorsement hierarchy";
    /// The AK did not sign this.
    TpmSignature { what: &'static str } = "tpm.signature", Untrusted, "the signature of the {what} does not verify under the attestation key";
    /// The qualifying data are not the binding.
    TpmBinding { what: &'static str } = "tpm.binding", Untrusted, "the {what} was made for other evidence or another session";
    /// The qualifying data are not the nonce.
    TpmNonce = "tpm.nonce", Untrusted, "the quote was made for another nonce";
    /// The certificate of the AK is of another key.
    TpmCertificateOther = "tpm.certificate_other", Untrusted, "the certificate is not the attestation key's";
    /// The PCR values are not those that were selected.
    TpmPcrSelection = "tpm.pcr_selection", Untrusted, "the pcr values are not exactly those that the quote selects";
    /// The PCR values are not those that were quoted.
    TpmPcrDigest = "tpm.pcr_digest", Untrusted, "the pcr values do not give the digest that the tpm quoted";
    /// The request key could leave the TPM, or can't sign requests.
    TpmKeyAttributes { found: u32 } = "tpm.key_attributes", Untrusted, "the request key has the attributes {found:#010x}: it must sign, not be restricted, and be fixed to its tpm";
    /// The certification is of another key than the one sent.
    TpmCertifiedOther = "tpm.certified_other", Untrusted, "the tpm certified another key than the one sent";
    /// The certified key is not the one that signs requests.
    TpmOtherRequestKey = "tpm.other_request_key", Untrusted, "the certified key is not the request key of this device";

    // -- reference values -------------------------------------------------------------------------------------------
    /// A component name that does not exist.
    ComponentUnknown { name: String } = "reference.component_unknown", Unsupported, "there is no component `{name}`: use for example `pcr.sha256.7`";
    /// A chosen PCR that the evidence does not hold.
    ReferencePcr { index: u8 } = "reference.pcr_missing", Malformed, "pcr {index} is not in the evidence: let the agent quote it, or leave it out";

    // -- manifests (CoRIM) ------------------------------------------------------------------------------------------
    /// Nobody signed it, and so nobody stands behind its values.
    CorimUnsigned = "corim.unsigned", Untrusted, "the manifest is not signed: reference values come from signed manifests only";
    /// A pinned root, and no chain to it.
    CorimSigner = "corim.signer", Untrusted, "the manifest brings no certificate chain to a pinned root: name its signer's key";
    /// Nobody who is pinned signed it.
    CorimNoSigner = "corim.no_signer", Untrusted, "the manifest is not signed by a pinned signer: pin one, or see whose it is with `assay evidence inspect`";
    /// The two places that name the signer differ.
    CorimMeta = "corim.meta", Untrusted, "the manifest names its signer in two ways that differ";
    /// Its time has run out.
    CorimExpired { what: &'static str } = "corim.expired", Stale, "{what} of the manifest has expired";
    /// Its time has not come.
    CorimNotYetValid { what: &'static str } = "corim.not_yet_valid", Stale, "{what} of the manifest is not valid yet";
    /// A profile that is not known.
    CorimProfile { found: String } = "corim.profile_unknown", Unsupported, "the manifest has the profile `{found}`, which is not known";
    /// A measurement key that only a profile gives a meaning.
    CorimProfileMissing { key: String } = "corim.profile_missing", Contraindicated, "the manifest uses the measurement key `{key}` without the profile that defines it";
    /// Against the rules of its profile.
    CorimScheme { profile: String, why: &'static str } = "corim.scheme", Contraindicated, "the manifest breaks its profile `{profile}`: {why}";
    /// A tag list with a tag that is not there.
    CorimTagList { id: String } = "corim.tag_list", Contraindicated, "the manifest lists the tag `{id}` and does not hold it";
    /// Something that can't be appraised.
    CorimCompile { key: String, why: &'static str } = "corim.compile", Unsupported, "the manifest's element `{key}` can't be taken: {why}";
    /// The certificate is not the one that the manifest names.
    CorimThumbprint = "corim.thumbprint", Untrusted, "the signer's certificate is not the one whose thumbprint the manifest names";
    // -- logs ---------------------------------------------------------------------------------------------------------
    /// The log gives another value than the TPM holds: entries are missing, added or changed.
    LogReplay { log: &'static str, bank: &'static str, index: u8 } = "log.replay", Untrusted, "{log} does not replay to pcr {index} of the {bank} bank: entries are missing, added or changed, or the log is of another boot";
    /// A log without a TPM in the same evidence, or without quoted PCRs that it speaks of: nothing covers it.
    LogUncovered { log: &'static str } = "log.uncovered", Untrusted, "{log} is not covered by a tpm quote of its pcrs in the same evidence";
    /// Only SHA-1 stands behind the log.
    LogSha1 { log: &'static str } = "log.sha1_only", Contraindicated, "{log} holds sha-1 digests only, which can be forged: switch the tpm to its sha-256 bank";
    /// An entry's own digest is not that of its data.
    LogEntryDigest { log: &'static str, entry: usize } = "log.entry_digest", Malformed, "the digest of entry {entry} of {log} is not that of its data";
    /// IMA could not measure what was used: a file was open for writing, or changed while it was measured.
    LogViolations { count: u64 } = "ima.violation", Contraindicated, "the ima log holds {count} violations: files changed while they were in use, so what ran is not known";
    /// The log goes on from where this Verifier has not been.
    ImaOffset { offset: u64, known: u64 } = "ima.offset", Stale, "the ima log goes on after entry {offset}, but entry {known} is the last one known of this boot: send the whole log";

    // -- certificate chains -------------------------------------------------------------------------------------------
    /// No certificate at all, or none but the root.
    ChainTooShort { limit: usize } = "chain.too_short", Malformed, "the certificate chain has fewer than {limit} certificates";
    /// More certificates than a chain may have.
    ChainTooLong { limit: usize } = "chain.too_long", Malformed, "the certificate chain has more than {limit} certificates";
    /// One key has two certificates in the chain.
    ChainDuplicate { index: usize } = "chain.duplicate", Untrusted, "certificate {index} repeats the key of an earlier one";
    /// The chain does not begin under a pinned root.
    ChainNoAnchor = "chain.no_anchor", Untrusted, "the certificate chain does not begin under a pinned root";
    /// A certificate's signature does not verify under its issuer's key.
    ChainSignature { index: usize } = "chain.signature", Untrusted, "the signature of certificate {index} (0 is the root's side) does not verify";
    /// Issuer and subject names do not chain, compared as DER.
    ChainName { index: usize } = "chain.name", Untrusted, "certificate {index} does not name the one above it as its issuer";
    /// The issuer is in the chain, but not directly above.
    ChainOrder { index: usize } = "chain.order", Untrusted, "certificate {index} stands in the wrong place of the chain";
    /// A certificate that signs others is no CA, or the last one is.
    ChainBasicConstraints { index: usize } = "chain.basic_constraints", Untrusted, "certificate {index} is a CA where it must not be, or none where it must be";
    /// More CAs follow than a pathLenConstraint allows.
    ChainPathLen { index: usize } = "chain.path_len", Untrusted, "certificate {index} does not allow as many certificates below it";
    /// The key may not be used for what it is used for.
    ChainKeyUsage { index: usize } = "chain.key_usage", Untrusted, "certificate {index} does not allow its key the use that is made of it";
    /// The certificate was not made for this purpose.
    ChainExtendedKeyUsage { index: usize } = "chain.extended_key_usage", Untrusted, "certificate {index} was made for another purpose";
    /// A critical extension that is not understood.
    ChainCritical { index: usize, oid: String } = "chain.critical_extension", Unsupported, "certificate {index} has the critical extension {oid}, which is not understood";
    /// A certificate has run out.
    ChainExpired { index: usize } = "chain.expired", Stale, "certificate {index} has expired";
    /// A certificate is not valid yet.
    ChainNotYetValid { index: usize } = "chain.not_yet_valid", Stale, "certificate {index} is not valid yet";

    // -- revocation -----------------------------------------------------------------------------------------------------
    /// A certificate was revoked.
    ChainRevoked { index: usize, reason: &'static str } = "chain.revoked", Contraindicated, "certificate {index} was revoked ({reason})";
    /// A certificate is on hold, which may be lifted.
    ChainOnHold { index: usize } = "chain.on_hold", Contraindicated, "certificate {index} is on hold: its issuer may lift that";
    /// A list or answer in an issuer's name that it did not sign.
    RevocationSignature { what: &'static str } = "revocation.signature", Untrusted, "the {what} is not signed by the issuer in whose name it speaks";
    /// Somebody answered whom the issuer did not name for that.
    RevocationResponder = "revocation.responder", Untrusted, "the ocsp answer is signed by somebody whom the issuer did not name for that";
    /// A list or answer of the future.
    RevocationNotYetValid = "revocation.not_yet_valid", Stale, "a revocation list or ocsp answer is not valid yet: check the clock";
    /// A list or answer past its hard limit.
    RevocationExpired = "revocation.expired", Stale, "a revocation list or ocsp answer is too old: bring a newer one";
    /// Nothing speaks of a certificate where each must be spoken of.
    RevocationMissing { index: usize } = "revocation.missing", Stale, "no revocation list or ocsp answer speaks of certificate {index}";

    // -- DICE -----------------------------------------------------------------------------------------------------------
    /// A layer names a device key that is not its issuer's.
    DiceDeviceKey { index: usize } = "dice.device_key", Untrusted, "the device key that certificate {index} names is not its issuer's";
    /// A layer that must name its firmware does not.
    DiceNoFwid { index: usize } = "dice.no_fwid", Untrusted, "certificate {index} does not say which firmware it stands for";
    /// One list of firmware digests has two by the same algorithm.
    DiceFwidTwice { index: usize } = "dice.fwid_twice", Untrusted, "certificate {index} gives two firmware digests by one algorithm";
    /// A layer states its firmware in more than one way.
    DiceLayouts { index: usize } = "dice.layouts", Untrusted, "certificate {index} states its firmware in two ways";
    /// The chain has no place from which a stable device key can be taken.
    DiceNoDeviceKey = "dice.no_device_key", Unsupported, "the chain has no layer that is known to be the device's own and to outlast its firmware";
    /// Another device than the one that is expected; it did sign this session.
    DiceOtherDevice = "dice.other_device", Contraindicated, "the chain belongs to another device";
    /// A DICE member from a device that is known to have none, or under a label without a pinned root.
    DiceUnexpected = "dice.unexpected", Untrusted, "this device is not known to have this root of trust";
    /// A layer says of itself that it is not fit for production.
    DiceFlags { index: usize, flags: String } = "dice.flags", Contraindicated, "certificate {index} says that its layer is {flags}";
    /// The leaf did not sign this binding.
    DiceSignature = "dice.signature", Untrusted, "the leaf's signature does not cover this session";

    // -- SPDM -----------------------------------------------------------------------------------------------------------
    /// Messages of several versions in one transcript.
    SpdmVersion = "spdm.version", Malformed, "the messages do not speak one version of spdm";
    /// Another message than the one that stands here.
    SpdmCode { expected: u8, found: u8 } = "spdm.code", Malformed, "the spdm message {expected:#04x} was due, {found:#04x} came";
    /// The response is for another certificate slot, or for none that holds a chain.
    SpdmSlot = "spdm.slot", Untrusted, "the measurements are not signed by the certificate slot that was asked for";
    /// The response does not give the requester's context back.
    SpdmContext = "spdm.context", Untrusted, "the measurements do not give back the requester's context";
    /// The negotiation is not where the version has it, or not what it must be.
    SpdmNegotiation { why: &'static str } = "spdm.negotiation", Untrusted, "the spdm negotiation does not hold: {why}";
    /// An algorithm was agreed on that is not accepted.
    SpdmAlgorithm { what: &'static str, found: String } = "spdm.algorithm", Unsupported, "the {what} that was agreed on ({found}) is not accepted";
    /// The leaf's key is of another kind than was agreed on, or of none that this version knows.
    SpdmKey = "spdm.key", Untrusted, "the leaf's key is not of the kind that the transcript is signed with";
    /// No signature has this length, or none by this key.
    SpdmSignatureLength { found: usize } = "spdm.signature_length", Malformed, "a signature of {found} bytes is none that this key makes: bytes are missing, or too many";
    /// The last exchange has no signature.
    SpdmUnsigned = "spdm.unsigned", Untrusted, "the last exchange of the transcript is not signed: ask for a signature with it";
    /// Exchanges follow the signed one, so that nothing covers them.
    SpdmSignedEarly = "spdm.signed_early", Untrusted, "exchanges follow the signed one, and nothing covers them";
    /// Another number of blocks than stated or asked for.
    SpdmBlockCount { stated: u8, found: usize } = "spdm.block_count", Malformed, "{stated} measurement blocks were due, {found} came";
    /// An index that no block has, or that was not asked for.
    SpdmBlockIndex { index: u8 } = "spdm.block_index", Malformed, "the measurement block has the index {index}, which was not asked for or does not exist";
    /// One index twice in one record.
    SpdmBlockTwice { index: u8 } = "spdm.block_twice", Malformed, "measurement block {index} is there twice";
    /// One index with two values in one transcript.
    SpdmBlockDiffers { index: u8 } = "spdm.block_differs", Untrusted, "measurement block {index} changed within one transcript: measure again";
    /// A block that is not what its header says.
    SpdmBlock { index: u8, why: &'static str } = "spdm.block", Malformed, "measurement block {index} is malformed: {why}";
    /// A digest of another size than its hash.
    SpdmDigestSize { index: u8 } = "spdm.digest_size", Malformed, "the digest of measurement block {index} is not by the hash that the others have, or that was agreed on";
    /// There is nothing measured.
    SpdmNoMeasurements = "spdm.no_measurements", Untrusted, "the transcript holds no measurement";
    /// The signature does not verify.
    SpdmSignature = "spdm.signature", Untrusted, "the signature of the measurements does not verify under the leaf's key";
    /// Another nonce was answered.
    SpdmNonce = "spdm.nonce", Untrusted, "the measurements answer another nonce: measure again with this one";
    /// The measurements changed while they were read.
    SpdmContentChanged = "spdm.content_changed", Stale, "the measurements changed while they were read: measure again";
    /// Opaque data name other firmware than the leaf.
    SpdmFwid = "spdm.fwid", Untrusted, "the firmware that the measurements name is not the one that the leaf's certificate stands for";
    /// The root in a slot is not the one whose hash the slot states.
    SpdmRootHash = "spdm.root_hash", Untrusted, "the first certificate is not the root whose hash the slot states";
    /// An SPDM member under a label without a pinned root.
    SpdmUnexpected { label: String } = "spdm.unexpected", Untrusted, "no root of trust is pinned for `{label}` of this device";
}

#[cfg(test)]
mod tests {
    use super::Refusal;

    #[test]
    fn codes_are_unique() {
        let mut seen = alloc::collections::BTreeSet::new();
        assert!(Refusal::CODES.iter().all(|c| seen.insert(c)));
    }
}

//! The TPM itself, through the ESAPI. Nothing above this file knows of handles: each call loads what it needs and flushes it.
//!
//! Loaded keys are remembered as saved contexts (TPM 2.0 Part 1, 30), which cost one symmetric operation to load again; after a
//! TPM reset they don't load any more, and the keys are loaded from their blobs under the EK. Between calls the connection
//! may be closed: a TPM without a resource manager (swtpm) serves one client at a time.

use super::convert::{der_prefix, is_of_key, raw, selected, selection};
use super::keys::{Blob, EkKind, KeyFile};
use super::{SourceError, TpmIdentity};
use assay_api::types::B64;
use std::fmt;
use std::str::FromStr as _;
use tss_esapi::abstraction::{AsymmetricAlgorithmSelection, KeyCustomization, ak, ek, nv};
use tss_esapi::attributes::ObjectAttributesBuilder;
use tss_esapi::constants::response_code::{Tss2ResponseCode, Tss2ResponseCodeKind};
use tss_esapi::constants::{CapabilityType, SessionType};
use tss_esapi::handles::{AuthHandle, KeyHandle, NvIndexTpmHandle, SessionHandle, TpmHandle};
use tss_esapi::interface_types::algorithm::{HashingAlgorithm, SignatureSchemeAlgorithm};
use tss_esapi::interface_types::ecc::EccCurve;
use tss_esapi::interface_types::resource_handles::NvAuth;
use tss_esapi::interface_types::session_handles::{AuthSession, PolicySession};
use tss_esapi::structures::{
    CapabilityData, Data, Digest, EncryptedSecret, IdObject, Private, Public, SignatureScheme,
    SymmetricDefinition,
};
use tss_esapi::tcti_ldr::TctiNameConf;
use tss_esapi::traits::{Marshall as _, UnMarshall as _};
use tss_esapi::tss2_esys::TPMT_TK_HASHCHECK;
use tss_esapi::utils::TpmsContext;
use tss_esapi::{Context, Error};

/// TPM2_PCR_Read gives at most eight values (TPML_DIGEST).
const PCRS_A_READ: usize = 8;
/// The NV indices of the EK Credential Profile's certificates lie here.
const NV_FIRST: u32 = 0x01c0_0000;
const NV_COUNT: u32 = 64;
/// TPM 2.0 Part 2, 7.4: handles of loaded sessions, and of transient objects.
const LOADED_FIRST: [u32; 2] = [0x0200_0000, 0x8000_0000];

/// A TPM, open or about to be.
pub(super) struct Device {
    tcti: String,
    conf: TctiNameConf,
    context: Option<Context>,
    loaded: Option<Loaded>,
    /// The last failure was the TPM's own judgement of what it was given.
    judged: bool,
}

/// The enrolled keys and how to load them quickly.
struct Loaded {
    keys: KeyFile,
    ak: Option<TpmsContext>,
    request: Option<TpmsContext>,
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Device")
            .field("tcti", &self.tcti)
            .field("open", &self.context.is_some())
            .finish_non_exhaustive()
    }
}

type Marshalled = (Vec<u8>, Vec<u8>);

/// Flushes every session and transient object.
fn flush_left_over(context: &mut Context) -> Result<(), Error> {
    for first in LOADED_FIRST {
        let (found, _) = context.get_capability(CapabilityType::Handles, first, NV_COUNT)?;
        if let CapabilityData::Handles(handles) = found {
            for handle in Vec::<TpmHandle>::from(handles) {
                let object = context.tr_from_tpm_public(handle)?;
                match context.flush_context(object) {
                    // The TPM has flushed it; the library's books don't know that policy sessions can be.
                    Err(Error::WrapperError(tss_esapi::WrapperErrorKind::InvalidHandleState))
                        if matches!(handle, TpmHandle::PolicySession(_)) => {}
                    done => done?,
                }
            }
        }
    }
    Ok(())
}

impl Device {
    /// Connects, so that a missing TPM shows at once and the TCTI's library is loaded early.
    pub(super) fn open(tcti: &str) -> Result<Self, SourceError> {
        let unreachable = |why: String| SourceError::Unreachable {
            tcti: tcti.to_owned(),
            why,
        };
        let conf = TctiNameConf::from_str(tcti).map_err(|e| unreachable(e.to_string()))?;
        let mut device = Self {
            tcti: tcti.to_owned(),
            conf,
            context: None,
            loaded: None,
            judged: false,
        };
        device.context = Some(device.connect()?);
        Ok(device)
    }

    fn connect(&self) -> Result<Context, SourceError> {
        let unreachable = |error: Error| SourceError::Unreachable {
            tcti: self.tcti.clone(),
            why: error.to_string(),
        };
        let mut context = Context::new(self.conf.clone()).map_err(unreachable)?;
        // A kernel's resource manager flushes what a killed client had loaded; a software TPM without one keeps it, and is full
        // after a few. It serves one client at a time, so whatever is loaded now is left over.
        if self.tcti.starts_with("swtpm:") || self.tcti.starts_with("mssim:") {
            flush_left_over(&mut context).map_err(unreachable)?;
        }
        Ok(context)
    }

    /// Closes the connection; the next call opens it again.
    pub(super) fn close(&mut self) {
        self.context = None;
    }

    /// Chooses the EK and makes AK and request key under it.
    pub(super) fn make_keys(&mut self) -> Result<KeyFile, SourceError> {
        let kind = self.choose_ek()?;
        self.with("make its keys", |context, _| {
            let ek = ek::create_ek_object_2(context, selection(kind), None)?;
            let made = make_under(context, ek, kind);
            context.flush_context(ek.into())?;
            made
        })
    }

    /// Takes the keys for use and says what they are.
    pub(super) fn load_keys(&mut self, keys: &KeyFile) -> Result<TpmIdentity, SourceError> {
        self.loaded = Some(Loaded {
            keys: keys.clone(),
            ak: None,
            request: None,
        });
        let ek = self.with("show its endorsement key", |context, _| {
            let ek = ek::create_ek_object_2(context, selection(keys.ek), None)?;
            let public = context.read_public(ek);
            context.flush_context(ek.into())?;
            public?.0.marshall()
        })?;
        let certificate = self
            .certificate(keys.ek)?
            .filter(|certificate| is_of_key(certificate, &ek));
        // Both keys must load now: a TPM that was cleared is found out here and not at the first proof.
        self.with_keys("load its keys", |_, _| Ok(()))?;
        Ok(TpmIdentity {
            ek_public: ek,
            ek_certificate: certificate,
            ak_public: keys.ak.public.0.clone(),
            request_key_public: keys.request_key.public.0.clone(),
        })
    }

    /// Values of these PCRs of the SHA-256 bank, in order.
    pub(super) fn read_pcrs(&mut self, pcrs: &[u8]) -> Result<Vec<Vec<u8>>, SourceError> {
        self.with("read its pcrs", |context, _| {
            let mut values = Vec::with_capacity(pcrs.len());
            for some in pcrs.chunks(PCRS_A_READ) {
                let (_, _, read) = context.pcr_read(selected(some)?)?;
                values.extend(read.value().iter().map(|value| value.value().to_vec()));
            }
            Ok(values)
        })
    }

    /// TPM2_Quote by the AK: TPMS_ATTEST and TPMT_SIGNATURE.
    pub(super) fn quote(
        &mut self,
        qualifying: &[u8],
        pcrs: &[u8],
    ) -> Result<Marshalled, SourceError> {
        self.with_keys("quote its pcrs", |context, keys| {
            let (attest, signature) =
                context.execute_with_session(Some(AuthSession::Password), |context| {
                    context.quote(
                        keys.ak,
                        Data::try_from(qualifying)?,
                        SignatureScheme::Null,
                        selected(pcrs)?,
                    )
                })?;
            Ok((attest.marshall()?, signature.marshall()?))
        })
    }

    /// TPM2_Certify of the request key by the AK.
    pub(super) fn certify(&mut self, qualifying: &[u8]) -> Result<Marshalled, SourceError> {
        self.with_keys("certify the request key", |context, keys| {
            let password = Some(AuthSession::Password);
            let (attest, signature) =
                context.execute_with_sessions((password, password, None), |context| {
                    context.certify(
                        keys.request.into(),
                        keys.ak,
                        Data::try_from(qualifying)?,
                        SignatureScheme::Null,
                    )
                })?;
            Ok((attest.marshall()?, signature.marshall()?))
        })
    }

    /// Signs a SHA-256 digest with the request key: r and s.
    pub(super) fn sign(&mut self, digest: &[u8]) -> Result<[u8; 64], SourceError> {
        self.with_keys("sign", |context, keys| {
            let ticket = TPMT_TK_HASHCHECK {
                tag: tss_esapi::constants::tss::TPM2_ST_HASHCHECK,
                hierarchy: tss_esapi::constants::tss::TPM2_RH_NULL,
                digest: tss_esapi::tss2_esys::TPM2B_DIGEST::default(),
            };
            let signature =
                context.execute_with_session(Some(AuthSession::Password), |context| {
                    context.sign(
                        keys.request,
                        Digest::try_from(digest)?,
                        SignatureScheme::Null,
                        ticket.try_into()?,
                    )
                })?;
            raw(&signature).ok_or(Error::WrapperError(
                tss_esapi::WrapperErrorKind::WrongValueFromTpm,
            ))
        })
    }

    /// TPM2_ActivateCredential for the AK by the EK.
    pub(super) fn activate(
        &mut self,
        id_object: &[u8],
        encrypted_secret: &[u8],
    ) -> Result<[u8; 32], SourceError> {
        let secret = self.with_keys("activate the credential", |context, keys| {
            let id_object = IdObject::try_from(id_object.to_vec())?;
            let encrypted_secret = EncryptedSecret::try_from(encrypted_secret.to_vec())?;
            let ek = ek::create_ek_object_2(context, selection(keys.ek), None)?;
            let secret = match keys.ek {
                // This template also takes the (empty) password; the others only take their policy.
                EkKind::P384 => activate_with(
                    context,
                    keys.ak,
                    ek,
                    AuthSession::Password,
                    id_object,
                    encrypted_secret,
                ),
                EkKind::P256 | EkKind::Rsa2048 => policy_session(context).and_then(|session| {
                    let secret =
                        activate_with(context, keys.ak, ek, session, id_object, encrypted_secret);
                    context.flush_context(SessionHandle::from(session).into())?;
                    secret
                }),
            };
            context.flush_context(ek.into())?;
            Ok(zeroize::Zeroizing::new(secret?.value().to_vec()))
        })?;
        <[u8; 32]>::try_from(secret.as_slice()).map_err(|_other| SourceError::Failed {
            what: "activate the credential",
            why: format!("the secret has {} bytes, not 32", secret.len()),
        })
    }

    fn choose_ek(&mut self) -> Result<EkKind, SourceError> {
        for kind in EkKind::ALL {
            if self.certificate(kind)?.is_some() {
                return Ok(kind);
            }
        }
        let mut last = SourceError::Closed;
        for kind in EkKind::ALL {
            let made = self.with("make an endorsement key", |context, _| {
                let ek = ek::create_ek_object_2(context, selection(kind), None)?;
                context.flush_context(ek.into())
            });
            match made {
                Ok(()) => return Ok(kind),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// The certificate in the TPM's NV for that EK, cut to its own length.
    fn certificate(&mut self, kind: EkKind) -> Result<Option<Vec<u8>>, SourceError> {
        let index = match kind {
            EkKind::P384 => 0x01c0_0016,
            EkKind::P256 => 0x01c0_000a,
            EkKind::Rsa2048 => 0x01c0_0002,
        };
        self.with("read its endorsement key certificate", |context, _| {
            let wanted = NvIndexTpmHandle::new(index)?;
            let (found, _) = context.get_capability(CapabilityType::Handles, NV_FIRST, NV_COUNT)?;
            let CapabilityData::Handles(handles) = found else {
                return Ok(None);
            };
            if !handles.contains(&TpmHandle::NvIndex(wanted)) {
                return Ok(None);
            }
            let handle = context.tr_from_tpm_public(wanted.into())?;
            let bytes = context.execute_with_session(Some(AuthSession::Password), |context| {
                nv::read_full(context, NvAuth::NvIndex(handle.into()), wanted)
            })?;
            Ok(der_prefix(&bytes).map(<[u8]>::to_vec))
        })
    }

    /// Runs `work` on an open connection. After a failure the connection is not used again.
    fn with<R>(
        &mut self,
        what: &'static str,
        work: impl FnOnce(&mut Context, &mut Option<Loaded>) -> Result<R, Error>,
    ) -> Result<R, SourceError> {
        let mut context = match self.context.take() {
            Some(context) => context,
            None => self.connect()?,
        };
        let done = work(&mut context, &mut self.loaded);
        context.clear_sessions();
        match done {
            Ok(done) => {
                self.context = Some(context);
                Ok(done)
            }
            Err(error) => {
                self.judged = matches!(error, Error::Tss2Error(Tss2ResponseCode::FormatOne(_)));
                Err(failed(what, error))
            }
        }
    }

    /// Runs `work` with AK and request key loaded, and flushes them. A failure is tried once more on a new connection with the
    /// keys loaded from their blobs, since a TPM may have been reset meanwhile.
    fn with_keys<R>(
        &mut self,
        what: &'static str,
        work: impl Fn(&mut Context, &Handles) -> Result<R, Error>,
    ) -> Result<R, SourceError> {
        let attempt = |device: &mut Self| {
            device.with(what, |context, loaded| {
                let loaded = loaded.as_mut().ok_or(Error::WrapperError(
                    tss_esapi::WrapperErrorKind::InvalidHandleState,
                ))?;
                let handles = loaded.load(context)?;
                let done = work(context, &handles);
                for handle in [handles.ak, handles.request] {
                    context.flush_context(handle.into())?;
                }
                done
            })
        };
        let quick = self.loaded.as_ref().is_some_and(|keys| keys.ak.is_some());
        match attempt(self) {
            Ok(done) => return Ok(done),
            Err(error) if !quick => return Err(self.blame(error)),
            Err(_stale) => {}
        }
        if let Some(loaded) = &mut self.loaded {
            (loaded.ak, loaded.request) = (None, None);
        }
        attempt(self).map_err(|error| self.blame(error))
    }

    /// A TPM that looked at the keys and did not take them has lost them. One that is full, busy or gone has not.
    fn blame(&self, error: SourceError) -> SourceError {
        let not_loaded = self.loaded.as_ref().is_some_and(|keys| keys.ak.is_none());
        match error {
            SourceError::Failed { why, .. } if not_loaded && self.judged => {
                SourceError::KeysLost { why }
            }
            other => other,
        }
    }
}

/// Tells a TPM that could, later, from one that can't (TPM 2.0 Part 2, 6.6.3: warnings).
fn failed(what: &'static str, error: Error) -> SourceError {
    use Tss2ResponseCodeKind as Kind;
    let why = error.to_string();
    let kind = match error {
        Error::Tss2Error(code @ Tss2ResponseCode::FormatZero(_)) => code.kind(),
        Error::Tss2Error(_) | Error::WrapperError(_) => None,
    };
    match kind {
        Some(
            Kind::ContextGap
            | Kind::ObjectMemory
            | Kind::SessionMemory
            | Kind::Memory
            | Kind::SessionHandles
            | Kind::ObjectHandles
            | Kind::Yielded
            | Kind::Testing
            | Kind::NvRate
            | Kind::Lockout
            | Kind::Retry,
        ) => SourceError::Busy { what, why },
        _ => SourceError::Failed { what, why },
    }
}

/// Loaded keys.
struct Handles {
    ek: EkKind,
    ak: KeyHandle,
    request: KeyHandle,
}

impl Loaded {
    fn load(&mut self, context: &mut Context) -> Result<Handles, Error> {
        if self.ak.is_none() || self.request.is_none() {
            let ek = ek::create_ek_object_2(context, selection(self.keys.ek), None)?;
            let saved = saved_under(context, ek, &self.keys.ak)
                .and_then(|ak| Ok((ak, saved_under(context, ek, &self.keys.request_key)?)));
            context.flush_context(ek.into())?;
            let (ak, request) = saved?;
            (self.ak, self.request) = (Some(ak), Some(request));
        }
        let missing = Error::WrapperError(tss_esapi::WrapperErrorKind::InvalidHandleState);
        let ak = context.context_load(self.ak.clone().ok_or(missing)?)?;
        let request = context.context_load(self.request.clone().ok_or(missing)?)?;
        Ok(Handles {
            ek: self.keys.ek,
            ak: ak.into(),
            request: request.into(),
        })
    }
}

/// Loads a key from its blob, saves its context and flushes it.
fn saved_under(context: &mut Context, ek: KeyHandle, blob: &Blob) -> Result<TpmsContext, Error> {
    let private = Private::try_from(blob.private.0.clone())?;
    let public = Public::unmarshall(&blob.public.0)?;
    let key = ak::load_ak(context, ek, None, private, public)?;
    let saved = context.context_save(key.into());
    context.flush_context(key.into())?;
    saved
}

fn make_under(context: &mut Context, ek: KeyHandle, kind: EkKind) -> Result<KeyFile, Error> {
    let mut make = |use_of| -> Result<Blob, Error> {
        let made = ak::create_ak_2(
            context,
            ek,
            HashingAlgorithm::Sha256,
            AsymmetricAlgorithmSelection::Ecc(EccCurve::NistP256),
            SignatureSchemeAlgorithm::EcDsa,
            None,
            Custom(use_of),
        )?;
        Ok(Blob {
            public: B64(made.out_public.marshall()?),
            private: B64(made.out_private.value().to_vec()),
        })
    };
    Ok(KeyFile {
        version: KeyFile::VERSION,
        ek: kind,
        ak: make(Use::Attest)?,
        request_key: make(Use::Sign)?,
    })
}

#[derive(Clone, Copy)]
enum Use {
    Attest,
    Sign,
}

/// What a key may sign: an AK only what the TPM made (restricted), the request key anything. Neither counts towards the
/// dictionary lockout: it has no password to guess, and somebody else's guesses must not stop proofs.
#[derive(Clone, Copy)]
struct Custom(Use);

impl KeyCustomization for Custom {
    fn attributes(&self, builder: ObjectAttributesBuilder) -> ObjectAttributesBuilder {
        builder
            .with_no_da(true)
            .with_restricted(matches!(self.0, Use::Attest))
    }
}

fn policy_session(context: &mut Context) -> Result<AuthSession, Error> {
    let session = context
        .start_auth_session(
            None,
            None,
            None,
            SessionType::Policy,
            SymmetricDefinition::AES_128_CFB,
            HashingAlgorithm::Sha256,
        )?
        .ok_or(Error::WrapperError(
            tss_esapi::WrapperErrorKind::WrongValueFromTpm,
        ))?;
    // The EK's policy: knowledge of the endorsement hierarchy's secret (EK Credential Profile 2.5, B.6.2).
    context.execute_with_session(Some(AuthSession::Password), |context| {
        context.policy_secret(
            PolicySession::try_from(session)?,
            AuthHandle::Endorsement,
            Default::default(),
            Default::default(),
            Default::default(),
            None,
        )
    })?;
    Ok(session)
}

fn activate_with(
    context: &mut Context,
    ak: KeyHandle,
    ek: KeyHandle,
    ek_session: AuthSession,
    id_object: IdObject,
    encrypted_secret: EncryptedSecret,
) -> Result<Digest, Error> {
    let sessions = (Some(AuthSession::Password), Some(ek_session), None);
    context.execute_with_sessions(sessions, |context| {
        context.activate_credential(ak, ek, id_object, encrypted_secret)
    })
}

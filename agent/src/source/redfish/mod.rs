//! BlueField's hardware roots of trust (IRoT, eRoT), which only the DPU's management controller can ask: signed SPDM
//! measurements over Redfish (DMTF DSP2046, ComponentIntegrity; NVIDIA DPU BMC 25.04 and later).
//!
//! Nothing that the controller says is believed here: what it returns is signed by the root of trust over the binding, and the
//! nexus judges it. A half answer (a chain without measurements) is no answer.

mod credentials;
mod http;
mod shapes;

use super::{Ask, Source, SourceError};
use assay_attest::evidence::spdm::{MEDIA_TYPE, SpdmEvidence};
use assay_attest::session::Label;
use credentials::Credentials;
use http::{Answer, Session};
use serde::{Deserialize, Serialize};
use shapes::{Component, Task};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Where the components are listed.
const COMPONENTS: &str = "/redfish/v1/ComponentIntegrity";
/// Where versions of firmware are listed.
const INVENTORY: &str = "/redfish/v1/UpdateService/FirmwareInventory";
/// How long one measurement may take: the controller talks to the chip over a slow bus.
const TASK: Duration = Duration::from_secs(120);
/// Bounds of the pause between two looks at a task.
const PAUSE: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(5));
/// Entries of the firmware inventory that are looked at.
const INVENTORY_ENTRIES: usize = 64;

/// How the management controller is reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bmc {
    /// `HOST` or `HOST:PORT` (443 else): https only.
    pub address: String,
    /// The account: one with the role ReadOnly and the privilege to run ComponentIntegrity actions, never `root`.
    pub user: String,
    /// Its password, 0600, read anew for each proof; absent: the systemd credential `bmc-password`.
    #[serde(default)]
    pub password_file: Option<PathBuf>,
    /// SHA-256 of the SubjectPublicKeyInfo of the controller's certificate, 64 hex digits; two while it changes.
    pub pins: Vec<String>,
    /// Which roots are asked: `irot`, `erot`.
    #[serde(default = "roots")]
    pub roots: Vec<Root>,
}

/// A root of trust behind the controller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Root {
    /// The platform security controller in the DPU.
    Irot,
    /// The external root of trust beside the controller.
    Erot,
}

fn roots() -> Vec<Root> {
    vec![Root::Irot]
}

impl Root {
    /// The last segment of its component's path, in lower case: NVIDIA's spelling of BlueField varies.
    const fn component(self) -> &'static str {
        match self {
            Self::Irot => "bluefield_dpu_irot",
            Self::Erot => "bluefield_erot",
        }
    }

    const fn label(self) -> Label {
        match self {
            Self::Irot => Label::Irot,
            Self::Erot => Label::Erot,
        }
    }
}

/// What the management controller did not do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BmcError {
    /// The configuration can't be used.
    #[error("`[bmc]` can't be used: {why}")]
    Config {
        /// Why.
        why: String,
    },
    /// No connection, or it broke off.
    #[error(
        "the bmc at `{address}` does not answer ({why}): check `bmc.address` and the network between DPU and bmc"
    )]
    Unreachable {
        /// Where.
        address: String,
        /// What came instead.
        why: String,
    },
    /// Its key is none of the pinned ones.
    #[error(
        "the bmc at `{address}` has another key than those in `bmc.pins`: if it was replaced or its certificate renewed, look at the new key on the bmc itself and pin it"
    )]
    OtherKey {
        /// Where.
        address: String,
    },
    /// The password can't be read.
    #[error(
        "no bmc password ({why}): give the unit a credential `bmc-password`, or set `bmc.password_file`"
    )]
    Password {
        /// Why.
        why: String,
    },
    /// The controller refused the account; it was not tried again, so that the account is not locked.
    #[error("the bmc refused `{user}`: set the right password; this one is not tried again")]
    Refused {
        /// The account.
        user: String,
    },
    /// The account may not do this.
    #[error(
        "the bmc does not let `{user}` do this: it needs the privilege to run ComponentIntegrity actions"
    )]
    Forbidden {
        /// The account.
        user: String,
    },
    /// The firmware has no signed measurements.
    #[error(
        "this bmc's firmware has no signed measurements of `{what}`: it takes DPU bmc firmware 25.04 or later"
    )]
    NoSpdm {
        /// What was looked for.
        what: String,
    },
    /// The component's measurements are switched off.
    #[error("the component integrity of `{what}` is switched off on the bmc")]
    Disabled {
        /// Which.
        what: String,
    },
    /// The controller answered with something else than what was due.
    #[error("the bmc answered `{path}` with {what}")]
    Answer {
        /// What was asked.
        path: String,
        /// What came.
        what: String,
    },
    /// The measurement failed on the controller.
    #[error("the bmc could not measure `{component}`: {why}")]
    Task {
        /// Which.
        component: String,
        /// What it said.
        why: String,
    },
    /// The measurement took too long.
    #[error(
        "the bmc did not finish measuring `{component}` in {seconds} s: it may be busy; the next proof asks again"
    )]
    Slow {
        /// Which.
        component: String,
        /// How long it was waited for.
        seconds: u64,
    },
    /// The measurements were signed for somebody else's nonce.
    #[error(
        "the bmc gave measurements of `{component}` that were made for another nonce: does something else ask it at the same time?"
    )]
    Nonce {
        /// Which.
        component: String,
    },
}

impl BmcError {
    /// The name that machines may rely on.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Config { .. } => "bmc.config",
            Self::Unreachable { .. } => "bmc.unreachable",
            Self::OtherKey { .. } => "bmc.other_key",
            Self::Password { .. } => "bmc.password",
            Self::Refused { .. } => "bmc.refused",
            Self::Forbidden { .. } => "bmc.forbidden",
            Self::NoSpdm { .. } => "bmc.no_spdm",
            Self::Disabled { .. } => "bmc.disabled",
            Self::Answer { .. } => "bmc.answer",
            Self::Task { .. } => "bmc.task_failed",
            Self::Slow { .. } => "bmc.slow",
            Self::Nonce { .. } => "bmc.nonce",
        }
    }
}

/// Names and versions of firmware.
type Inventory = Vec<(String, String)>;

/// One root of trust behind the controller.
#[derive(Debug)]
pub struct Redfish {
    root: Root,
    settings: Bmc,
    pins: Vec<[u8; 32]>,
    credentials: Credentials,
    /// Whether the firmware inventory is in the log.
    told: bool,
}

impl Redfish {
    /// Reads the settings; the controller is asked at the first proof only.
    ///
    /// # Errors
    /// `bmc.config`.
    pub fn open(root: Root, settings: &Bmc, state: &Path) -> Result<Self, SourceError> {
        let why = |why: &str| BmcError::Config { why: why.into() };
        if settings.pins.is_empty() || settings.pins.len() > 2 {
            return Err(why("`pins` needs one or two keys").into());
        }
        let pins: Option<Vec<_>> = settings.pins.iter().map(|text| pin(text)).collect();
        let pins = pins.ok_or_else(|| why("a pin is 64 hex digits"))?;
        http::check_address(&settings.address)?;
        Ok(Self {
            root,
            settings: settings.clone(),
            pins,
            credentials: Credentials::new(
                settings.password_file.clone(),
                state.join("bmc.refused"),
            ),
            told: false,
        })
    }

    /// The member, and the firmware that the controller lists where it was not told yet.
    async fn measure(&self, binding: &[u8; 32]) -> Result<(Vec<u8>, Inventory), BmcError> {
        let session = Session::open(&self.settings, &self.pins, &self.credentials)?;
        let component = self.component(&session).await?;
        let chain = chain(&session, &component).await?;
        let transcript = self.transcript(&session, &component, binding).await?;
        let firmware = match self.told {
            true => Vec::new(),
            false => inventory(&session).await.unwrap_or_default(),
        };
        Ok((SpdmEvidence::write(&chain, &transcript), firmware))
    }

    /// Finds the component by the end of its path, whatever the case.
    async fn component(&self, session: &Session<'_>) -> Result<Component, BmcError> {
        let none = || BmcError::NoSpdm {
            what: self.root.component().to_owned(),
        };
        let list = match session.get(COMPONENTS).await? {
            Answer { status: 404, .. } => return Err(none()),
            answer => answer.expect(200)?,
        };
        let path = list
            .members()?
            .into_iter()
            .find(|path| {
                let last = path.trim_end_matches('/').rsplit('/').next();
                last.is_some_and(|last| last.eq_ignore_ascii_case(self.root.component()))
            })
            .ok_or_else(none)?;
        let component = session.get(&path).await?.expect(200)?.component()?;
        if !component.enabled {
            return Err(BmcError::Disabled { what: component.id });
        }
        Ok(component)
    }

    async fn transcript(
        &self,
        session: &Session<'_>,
        component: &Component,
        binding: &[u8; 32],
    ) -> Result<Vec<u8>, BmcError> {
        let nonce = base16ct::lower::encode_string(binding);
        let ask = serde_json::json!({ "SlotId": 0, "Nonce": nonce });
        let answer = session.post(&component.action, &ask).await?;
        let measured = match answer.status {
            200 => answer,
            201 | 202 => self.wait(session, component, answer).await?,
            _ => answer.expect(202)?,
        };
        let transcript = measured.signed_measurements()?;
        if !transcript
            .windows(binding.len())
            .any(|part| part == binding)
        {
            return Err(BmcError::Nonce {
                component: component.id.clone(),
            });
        }
        Ok(transcript)
    }

    /// Follows a task to its end and fetches what it made.
    async fn wait(
        &self,
        session: &Session<'_>,
        component: &Component,
        accepted: Answer,
    ) -> Result<Answer, BmcError> {
        let path = accepted.task_path()?;
        let began = Instant::now();
        let mut pause = accepted.retry_after.unwrap_or(PAUSE.0);
        loop {
            if began.elapsed() >= TASK {
                return Err(BmcError::Slow {
                    component: component.id.clone(),
                    seconds: TASK.as_secs(),
                });
            }
            tokio::time::sleep(pause.clamp(PAUSE.0, PAUSE.1)).await;
            let answer = session.get(&path).await?;
            // A task monitor answers 202 while it works and with the result itself at the end.
            if answer.status == 200 && answer.has_measurements() {
                return Ok(answer);
            }
            pause = answer.retry_after.unwrap_or(pause.saturating_mul(2));
            if answer.status == 202 {
                continue;
            }
            match answer.expect(200)?.task()? {
                Task::Running => {}
                Task::Done { location } => {
                    let data = location.unwrap_or_else(|| format!("{}/data", component.action));
                    return session.get(&data).await?.expect(200);
                }
                Task::Failed { why } => {
                    return Err(BmcError::Task {
                        component: component.id.clone(),
                        why,
                    });
                }
            }
        }
    }
}

impl Source for Redfish {
    fn label(&self) -> Label {
        self.root.label()
    }

    fn media_type(&self) -> &'static str {
        MEDIA_TYPE
    }

    fn collect(&mut self, ask: &Ask<'_>) -> Result<Vec<u8>, SourceError> {
        // The thread of the roots has no runtime, and a connection outlives no proof.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()
            .map_err(|_no_runtime| SourceError::Closed)?;
        let binding = *ask.binding.as_bytes();
        let (member, firmware) = runtime.block_on(self.measure(&binding))?;
        for (name, version) in &firmware {
            // Only told: no signature covers it.
            tracing::info!(name, version, "firmware, as the bmc lists it");
        }
        self.told |= !firmware.is_empty();
        Ok(member)
    }
}

/// The certificates of slot 0, DER, root first.
async fn chain(session: &Session<'_>, component: &Component) -> Result<Vec<Vec<u8>>, BmcError> {
    session
        .get(&component.certificate)
        .await?
        .expect(200)?
        .chain()
}

/// Names and versions, as far as they are listed.
async fn inventory(session: &Session<'_>) -> Result<Inventory, BmcError> {
    let list = session.get(INVENTORY).await?.expect(200)?.members()?;
    let mut found = Vec::new();
    for path in list.iter().take(INVENTORY_ENTRIES) {
        if let Some(entry) = session.get(path).await?.expect(200)?.firmware() {
            found.push(entry);
        }
    }
    Ok(found)
}

fn pin(text: &str) -> Option<[u8; 32]> {
    let mut pin = [0; 32];
    let length = base16ct::mixed::decode(text, &mut pin).ok()?.len();
    (length == pin.len()).then_some(pin)
}

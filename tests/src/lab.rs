//! A whole lab in few calls: a nexus with its first admin and a tenant, DPUs that have enrolled, hosts behind them.

use assay_api::id::{DeviceId, HostId};
use assay_api::routes::call;
use assay_api::types::*;

use crate::agent::Agent;
use crate::host::Host;
use crate::nexus::{Nexus, Options};
use crate::person::Person;
use crate::wait::{self, secs};

/// A nexus, its first admin and a tenant.
#[derive(Debug)]
pub struct Lab {
    /// The control plane.
    pub nexus: Nexus,
    /// A super:admin.
    pub admin: Person,
    /// The tenant.
    pub tenant: Tenant,
}

/// A DPU that has enrolled.
#[derive(Debug)]
pub struct Device {
    /// Its agent, running.
    pub agent: Agent,
    /// Its id.
    pub id: DeviceId,
    /// Its name.
    pub name: String,
}

/// A host that is paired.
#[derive(Debug)]
pub struct Paired {
    /// Its assay-host, running, and its sshd.
    pub host: Host,
    /// Its id.
    pub id: HostId,
    /// Its name for ssh.
    pub fqdn: String,
}

impl Lab {
    /// A fresh one.
    #[must_use]
    pub fn new() -> Self {
        Self::with(Options::default())
    }

    /// A fresh one, its nexus set up so.
    ///
    /// # Panics
    /// Where it does not come up.
    #[must_use]
    pub fn with(options: Options) -> Self {
        let nexus = Nexus::with(options);
        let admin = Person::join(&nexus, nexus.token(), Some("Ada Admin"))
            .unwrap_or_else(|e| panic!("bootstrap: {e}"));
        let tenant = admin.must::<call::create_tenant>(
            None,
            &TenantCreate {
                name: "acme".into(),
            },
        );
        Self {
            nexus,
            admin,
            tenant,
        }
    }

    /// Invites a person of this tenant, who joins.
    ///
    /// # Panics
    /// Where that is refused.
    #[must_use]
    pub fn person(&self, name: &str, role: PersonRole) -> Person {
        let tenant = (role != PersonRole::SuperAdmin).then(|| self.tenant.name.clone());
        let invite = InviteCreate {
            tenant,
            name: name.into(),
            role,
        };
        let created = self.admin.must::<call::create_invite>(None, &invite);
        Person::join(&self.nexus, &created.token.0, None).unwrap_or_else(|e| panic!("join: {e}"))
    }

    /// A claim token for a DPU of this tenant.
    #[must_use]
    pub fn claim(&self, name: &str, serial: &str) -> String {
        let item = ClaimItem {
            name: name.into(),
            serial: serial.into(),
            ek: None,
            dice: None,
            rekey: None,
        };
        let ask = ClaimsCreate {
            tenant: Some(self.tenant.name.clone()),
            items: vec![item],
        };
        let made = self.admin.must::<call::create_claims>(None, &ask);
        made.items[0].token.0.to_string()
    }

    /// A DPU that enrols and is pending, its agent running.
    ///
    /// # Panics
    /// Where it does not enrol within half a minute.
    #[must_use]
    pub fn pending(&self, name: &str) -> Device {
        let serial = format!("SN-{name}");
        let mut agent = Agent::new(name, &serial, &self.claim(name, &serial));
        agent.up();
        let named = || {
            let page = self
                .admin
                .must::<call::list_dpus>(None, &InTenant::default());
            page.items.into_iter().find(|dpu| dpu.name == name)
        };
        let dpu = wait::for_some(&format!("{name} enrols"), secs(60), named, || {
            self.logs(&[&agent.tail()])
        });
        Device {
            agent,
            id: dpu.id,
            name: name.into(),
        }
    }

    /// A DPU that has enrolled and is confirmed.
    #[must_use]
    pub fn dpu(&self, name: &str) -> Device {
        let device = self.pending(name);
        self.admin
            .must::<call::confirm_dpu>(Some(name), &reason("the serial number was compared"));
        device
    }

    /// Takes Reference Values from a DPU, for it alone, and waits until it is verified by them.
    ///
    /// # Panics
    /// Where it does not become so.
    pub fn good(&self, device: &Device) {
        let ask = ReferenceTake {
            dpu: device.name.clone(),
            name: format!("good-{}", device.name),
            pcrs: Vec::new(),
            applies_to: vec![device.name.clone()],
        };
        self.admin.must::<call::take_reference>(None, &ask);
        self.prove(device);
        self.await_attestation(device, "verified");
    }

    /// Demands a proof and waits until it has come.
    ///
    /// # Panics
    /// Where it does not.
    pub fn prove(&self, device: &Device) {
        self.admin
            .must::<call::demand_proof>(Some(&device.name), &reason("prove yourself"));
        let answered = || {
            self.admin
                .must::<call::show_demand>(Some(&device.name), &Empty {})
                .state
                == "answered"
        };
        let what = format!("{} answers a demand", device.name);
        wait::until(&what, secs(60), answered, || {
            self.logs(&[&device.agent.tail()])
        });
    }

    /// How a DPU stands.
    #[must_use]
    pub fn show(&self, device: &Device) -> Dpu {
        self.admin
            .must::<call::show_dpu>(Some(&device.name), &Empty {})
    }

    /// Waits until a DPU stands so; gives how long that took.
    ///
    /// # Panics
    /// Where it does not within 100 s.
    pub fn await_attestation(&self, device: &Device, state: &str) -> std::time::Duration {
        let what = format!("{} is {state}", device.name);
        let stands = || self.show(device).attestation == state;
        wait::until(&what, secs(100), stands, || {
            self.logs(&[&format!("{:?}\n", self.show(device)), &device.agent.tail()])
        })
    }

    /// A host behind a DPU: paired and running.
    ///
    /// # Panics
    /// Where it can't be paired.
    #[must_use]
    pub fn host(&self, name: &str, device: &Device) -> Paired {
        let mut host = Host::new(name, &device.agent);
        let fqdn = format!("{name}.test");
        let ask = HostPair {
            dpu: device.name.clone(),
            name: name.into(),
            principals: vec![fqdn.clone()],
            request: B64(host.init()),
        };
        let paired = self.admin.must::<call::pair_host>(None, &ask);
        let done = host.pair(&paired.pairing.0, &self.nexus.pin());
        assert!(
            done.status.success(),
            "{}",
            String::from_utf8_lossy(&done.stderr)
        );
        host.up();
        Paired {
            host,
            id: paired.host.id,
            fqdn,
        }
    }

    /// Pushes a CA to the hosts behind a DPU and waits until it is in force at this host.
    ///
    /// # Panics
    /// Where it is not within 60 s.
    pub fn push(&self, ca: &str, device: &Device, host: &Paired) -> std::time::Duration {
        let pushed = self
            .admin
            .must::<call::push>(Some(&device.name), &PushAsk { ssh_ca: ca.into() });
        let wanted = pushed
            .manifests
            .iter()
            .find(|m| m.host_id == host.id)
            .map_or(u64::MAX, |m| m.sequence);
        self.await_installed(device, host, wanted)
    }

    /// Waits until a host has reported this manifest, or a newer one, as installed.
    ///
    /// # Panics
    /// Where it has not within 60 s.
    pub fn await_installed(
        &self,
        device: &Device,
        host: &Paired,
        sequence: u64,
    ) -> std::time::Duration {
        let shown = || {
            self.admin
                .must::<call::show_host>(Some(&host.id.to_string()), &Empty {})
        };
        let what = format!("manifest {sequence} is in force at {}", host.fqdn);
        wait::until(
            &what,
            secs(60),
            || shown().installed >= sequence,
            || {
                self.logs(&[
                    &format!("{:?}\n", shown()),
                    &device.agent.tail(),
                    &host.host.tail(),
                ])
            },
        )
    }

    /// Signs a user certificate as this person.
    ///
    /// # Errors
    /// What the nexus refuses.
    pub fn sign(
        &self,
        person: &Person,
        ca: &str,
        hosts: &[&Paired],
        public_key: &str,
    ) -> Result<Certificate, assay_client::CallError> {
        person.call::<call::sign_certificate>(Some(ca), &certificate_ask(hosts, public_key))
    }

    /// The nexus's log, with others after it.
    #[must_use]
    pub fn logs(&self, others: &[&str]) -> String {
        format!("{}{}", self.nexus.tail(), others.concat())
    }
}

impl Default for Lab {
    fn default() -> Self {
        Self::new()
    }
}

/// Asks for a certificate for this user at these hosts.
#[must_use]
pub fn certificate_ask(hosts: &[&Paired], public_key: &str) -> CertificateAsk {
    CertificateAsk {
        public_key: public_key.into(),
        hosts: hosts.iter().map(|host| host.id.to_string()).collect(),
        logins: vec![crate::ssh::me()],
        lifetime: None,
        idempotency_key: crate::person::idempotency_key(),
    }
}

/// A reason in words.
#[must_use]
pub fn reason(text: &str) -> Reason {
    Reason {
        reason: text.into(),
    }
}

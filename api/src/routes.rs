//! THE table of routes. A row is a handler, a router entry, an OpenAPI operation, a Cedar action, a typed client call and
//! an audit event; nothing else lists routes.
//!
//! Columns: name, method, path, `for` the least role that may ask (empty: anyone), `does` what the call is
//! (`read`, `change`, `release`), `on` the kind of thing it is judged against, request => response, audit event.
//!
//! - Roles: `super` is super:admin; `admin` is a tenant:admin or above; `operator` is any person; `device` is a DPU, for
//!   itself only; `newkey` is a proof by a key that nobody knows yet (joining and enrolling).
//! - `change` and `release` need the request digest in the proof and a durable replay record; `release` also passes the gate.
//! - A GET takes its request type from the query, every other method from a JSON body.

use crate::types::*;
use serde::{Serialize, de::DeserializeOwned};

/// Calls `$with!` with every row of the table.
#[macro_export]
macro_rules! for_each_route {
    ($with:ident) => {
        $with! {
            /// Is the process alive? Costs nothing and says nothing else.
            health GET "/health" for [] does read on Nexus Empty => Health, "";
            /// Can it serve: store writable, clock sane, log signing?
            ready GET "/ready" for [] does read on Nexus Empty => Ready, "";
            /// Prometheus metrics.
            metrics GET "/metrics" for [] does read on Nexus Empty => Text, "";
            /// This API as an OpenAPI 3.1 document.
            openapi GET "/openapi.json" for [] does read on Nexus Empty => Document, "";
            /// Public keys and pins of this nexus, current and next.
            trust GET "/v1/trust" for [] does read on Nexus Empty => Trust, "";

            /// Join with a bootstrap token or an invite: ask for a challenge. Burns nothing.
            begin_join POST "/v1/join/begin" for [newkey] does change on Nexus JoinBegin => JoinChallenge, "join.begin";
            /// Join: answer the challenge. Spends the token and creates the person, or changes nothing.
            complete_join POST "/v1/join/complete" for [newkey] does change on Nexus JoinComplete => Joined, "join.complete";
            /// Who am I, and what may I do?
            whoami GET "/v1/me" for [operator] does read on Nexus Empty => Me, "";

            /// Create a tenant.
            create_tenant POST "/v1/tenants" for [super] does change on Nexus TenantCreate => Tenant, "tenant.create";
            /// List the tenants that the caller belongs to, or all for a super:admin.
            list_tenants GET "/v1/tenants" for [operator] does read on Nexus InTenant => Tenants, "";

            /// Invite a person; the token is shown once.
            create_invite POST "/v1/invites" for [admin] does change on Tenant InviteCreate => InviteCreated, "invite.create";
            /// List invites that are still open.
            list_invites GET "/v1/invites" for [admin] does read on Tenant InTenant => Invites, "";

            /// List people.
            list_operators GET "/v1/operators" for [admin] does read on Tenant InTenant => Operators, "";
            /// Show a person with keys.
            show_operator GET "/v1/operators/{id}" for [admin] does read on Operator Empty => Operator, "";
            /// Suspend a person: every key stops at once.
            suspend_operator POST "/v1/operators/{id}/suspend" for [admin] does change on Operator Reason => Operator, "operator.suspend";
            /// Lift a suspension.
            unsuspend_operator POST "/v1/operators/{id}/unsuspend" for [admin] does change on Operator Reason => Operator, "operator.unsuspend";
            /// Revoke a key for good. Nobody revokes the key that signs the request, nor the last super:admin's.
            revoke_key POST "/v1/keys/{id}/revoke" for [admin] does change on Key Reason => Operator, "key.revoke";

            /// Grant: this operator, this SSH CA, this host (or every host of a DPU), these logins, until then.
            create_grant POST "/v1/grants" for [admin] does change on Tenant GrantCreate => Grant, "grant.create";
            /// List grants.
            list_grants GET "/v1/grants" for [operator] does read on Tenant InTenant => Grants, "";
            /// Revoke a grant.
            revoke_grant POST "/v1/grants/{id}/revoke" for [admin] does change on Grant Reason => Grant, "grant.revoke";

            /// Make claims, one for each DPU that shall join; the tokens are shown once.
            create_claims POST "/v1/claims" for [admin] does change on Tenant ClaimsCreate => ClaimsCreated, "claim.create";
            /// List claims that are still open.
            list_claims GET "/v1/claims" for [admin] does read on Tenant InTenant => Claims, "";

            /// Enrol, first call: claim, EK, AK and request key; gives nonce and credential blob.
            begin_enrolment POST "/v1/enrol/begin" for [newkey] does change on Nexus EnrolBegin => EnrolChallenge, "enrol.begin";
            /// Enrol, second call: the first proof. Creates the device and its verdict in one transaction.
            complete_enrolment POST "/v1/enrol/complete" for [newkey] does change on Nexus EnrolComplete => Enrolled, "enrol.complete";

            /// Ask for the nonce of the next proof; voids the one before.
            new_nonce POST "/v1/agent/nonce" for [device] does change on Device Empty => Nonce, "";
            /// Hand in Evidence for the outstanding nonce.
            submit_evidence POST "/v1/agent/evidence" for [device] does change on Device EvidenceIn => Verdict, "attestation.verdict";
            /// Wait for something to do; answers at once when there is, else after `wait` seconds with nothing.
            wake GET "/v1/agent/wake" for [device] does read on Device WakeAsk => Wake, "";
            /// What the nexus holds of the calling device.
            agent_self GET "/v1/agent/self" for [device] does read on Device Empty => Dpu, "";
            /// The pairings of the calling device and what each host should have.
            agent_hosts GET "/v1/agent/hosts" for [device] does read on Device Empty => AgentHosts, "";
            /// Pull the manifest of one host behind the calling device. One that only removes needs no fresh proof.
            pull_manifest POST "/v1/agent/manifests" for [device] does release on Device ManifestAsk => ManifestOut, "manifest.release";
            /// Report what a host made of its manifest.
            report_delivery POST "/v1/agent/reports" for [device] does change on Device DeliveryReport => Empty, "manifest.report";
            /// Pull the leases that wait for the calling device, sealed to the HPKE key of its last proof.
            pull_leases POST "/v1/agent/leases" for [device] does release on Device LeasesAsk => Leases, "secret.release";
            /// Acknowledge a lease: it is not handed out again.
            acknowledge_lease POST "/v1/agent/leases/{id}/ack" for [device] does change on Device Empty => Empty, "secret.acknowledge";

            /// List DPUs with state and freshness.
            list_dpus GET "/v1/dpus" for [operator] does read on Tenant InTenant => Dpus, "";
            /// Show a DPU.
            show_dpu GET "/v1/dpus/{id}" for [operator] does read on Device Empty => Dpu, "";
            /// Confirm a pending DPU's identity: from now on it may receive.
            confirm_dpu POST "/v1/dpus/{id}/confirm" for [admin] does change on Device Reason => Dpu, "dpu.confirm";
            /// Demand a proof now. Unanswered by its deadline, it ends freshness.
            demand_proof POST "/v1/dpus/{id}/demand" for [operator] does change on Device Reason => Demand, "dpu.demand";
            /// How a demand stands.
            show_demand GET "/v1/dpus/{id}/demand" for [operator] does read on Device Empty => Demand, "";
            /// Decommission a DPU: it receives nothing any more, what it holds is revoked.
            decommission_dpu POST "/v1/dpus/{id}/decommission" for [admin] does change on Device Reason => Dpu, "dpu.decommission";
            /// Quarantine a DPU by hand.
            quarantine_dpu POST "/v1/dpus/{id}/quarantine" for [admin] does change on Device Reason => Dpu, "dpu.quarantine";
            /// Release a DPU from quarantine; it must then prove itself anew.
            release_dpu POST "/v1/dpus/{id}/release" for [super] does change on Device Reason => Dpu, "dpu.release";
            /// The last Attestation Result of a DPU, with every check.
            show_result GET "/v1/dpus/{id}/result" for [operator] does read on Device Empty => AttestationResultOut, "";
            /// The last Attestation Result of a DPU with the Evidence and all else that it rests on, to be verified elsewhere.
            show_evidence GET "/v1/dpus/{id}/evidence" for [admin] does read on Device Empty => EvidenceBundle, "";
            /// Push an SSH CA to the hosts behind a DPU.
            push POST "/v1/dpus/{id}/push" for [operator] does release on Device PushAsk => Pushed, "ssh_ca.push";
            /// Withdraw an SSH CA from the hosts behind a DPU. Never gated.
            withdraw POST "/v1/dpus/{id}/withdraw" for [admin] does change on Device PushAsk => Pushed, "ssh_ca.withdraw";

            /// Pair a host with a DPU: the nexus signs who is behind what.
            pair_host POST "/v1/hosts" for [admin] does change on Device HostPair => HostPaired, "host.pair";
            /// List the hosts that the caller may reach.
            list_hosts GET "/v1/hosts" for [operator] does read on Tenant InTenant => Hosts, "";
            /// Show a host.
            show_host GET "/v1/hosts/{id}" for [operator] does read on Host Empty => Host, "";

            /// Take Reference Values from the last proof of a DPU known to be good.
            take_reference POST "/v1/reference-values" for [admin] does change on Device ReferenceTake => Reference, "reference.take";
            /// List sets of Reference Values.
            list_references GET "/v1/reference-values" for [operator] does read on Tenant InTenant => References, "";
            /// Show a set of Reference Values.
            show_reference GET "/v1/reference-values/{id}" for [operator] does read on Reference Empty => Reference, "";
            /// Take Reference Values in from a manifest that a pinned signer signed. They judge nobody yet.
            import_reference POST "/v1/reference-values/import" for [admin] does change on Tenant ReferenceImport => Reference, "reference.import";
            /// What putting a set in force, or one in force out of it, would do to the fleet.
            show_reference_impact GET "/v1/reference-values/{id}/impact" for [admin] does read on Reference Empty => ReferenceImpact, "";
            /// Put a set of Reference Values in force, in the place of the one of its name.
            activate_reference POST "/v1/reference-values/{id}/activate" for [admin] does change on Reference ReferenceChange => Reference, "reference.activate";
            /// Take a set of Reference Values out of force.
            retire_reference POST "/v1/reference-values/{id}/retire" for [admin] does change on Reference ReferenceChange => Reference, "reference.retire";
            /// Pin who may sign manifests of Reference Values.
            pin_reference_signer POST "/v1/reference-signers" for [admin] does change on Tenant ReferenceSignerPin => ReferenceSigner, "reference.pin";
            /// List the signers of Reference Values.
            list_reference_signers GET "/v1/reference-signers" for [operator] does read on Tenant InTenant => ReferenceSigners, "";
            /// Take no more manifests of a signer.
            retire_reference_signer POST "/v1/reference-signers/retire" for [admin] does change on Tenant ReferenceSignerRetire => ReferenceSigner, "reference.unpin";

            /// Create an SSH CA: a user key and a host key.
            create_ssh_ca POST "/v1/ssh-cas" for [admin] does change on Tenant SshCaCreate => SshCa, "ssh_ca.create";
            /// List SSH CAs.
            list_ssh_cas GET "/v1/ssh-cas" for [operator] does read on Tenant InTenant => SshCas, "";
            /// Show an SSH CA.
            show_ssh_ca GET "/v1/ssh-cas/{id}" for [operator] does read on SshCa Empty => SshCa, "";
            /// Rotate an SSH CA by one step: prepare, activate, retire.
            rotate_ssh_ca POST "/v1/ssh-cas/{id}/rotate" for [admin] does change on SshCa SshCaRotate => SshCa, "ssh_ca.rotate";
            /// The ssh client's side of trust: CA lines for known_hosts and the KRL of revoked host keys.
            ssh_trust GET "/v1/ssh-cas/{id}/trust" for [operator] does read on SshCa Empty => SshTrust, "";

            /// Sign a user certificate for named hosts.
            sign_certificate POST "/v1/ssh-cas/{id}/certificates" for [operator] does release on SshCa CertificateAsk => Certificate, "certificate.sign";
            /// List certificates.
            list_certificates GET "/v1/certificates" for [operator] does read on Tenant InTenant => Certificates, "";
            /// Revoke a certificate: it goes into the KRL. Never gated.
            revoke_certificate POST "/v1/certificates/{id}/revoke" for [operator] does change on Certificate Reason => CertificateInfo, "certificate.revoke";

            /// Keep a secret for a DPU.
            put_secret POST "/v1/secrets" for [admin] does change on Device SecretPut => Secret, "secret.put";
            /// List secrets, without their values.
            list_secrets GET "/v1/secrets" for [admin] does read on Tenant InTenant => Secrets, "";
            /// Withdraw a secret: it is scrubbed, and the DPU is told to wipe it.
            withdraw_secret POST "/v1/secrets/{id}/withdraw" for [admin] does change on Secret Reason => Secret, "secret.withdraw";

            /// List audit entries, oldest first; `wait` follows.
            list_audit GET "/v1/audit" for [admin] does read on Nexus AuditAsk => AuditPage, "";
            /// The newest signed checkpoint of the audit log.
            audit_head GET "/v1/audit/head" for [operator device] does read on Nexus Empty => AuditHead, "";
            /// Proof that a newer head extends an older one (RFC 6962, 2.1.2).
            audit_consistency GET "/v1/audit/consistency" for [operator device] does read on Nexus ConsistencyAsk => ConsistencyProof, "";
        }
    };
}

/// What a call does, and so what its proof must carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Does {
    /// Changes nothing.
    Read,
    /// Changes state: request digest in the proof, durable replay record.
    Change,
    /// Lets a credential out: as a change, and through the gate.
    Release,
}

/// The least role that may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A proof by a key that is not registered yet.
    NewKey,
    /// A DPU, for itself.
    Device,
    /// Any person.
    Operator,
    /// A tenant:admin or a super:admin.
    Admin,
    /// A super:admin.
    Super,
}

/// The kind of thing that a call is judged against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum On {
    /// The nexus as a whole.
    Nexus,
    /// A tenant, named in the request or the caller's own.
    Tenant,
    /// A person.
    Operator,
    /// A key.
    Key,
    /// A grant.
    Grant,
    /// A DPU.
    Device,
    /// A host.
    Host,
    /// A set of Reference Values.
    Reference,
    /// An SSH CA.
    SshCa,
    /// A certificate.
    Certificate,
    /// A secret.
    Secret,
}

/// One row, as data.
#[derive(Clone, Copy, Debug)]
pub struct Route {
    /// Operation, handler, OpenAPI id and Cedar action in one.
    pub name: &'static str,
    /// HTTP method.
    pub method: &'static str,
    /// Path, with at most one `{id}`.
    pub path: &'static str,
    /// Least roles; empty means that anyone may ask.
    pub roles: &'static [Role],
    /// What it does.
    pub does: Does,
    /// What it is judged against.
    pub on: On,
    /// Audit event of its success, empty for reads.
    pub event: &'static str,
    /// One line for people.
    pub doc: &'static str,
}

impl Route {
    /// Open to anyone, and so without a Cedar action.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.roles.is_empty()
    }

    /// The path with `id` put in. Ids hold only characters that need no escape.
    #[must_use]
    pub fn path_with(&self, id: &str) -> String {
        self.path.replace("{id}", id)
    }

    /// The row of that name.
    #[must_use]
    pub fn by_name(name: &str) -> Option<&'static Self> {
        ROUTES.iter().copied().find(|r| r.name == name)
    }
}

/// A row with its types, for typed calls.
pub trait Endpoint {
    /// The row.
    const ROUTE: &'static Route;
    /// Body, or query of a GET.
    type Request: Serialize + DeserializeOwned + Send + 'static;
    /// Answer.
    type Response: Serialize + DeserializeOwned + Send + 'static;
}

macro_rules! role {
    (newkey) => {
        Role::NewKey
    };
    (device) => {
        Role::Device
    };
    (operator) => {
        Role::Operator
    };
    (admin) => {
        Role::Admin
    };
    (super) => {
        Role::Super
    };
}

macro_rules! does {
    (read) => {
        Does::Read
    };
    (change) => {
        Does::Change
    };
    (release) => {
        Does::Release
    };
}

macro_rules! describe {
    ($( #[doc = $doc:literal] $name:ident $method:ident $path:literal for [$($role:tt)*] does $does:ident on $on:ident $req:ty => $res:ty, $event:literal; )*) => {
        /// Each row as a type, named as the row.
        pub mod call {
            use super::*;
            $(
                #[doc = $doc]
                #[expect(non_camel_case_types, reason = "a row has one name everywhere")]
                #[derive(Clone, Copy, Debug)]
                pub struct $name;

                impl Endpoint for $name {
                    const ROUTE: &'static Route = &Route {
                        name: stringify!($name), method: stringify!($method), path: $path,
                        roles: &[$(role!($role)),*], does: does!($does), on: On::$on, event: $event, doc: $doc,
                    };
                    type Request = $req;
                    type Response = $res;
                }
            )*
        }

        /// Every row, in the order of the table.
        pub const ROUTES: &[&Route] = &[$(<call::$name as Endpoint>::ROUTE),*];
    };
}
for_each_route!(describe);

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn rows_do_not_collide() {
        let mut names = BTreeSet::new();
        let mut paths = BTreeSet::new();
        for r in ROUTES {
            assert!(names.insert(r.name), "two rows called {}", r.name);
            assert!(
                paths.insert((r.method, r.path)),
                "two rows at {} {}",
                r.method,
                r.path
            );
            assert!(
                r.path.matches('{').count() <= 1,
                "{} has more than one parameter",
                r.name
            );
            assert_eq!(
                r.method == "GET",
                r.does == Does::Read,
                "{}: a GET reads, and nothing else does",
                r.name
            );
        }
    }

    #[test]
    fn open_rows_are_these_and_no_others() {
        let open: Vec<_> = ROUTES
            .iter()
            .filter(|r| r.is_open())
            .map(|r| r.name)
            .collect();
        assert_eq!(open, ["health", "ready", "metrics", "openapi", "trust"]);
    }
}

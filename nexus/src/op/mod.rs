//! One function per row of the route table, named as the row. See [`ctx`] for what they are given and how they answer.

pub mod caller;
pub mod ctx;
pub mod target;

pub(crate) mod audit;
pub(crate) mod certificates;
pub(crate) mod claims;
pub(crate) mod dpus;
pub(crate) mod enrolment;
pub(crate) mod evidence;
pub(crate) mod first_proof;
pub(crate) mod grants;
pub(crate) mod hosts;
pub(crate) mod invites;
pub(crate) mod join;
pub(crate) mod leases;
pub(crate) mod manifests;
pub(crate) mod people;
pub(crate) mod references;
mod retire;
pub(crate) mod secrets;
pub(crate) mod ssh_cas;
pub(crate) mod system;
pub(crate) mod tenants;
pub(crate) mod words;

pub use caller::Caller;
pub use ctx::{Act, Changed, Ctx, Settled, Shown};
pub use target::{Found, Target};

pub(crate) use audit::{audit_consistency, audit_head, list_audit};
pub(crate) use certificates::{list_certificates, revoke_certificate, sign_certificate};
pub(crate) use claims::{create_claims, list_claims};
pub(crate) use dpus::{
    agent_self, confirm_dpu, decommission_dpu, demand_proof, list_dpus, quarantine_dpu,
    release_dpu, show_demand, show_dpu, wake,
};
pub(crate) use enrolment::begin_enrolment;
pub(crate) use evidence::{new_nonce, show_evidence, show_result, submit_evidence};
pub(crate) use first_proof::complete_enrolment;
pub(crate) use grants::{create_grant, list_grants, revoke_grant};
pub(crate) use hosts::{
    agent_hosts, list_hosts, pair_host, pull_manifest, report_delivery, show_host,
};
pub(crate) use invites::{create_invite, list_invites};
pub(crate) use join::{begin_join, complete_join};
pub(crate) use leases::{acknowledge_lease, pull_leases};
pub(crate) use manifests::{
    activate_reference, import_reference, list_reference_signers, pin_reference_signer,
    retire_reference, retire_reference_signer, show_reference_impact,
};
pub(crate) use people::{
    list_operators, revoke_key, show_operator, suspend_operator, unsuspend_operator, whoami,
};
pub(crate) use references::{list_references, show_reference, take_reference};
pub(crate) use secrets::{list_secrets, put_secret, withdraw_secret};
pub(crate) use ssh_cas::{
    create_ssh_ca, list_ssh_cas, push, rotate_ssh_ca, show_ssh_ca, ssh_trust, withdraw,
};
pub(crate) use system::{health, metrics, openapi, ready, trust};
pub(crate) use tenants::{create_tenant, list_tenants};

#[cfg(test)]
mod tests;

//! Operations on devices, run for real (store, policy, Verifier) with software TPMs in front.

mod attack;
mod dice;
mod disk;
mod enrol;
mod evidence;
mod fall;
mod gate;
mod grants;
mod machine;
mod manifests;
mod race;
mod secrets;
#[path = "../../../../attest/tests/it/soft_tpm.rs"]
mod soft_tpm;
mod spdm;
mod speed;
mod ssh;
mod wake;
mod world;

//! What the tests need of this machine.

use assay_tests::{programs, sshd, tpm};

/// A software TPM.
pub(crate) fn tpm() -> bool {
    programs::has(tpm::NEEDS)
}

/// A software TPM, and a host with a real sshd that assay-host, as root, may look after.
pub(crate) fn hosts() -> bool {
    let there = tpm() && programs::has(sshd::NEEDS);
    if there && !programs::is_root() {
        assert!(std::env::var_os("CI").is_none(), "assay-host needs root");
        println!("skipped: assay-host needs root");
        return false;
    }
    there
}

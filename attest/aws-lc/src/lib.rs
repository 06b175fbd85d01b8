//! Signature checks and TPM credentials on aws-lc, for `assay-attest` in the nexus and the CLI.
#![forbid(unsafe_code)]

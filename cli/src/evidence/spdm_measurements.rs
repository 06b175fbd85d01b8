//! A bare SPDM measurement record: blocks without the messages and the signature around them.

use assay_attest::codec::spdm::block::record;
use assay_attest::refusal::Refusal;

use super::spdm::describe_blocks;
use super::{Accepted, Artefact, Claims, Kind, Opt, Rejection, With};

/// The kind `spdm-measurements`.
pub(crate) struct SpdmMeasurements;

impl Kind for SpdmMeasurements {
    fn name(&self) -> &'static str {
        "spdm-measurements"
    }

    fn about(&self) -> &'static str {
        "A measurement record of SPDM (DSP0274, 10.11.1): measurement blocks one after the other, as binary, hex or base64.\n\n\
         Nothing signs it: it is accepted with `authenticated` false when every block has its exact length, its index once, and digests are by one \
         hash of SHA-2's sizes. Indices 0 and 255, other specifications than the DMTF's, and types that are not known are refused. No options. \
         With its messages and signature around it, it is a `spdm-report`.\n\n\
         Claims: `measurement_count`, `measurements`, each with `index`, `type` (immutable_rom, mutable_firmware, hardware_configuration, \
         firmware_configuration, manifest, device_mode, firmware_version, firmware_svn, hash_extended, informational, structured_manifest) and `digest` \
         (`sha512:hex`), or `size` and `raw` (hex, up to 1024 bytes), `svn`, `version`; `unused_indices` (digests of zeros only, which match nothing), \
         `svn` (the last one), `device_mode` with `operational`, `debug` and `closed`."
    }

    fn takes(&self) -> &'static [Opt] {
        &[]
    }

    fn detect(&self, file: &Artefact) -> bool {
        self.inspect(file).is_ok()
    }

    fn inspect(&self, file: &Artefact) -> Result<Claims, Rejection> {
        let blocks = record(&file.binary(), None)?;
        if blocks.is_empty() {
            return Err(Refusal::SpdmNoMeasurements.into());
        }
        let mut claims = Claims::new();
        describe_blocks(&blocks, &mut claims);
        Ok(claims)
    }

    fn verify(&self, file: &Artefact, _: &With<'_>) -> Result<Accepted, Rejection> {
        Ok(Accepted {
            authenticated: false,
            claims: self.inspect(file)?,
        })
    }
}

//! The only list of evidence kinds.

use super::Format;

/// Every kind of member beside `claims`, which the envelope itself reads.
pub const FORMATS: &[&dyn Format] = &[
    &super::tpm::Tpm,
    &super::dice::Dice,
    &super::spdm::Spdm,
    &super::uefi_log::UefiLog,
    &super::ima_log::Ima,
];

/// The kind of that media type.
#[must_use]
pub fn by_media_type(media_type: &str) -> Option<&'static dyn Format> {
    FORMATS
        .iter()
        .copied()
        .find(|format| format.media_type() == media_type)
}

#[cfg(test)]
mod tests {
    use super::FORMATS;

    #[test]
    fn media_types_are_unique() {
        let mut seen = alloc::collections::BTreeSet::new();
        assert!(
            FORMATS
                .iter()
                .all(|format| seen.insert(format.media_type()))
        );
    }
}

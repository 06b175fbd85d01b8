//! The only list of sources.

use super::dice::{Dice, SoftwareRoot};
use super::{Source, SourceError};
use std::path::PathBuf;

/// Which roots this machine has, from the configuration.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The state directory.
    pub state: PathBuf,
    /// TCTI of the TPM; `None` where the machine has none.
    pub tcti: Option<String>,
    /// The lab's software DICE, where it is configured.
    pub software_dice: Option<SoftwareRoot>,
}

type Opened = Result<Option<Box<dyn Source>>, SourceError>;

/// One source: its name, and how it is opened where it is configured.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Name, for people.
    pub name: &'static str,
    /// Opens it; `None` where it is not configured.
    pub open: fn(&Settings) -> Opened,
}

/// Every source.
pub const ROWS: &[Row] = &[
    Row {
        name: "tpm",
        open: tpm,
    },
    Row {
        name: "dice.software",
        open: software_dice,
    },
];

/// Opens what is configured.
///
/// # Errors
/// The first that does not open.
pub fn open(settings: &Settings) -> Result<Vec<Box<dyn Source>>, SourceError> {
    ROWS.iter()
        .filter_map(|row| (row.open)(settings).transpose())
        .collect()
}

fn tpm(settings: &Settings) -> Opened {
    let Some(tcti) = &settings.tcti else {
        return Ok(None);
    };
    let tpm = super::tpm::Tpm::open(tcti, &settings.state.join("tpm.json"))?;
    Ok(Some(Box::new(tpm)))
}

fn software_dice(settings: &Settings) -> Opened {
    let Some(root) = &settings.software_dice else {
        return Ok(None);
    };
    Ok(Some(Box::new(Dice::open(root)?)))
}

#[cfg(test)]
mod tests {
    use super::ROWS;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_unique() {
        let mut seen = BTreeSet::new();
        assert!(ROWS.iter().all(|row| seen.insert(row.name)));
    }
}

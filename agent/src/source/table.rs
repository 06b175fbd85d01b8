//! The only list of sources.

use super::dice::{Dice, SoftwareRoot};
use super::logs::Log;
use super::redfish::{Bmc, Redfish, Root};
use super::{Source, SourceError};
use std::collections::BTreeSet;
use std::path::PathBuf;

/// Which roots this machine has, from the configuration.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The state directory.
    pub state: PathBuf,
    /// TCTI of the TPM; `None` where the machine has none.
    pub tcti: Option<String>,
    /// The firmware's event log, where it is configured.
    pub uefi_log: Option<PathBuf>,
    /// The IMA list, where it is configured.
    pub ima_log: Option<PathBuf>,
    /// The lab's software DICE, where it is configured.
    pub software_dice: Option<SoftwareRoot>,
    /// The management controller, where it is configured.
    pub bmc: Option<Bmc>,
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
        name: "log.uefi",
        open: uefi_log,
    },
    Row {
        name: "log.ima",
        open: ima_log,
    },
    Row {
        name: "dice.software",
        open: software_dice,
    },
    Row {
        name: "bmc.erot",
        open: |settings| bmc(settings, Root::Erot),
    },
    Row {
        name: "bmc.irot",
        open: |settings| bmc(settings, Root::Irot),
    },
];

/// Opens what is configured.
///
/// # Errors
/// The first that does not open; `source.twice`, since each proof would fail.
pub fn open(settings: &Settings) -> Result<Vec<Box<dyn Source>>, SourceError> {
    let opened = ROWS
        .iter()
        .filter_map(|row| (row.open)(settings).transpose())
        .collect::<Result<Vec<_>, _>>()?;
    let mut labels = BTreeSet::new();
    match opened.iter().find(|source| !labels.insert(source.label())) {
        Some(again) => Err(SourceError::Twice {
            label: again.label(),
        }),
        None => Ok(opened),
    }
}

fn tpm(settings: &Settings) -> Opened {
    let Some(tcti) = &settings.tcti else {
        return Ok(None);
    };
    let tpm = super::tpm::Tpm::open(tcti, &settings.state.join("tpm.json"))?;
    Ok(Some(Box::new(tpm)))
}

fn uefi_log(settings: &Settings) -> Opened {
    let log = settings.uefi_log.as_deref().map(Log::uefi);
    Ok(log.map(|log| -> Box<dyn Source> { Box::new(log) }))
}

fn ima_log(settings: &Settings) -> Opened {
    let log = settings.ima_log.as_deref().map(Log::ima);
    Ok(log.map(|log| -> Box<dyn Source> { Box::new(log) }))
}

fn software_dice(settings: &Settings) -> Opened {
    let Some(root) = &settings.software_dice else {
        return Ok(None);
    };
    Ok(Some(Box::new(Dice::open(root)?)))
}

fn bmc(settings: &Settings, root: Root) -> Opened {
    let wanted = settings
        .bmc
        .as_ref()
        .filter(|bmc| bmc.roots.contains(&root));
    let Some(bmc) = wanted else {
        return Ok(None);
    };
    Ok(Some(Box::new(Redfish::open(root, bmc, &settings.state)?)))
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

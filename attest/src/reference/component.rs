//! What can be measured, by name.

use alloc::string::ToString as _;
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

use crate::boot::Measurement;
use crate::digest::HashAlg;
use crate::limits;
use crate::refusal::Refusal;
use crate::session::Label;

/// What can be measured, by name: `pcr.sha256.7`, `dice.irot.layer.2.fwid`, `spdm.irot.mb.3`, `spdm.accel.0.mb.9`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Component {
    /// A quoted PCR.
    Pcr(HashAlg, u8),
    /// The firmware ids of one layer of a DICE chain, the root's side first, layer 0.
    Fwid(Root, u8),
    /// The security version numbers of one layer of a DICE chain.
    Svn(Root, u8),
    /// The SPDM measurement block of that index. What a device gives as it is, not hashed, is compared by its SHA-256.
    Block(Root, u8),
    /// What the log of measured boot says, by name; its digests are those of the first quoted bank.
    Uefi(Measurement),
}

/// The chain that a layer belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Root {
    /// The external root of trust.
    Erot,
    /// The internal root of trust.
    Irot,
    /// An accelerator of the host, by its number.
    Accel(u16),
}

impl Root {
    /// The root under that label; no other label holds one.
    #[must_use]
    pub const fn of(label: Label) -> Option<Self> {
        match label {
            Label::Erot => Some(Self::Erot),
            Label::Irot => Some(Self::Irot),
            Label::Accel(number) => Some(Self::Accel(number)),
            Label::Claims | Label::LogUefi | Label::LogIma | Label::Posture | Label::Tpm => None,
        }
    }

    /// The root that the first parts of a name speak of, and the parts that follow.
    fn parse<'a>(parts: &'a [&'a str]) -> Option<(Self, &'a [&'a str])> {
        match parts {
            ["erot", rest @ ..] => Some((Self::Erot, rest)),
            ["irot", rest @ ..] => Some((Self::Irot, rest)),
            ["accel", number, rest @ ..] => number
                .parse()
                .ok()
                .filter(|number| *number < limits::ACCELERATORS)
                .map(|number| (Self::Accel(number), rest)),
            _ => None,
        }
    }
}

impl fmt::Display for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Erot => f.write_str("erot"),
            Self::Irot => f.write_str("irot"),
            Self::Accel(number) => write!(f, "accel.{number}"),
        }
    }
}

impl fmt::Display for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pcr(alg, index) => write!(f, "pcr.{}.{index}", alg.name()),
            Self::Fwid(root, layer) => write!(f, "dice.{root}.layer.{layer}.fwid"),
            Self::Svn(root, layer) => write!(f, "dice.{root}.layer.{layer}.svn"),
            Self::Block(root, index) => write!(f, "spdm.{root}.mb.{index}"),
            Self::Uefi(what) => what.fmt(f),
        }
    }
}

impl FromStr for Component {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        let parts: Vec<&str> = text.split('.').collect();
        let parsed = match parts.as_slice() {
            ["pcr", alg, index] => {
                let alg = HashAlg::ALL.into_iter().find(|known| known.name() == *alg);
                let index = index.parse().ok().filter(|index| *index < limits::PCRS);
                alg.zip(index).map(|(alg, index)| Self::Pcr(alg, index))
            }
            ["dice", rest @ ..] => match Root::parse(rest) {
                Some((root, ["layer", layer, "fwid"])) => {
                    layer.parse().ok().map(|layer| Self::Fwid(root, layer))
                }
                Some((root, ["layer", layer, "svn"])) => {
                    layer.parse().ok().map(|layer| Self::Svn(root, layer))
                }
                Some(_) | None => None,
            },
            ["spdm", rest @ ..] => match Root::parse(rest) {
                Some((root, ["mb", index])) => index
                    .parse()
                    .ok()
                    .filter(|index| (1..=254).contains(index))
                    .map(|index| Self::Block(root, index)),
                Some(_) | None => None,
            },
            ["uefi", ..] => text.parse().ok().map(Self::Uefi),
            _ => None,
        };
        // One spelling each: `pcr.sha256.07` is no component.
        parsed
            .filter(|component| component.to_string() == text)
            .ok_or_else(|| Refusal::ComponentUnknown {
                name: text.chars().take(64).collect(),
            })
    }
}

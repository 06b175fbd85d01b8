//! What UEFI firmware puts into the data of its events (TCG PC Client Platform Firmware Profile 1.06, section 10).

use super::reader::Reader;
use crate::limits;
use crate::refusal::Refusal;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// EFI_GLOBAL_VARIABLE, as it stands in memory.
pub const GLOBAL_VARIABLE: [u8; 16] = [
    0x61, 0xdf, 0xe4, 0x8b, 0xca, 0x93, 0xd2, 0x11, 0xaa, 0x0d, 0x00, 0xe0, 0x98, 0x03, 0x2b, 0x8c,
];
/// EFI_IMAGE_SECURITY_DATABASE, as it stands in memory.
pub const SECURITY_DATABASE: [u8; 16] = [
    0xcb, 0xb2, 0x19, 0xd7, 0x3a, 0x3d, 0x96, 0x45, 0xa3, 0xbc, 0xda, 0xd0, 0x0e, 0x67, 0x65, 0x6f,
];

/// UEFI_VARIABLE_DATA (10.2.6): what a variable held when it was measured. It names itself, so where its digest covers it,
/// nobody can pass it off for another variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Variable<'a> {
    /// The vendor's GUID as in memory.
    pub guid: &'a [u8],
    /// The name, UTF-16LE without a terminator.
    pub name: &'a [u8],
    /// Its content.
    pub data: &'a [u8],
}

impl<'a> Variable<'a> {
    /// Parses an event's data; nothing may follow.
    ///
    /// # Errors
    /// [`Refusal::Truncated`], [`Refusal::TrailingBytes`].
    pub fn parse(data: &'a [u8]) -> Result<Self, Refusal> {
        let mut reader = Reader::new("the variable", data);
        let guid = reader.take(16)?;
        let characters = length(&mut reader)?;
        let content = length(&mut reader)?;
        let name = reader.take(characters.saturating_mul(2))?;
        let data = reader.take(content)?;
        reader.finish()?;
        Ok(Self { guid, name, data })
    }

    /// Whether it is that variable of that vendor; `name` in ASCII.
    #[must_use]
    pub fn is(&self, guid: &[u8; 16], name: &str) -> bool {
        let wide: Vec<u8> = name.bytes().flat_map(|byte| [byte, 0]).collect();
        self.guid == guid && self.name == wide
    }
}

/// UEFI_IMAGE_LOAD_EVENT (10.2.3): where an image was found. Its digest covers the image, not this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageLoad<'a> {
    /// The device path, as in memory.
    pub device_path: &'a [u8],
}

impl<'a> ImageLoad<'a> {
    /// Parses an event's data; nothing may follow.
    ///
    /// # Errors
    /// [`Refusal::Truncated`], [`Refusal::TrailingBytes`].
    pub fn parse(data: &'a [u8]) -> Result<Self, Refusal> {
        let mut reader = Reader::new("the image load event", data);
        // Address, length, link-time address.
        reader.take(24)?;
        let path = length(&mut reader)?;
        let device_path = reader.take(path)?;
        reader.finish()?;
        Ok(Self { device_path })
    }

    /// The file path in the device path (media device path, type 4, subtype 4), where it has one.
    #[must_use]
    pub fn file(&self) -> Option<String> {
        let mut rest = self.device_path;
        while let Some(([kind, subtype, low, high], _)) = rest.split_first_chunk::<4>() {
            let (node, after) =
                rest.split_at_checked(usize::from(u16::from_le_bytes([*low, *high])))?;
            let content = node.get(4..)?;
            if (*kind, *subtype) == (4, 4) {
                return Some(utf16(content));
            }
            rest = after;
        }
        None
    }
}

/// TCG_PCClientTaggedEvent (10.4.2.1): an id and its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tagged<'a> {
    /// Whose it is.
    pub id: u32,
    /// What it says.
    pub data: &'a [u8],
}

impl<'a> Tagged<'a> {
    /// The Linux EFI stub's load options.
    pub const LINUX_LOAD_OPTIONS: u32 = 0x8f3b_22ed;
    /// The Linux EFI stub's initrd.
    pub const LINUX_INITRD: u32 = 0x8f3b_22ec;

    /// Parses an event's data; nothing may follow.
    ///
    /// # Errors
    /// [`Refusal::Truncated`], [`Refusal::TrailingBytes`].
    pub fn parse(data: &'a [u8]) -> Result<Self, Refusal> {
        let mut reader = Reader::new("the tagged event", data);
        let id = reader.u32_le()?;
        let data = reader.sized_u32_le(limits::LOG_EVENT_BYTES)?;
        reader.finish()?;
        Ok(Self { id, data })
    }
}

/// Text that may be UTF-16LE or UTF-8, without its terminators and control characters; `None` where it is neither.
#[must_use]
pub fn text(data: &[u8]) -> Option<String> {
    let wide = data.len() >= 2
        && data.len().is_multiple_of(2)
        && data.iter().skip(1).step_by(2).all(|high| *high == 0);
    let text = if wide {
        utf16(data)
    } else {
        String::from_utf8(data.to_vec()).ok()?
    };
    let text = text.trim_end_matches('\0');
    (!text.is_empty() && !text.chars().any(char::is_control)).then(|| text.into())
}

/// A GUID as people write it.
#[must_use]
pub fn guid(bytes: &[u8]) -> String {
    let Some((head, tail)) = bytes.split_first_chunk::<8>() else {
        return crate::digest::hex(bytes);
    };
    let [a, b, c, d, e, f, g, h] = head;
    let (clock, node) = tail.split_at_checked(2).unwrap_or((tail, &[]));
    format!(
        "{}-{}-{}-{}-{}",
        crate::digest::hex(&[*d, *c, *b, *a]),
        crate::digest::hex(&[*f, *e]),
        crate::digest::hex(&[*h, *g]),
        crate::digest::hex(clock),
        crate::digest::hex(node)
    )
}

/// UTF-16LE up to its terminator; what is no character becomes U+FFFD.
#[must_use]
pub fn utf16(bytes: &[u8]) -> String {
    let units = bytes
        .as_chunks::<2>()
        .0
        .iter()
        .map(|unit| u16::from_le_bytes(*unit))
        .take_while(|unit| *unit != 0);
    char::decode_utf16(units)
        .map(|character| character.unwrap_or(char::REPLACEMENT_CHARACTER))
        .collect()
}

fn length(reader: &mut Reader<'_>) -> Result<usize, Refusal> {
    let length = reader.u64_le()?;
    usize::try_from(length).map_err(|_huge| Refusal::Truncated {
        what: reader.what(),
        offset: reader.offset(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn variable(name: &str, data: &[u8]) -> Vec<u8> {
        let mut bytes = GLOBAL_VARIABLE.to_vec();
        bytes.extend(u64::try_from(name.len()).unwrap().to_le_bytes());
        bytes.extend(u64::try_from(data.len()).unwrap().to_le_bytes());
        bytes.extend(name.bytes().flat_map(|byte| [byte, 0]));
        bytes.extend(data);
        bytes
    }

    #[test]
    fn a_variable_is_exact() {
        let bytes = variable("SecureBoot", &[1]);
        let parsed = Variable::parse(&bytes).unwrap();
        assert!(parsed.is(&GLOBAL_VARIABLE, "SecureBoot"));
        assert!(!parsed.is(&SECURITY_DATABASE, "SecureBoot") && !parsed.is(&GLOBAL_VARIABLE, "db"));
        assert_eq!(parsed.data, [1]);
        assert_eq!(guid(parsed.guid), "8be4df61-93ca-11d2-aa0d-00e098032b8c");
        for cut in 0..bytes.len() {
            assert!(Variable::parse(&bytes[..cut]).is_err());
        }
        assert!(Variable::parse(&[bytes, vec![0]].concat()).is_err());
        let mut huge = variable("x", &[]);
        huge[16..24].fill(0xff);
        assert!(Variable::parse(&huge).is_err());
    }

    #[test]
    fn the_file_of_an_image_is_found() {
        let path: Vec<u8> = "\\EFI\\a".bytes().flat_map(|byte| [byte, 0]).collect();
        let mut node = vec![4, 4];
        node.extend(u16::try_from(path.len() + 6).unwrap().to_le_bytes());
        node.extend(path);
        node.extend([0, 0]);
        let whole = [vec![2, 1, 4, 0], node, vec![0x7f, 0xff, 4, 0]].concat();
        let image = ImageLoad {
            device_path: &whole,
        };
        assert_eq!(image.file().unwrap(), "\\EFI\\a");
        for cut in 0..whole.len() {
            let _ = ImageLoad {
                device_path: &whole[..cut],
            }
            .file();
        }
        // A node without a length does not end the search: it ends it.
        assert_eq!(
            ImageLoad {
                device_path: &[2, 1, 0, 0]
            }
            .file(),
            None
        );
    }

    #[test]
    fn text_is_text() {
        assert_eq!(text(b"ro quiet\0").unwrap(), "ro quiet");
        assert_eq!(text(b"r\0o\0\0\0").unwrap(), "ro");
        assert_eq!(text(b"\x1b[2J"), None);
        assert_eq!(text(&[0xff, 0xfe, 0xfd]), None);
        assert_eq!(text(b""), None);
    }
}

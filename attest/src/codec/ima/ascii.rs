//! The ASCII form: `10 <digest> ima-ng sha256:<digest> /path`, one entry a line. The template data are put together again, and
//! the entry's own digest says whether they are right.

use super::{Field, ImaLog, WHAT, fields, malformed, unsupported};
use crate::limits;
use crate::refusal::Refusal;
use crate::replay::Bank;
use alloc::borrow::Cow;
use alloc::vec::Vec;

pub(super) fn parse(text: &str) -> Result<ImaLog<'_>, Refusal> {
    if text.len() > limits::IMA_LOG_BYTES {
        return Err(Refusal::TooLarge {
            what: WHAT,
            limit: limits::IMA_LOG_BYTES,
        });
    }
    let mut log = ImaLog {
        entries: Vec::new(),
    };
    for line in text.lines().filter(|line| !line.is_empty()) {
        let number = log.entries.len();
        let bad = |why| malformed(number, why);
        let mut words = line.trim_start_matches(' ').split(' ');
        let mut word = || words.next().unwrap_or_default();
        let pcr = word()
            .parse()
            .map_err(|_no| bad("does not begin with a pcr"))?;
        let digest = unhex(word()).ok_or_else(|| bad("has a digest that is not hexadecimal"))?;
        let bank = Bank::ALL
            .into_iter()
            .find(|bank| bank.size() == digest.len())
            .ok_or_else(|| bad("has a digest of no known length"))?;
        let template = word();
        let mut data = Vec::new();
        for field in fields(template)? {
            field_data(&mut data, field, word())
                .ok_or_else(|| bad("has a field that its template does not know"))?
                .map_err(|()| unsupported(template))?;
        }
        if words.any(|rest| !rest.is_empty()) {
            return Err(bad("has more fields than its template"));
        }
        log.add(pcr, &digest, bank, template.as_bytes(), Cow::Owned(data))?;
    }
    Ok(log)
}

/// Adds one field as the binary form has it; `Err` where its ASCII form does not say everything.
fn field_data(data: &mut Vec<u8>, field: Field, word: &str) -> Option<Result<(), ()>> {
    let content = match field {
        Field::LegacyDigest => {
            data.extend(unhex(word)?);
            return Some(Ok(()));
        }
        Field::LegacyName => word.as_bytes().to_vec(),
        Field::Digest => {
            let (name, digest) = word.rsplit_once(':')?;
            let mut content = name.as_bytes().to_vec();
            content.extend_from_slice(b":\0");
            content.extend(unhex(digest)?);
            content
        }
        Field::Name => {
            let mut content = word.as_bytes().to_vec();
            content.push(0);
            content
        }
        Field::Signature | Field::Buffer => unhex(word)?,
        Field::Other => return Some(Err(())),
    };
    data.extend(u32::try_from(content.len()).ok()?.to_le_bytes());
    data.extend(content);
    Some(Ok(()))
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    base16ct::mixed::decode_vec(text).ok()
}

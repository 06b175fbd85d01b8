//! Inventories: CSV (RFC 4180) with a header line, one DPU a line.

use assay_api::types::{B64, ClaimItem};

use crate::fault::Fault;
use crate::home::Hex32;

/// The most DPUs that one request takes.
const MAX_ITEMS: usize = 500;
/// The longest inventory, in bytes.
pub(super) const LIMIT: usize = 1024 * 1024;

/// Reads an inventory. Columns `name` and `serial` must be there; `ek`, `dice` (64 hexadecimal digits) and `rekey` may be;
/// others are refused, since a column that is passed over in silence may be the one that mattered.
///
/// # Errors
/// `inventory`, with the line.
pub(super) fn parse(text: &str) -> Result<Vec<ClaimItem>, Fault> {
    let mut records = records(text.strip_prefix('\u{feff}').unwrap_or(text))?.into_iter();
    let (_, head) = records.next().ok_or_else(|| fault(1, "it is empty"))?;
    let head: Vec<String> = head.iter().map(|h| h.trim().to_ascii_lowercase()).collect();
    for (at, name) in head.iter().enumerate() {
        if !["name", "serial", "ek", "dice", "rekey"].contains(&name.as_str()) {
            return Err(fault(
                1,
                &format!("there is no column `{name}`: columns are name, serial, ek, dice, rekey"),
            ));
        }
        if head.iter().take(at).any(|h| h == name) {
            return Err(fault(1, &format!("column `{name}` is there twice")));
        }
    }
    for must in ["name", "serial"] {
        if !head.iter().any(|h| h == must) {
            return Err(fault(1, &format!("column `{must}` is missing")));
        }
    }
    let mut items: Vec<ClaimItem> = Vec::new();
    for (line, record) in records {
        if record.len() != head.len() {
            return Err(fault(
                line,
                &format!(
                    "it has {} fields, the header has {}",
                    record.len(),
                    head.len()
                ),
            ));
        }
        let field = |name: &str| {
            head.iter()
                .position(|h| h == name)
                .and_then(|at| record.get(at))
                .map(|f| f.trim())
                .filter(|f| !f.is_empty())
        };
        let digest = |name: &str| match field(name).map(Hex32::parse) {
            Some(None) => Err(fault(
                line,
                &format!("`{name}` is not 64 hexadecimal digits"),
            )),
            Some(Some(hex)) => Ok(Some(B64(hex.0.to_vec()))),
            None => Ok(None),
        };
        let must = |name: &str| {
            field(name)
                .map(str::to_owned)
                .ok_or_else(|| fault(line, &format!("`{name}` is empty")))
        };
        let item = ClaimItem {
            name: must("name")?,
            serial: must("serial")?,
            ek: digest("ek")?,
            dice: digest("dice")?,
            rekey: field("rekey").map(str::to_owned),
        };
        if items
            .iter()
            .any(|i| i.name == item.name || i.serial == item.serial)
        {
            return Err(fault(line, "its name or serial is there already"));
        }
        items.push(item);
    }
    match items.len() {
        0 => Err(fault(2, "it has no DPU")),
        1..=MAX_ITEMS => Ok(items),
        many => Err(fault(
            1,
            &format!("it has {many} DPUs; {MAX_ITEMS} go into one claim"),
        )
        .hint("split it")),
    }
}

fn fault(line: usize, why: &str) -> Fault {
    Fault::new(
        "inventory",
        format!("the inventory can't be used: line {line}: {why}"),
    )
}

/// Records with the line that each begins on. Empty lines are passed over.
fn records(text: &str) -> Result<Vec<(usize, Vec<String>)>, Fault> {
    let mut all = Vec::new();
    let (mut record, mut field) = (Vec::new(), String::new());
    let (mut line, mut began) = (1, 1);
    let (mut quoted, mut was_quoted) = (false, false);
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                field.push('"');
            }
            '"' if quoted => quoted = false,
            '"' if field.is_empty() && !was_quoted => (quoted, was_quoted) = (true, true),
            '"' => return Err(fault(line, "a quote stands inside of a field")),
            ',' if !quoted => {
                record.push(std::mem::take(&mut field));
                was_quoted = false;
            }
            '\n' if !quoted => {
                end(&mut all, &mut record, &mut field, was_quoted, began);
                line += 1;
                (began, was_quoted) = (line, false);
            }
            '\r' if !quoted && chars.peek() == Some(&'\n') => {}
            other => {
                line += usize::from(other == '\n');
                field.push(other);
            }
        }
    }
    if quoted {
        return Err(fault(began, "a quote is not closed"));
    }
    end(&mut all, &mut record, &mut field, was_quoted, began);
    Ok(all)
}

fn end(
    all: &mut Vec<(usize, Vec<String>)>,
    record: &mut Vec<String>,
    field: &mut String,
    quoted: bool,
    began: usize,
) {
    if record.is_empty() && field.trim().is_empty() && !quoted {
        field.clear();
        return;
    }
    record.push(std::mem::take(field));
    all.push((began, std::mem::take(record)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inventory_as_spreadsheets_write_it() {
        let ek = "ab".repeat(32);
        let text =
            format!("\u{feff}Serial,name,ek\r\n\"MT2,\"\"7\"\"\",bf3-a,{ek}\r\n\r\nMT3,bf3-b,\r\n");
        let items = parse(&text).unwrap();
        assert_eq!(
            (items[0].serial.as_str(), items[0].name.as_str()),
            ("MT2,\"7\"", "bf3-a")
        );
        assert_eq!(items[0].ek.as_ref().unwrap().0, [0xab; 32]);
        assert!(items[1].ek.is_none() && items[1].dice.is_none());
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        let many = std::iter::once("name,serial\n".to_owned())
            .chain((0..501).map(|i| format!("n{i},s{i}\n")))
            .collect::<String>();
        for (text, part) in [
            ("", "it is empty"),
            ("name,serial\n", "it has no DPU"),
            ("name\na\n", "column `serial` is missing"),
            ("name,serial,mac\na,b,c\n", "no column `mac`"),
            ("name,name,serial\na,b,c\n", "`name` is there twice"),
            ("name,serial\na,b\nc\n", "line 3: it has 1 fields"),
            ("name,serial\na,\n", "line 2: `serial` is empty"),
            ("name,serial,ek\na,b,xyz\n", "line 2: `ek` is not 64"),
            ("name,serial\na,b\na,c\n", "line 3: its name or serial"),
            ("name,serial\n\"a,b\n", "line 2: a quote is not closed"),
            ("name,serial\na\"x\",b\n", "line 2: a quote stands inside"),
            (&many, "501 DPUs"),
        ] {
            let fault = parse(text).unwrap_err();
            assert!(fault.message.contains(part), "{text:.40}: {fault}");
        }
    }

    proptest::proptest! {
        #[test]
        fn never_panics(text in "[a-z,\"\\n\\r ]{0,80}") {
            let _ = parse(&format!("name,serial\n{text}"));
            let _ = parse(&text);
        }
    }
}

//! CBOR written for people: diagnostic notation (RFC 8949, 8; RFC 8610, appendix G), as specifications and tests have it.
//!
//! Read, never written. Values that have no place in the data model used here (undefined, other simple values) are refused, and so
//! are literals of applications (`dt''`, `ip''`).

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

use base64ct::{Base64Unpadded, Base64UrlUnpadded, Encoding as _};

use super::cbor::{self, Value};
use super::der::malformed;
use crate::limits;
use crate::refusal::Refusal;

const WHAT: &str = "the diagnostic notation";

/// Reads one item that fills `text` but for comments and white space, and encodes it; maps keep their order.
///
/// # Errors
/// `evidence.malformed`, `evidence.too_large`, `evidence.unsupported`.
pub fn to_cbor(text: &str) -> Result<Vec<u8>, Refusal> {
    if text.len() > limits::EVIDENCE_BYTES {
        return Err(Refusal::TooLarge {
            what: WHAT,
            limit: limits::EVIDENCE_BYTES,
        });
    }
    let mut reader = Reader {
        text,
        at: 0,
        items: 0,
    };
    let value = reader.item(0)?;
    reader.space()?;
    if reader.peek().is_some() {
        return Err(reader.wrong("something follows the item"));
    }
    Ok(cbor::write(&value))
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    items: usize,
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn take(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at = self.at.saturating_add(c.len_utf8());
        Some(c)
    }

    fn eat(&mut self, token: &str) -> bool {
        let found = self.rest().starts_with(token);
        if found {
            self.at = self.at.saturating_add(token.len());
        }
        found
    }

    fn wrong(&self, why: &str) -> Refusal {
        malformed(WHAT, format!("{why}, at byte {}", self.at))
    }

    /// White space and comments: `/ ... /`, `/* ... */`, `# ...` and `// ...` to the end of the line.
    fn space(&mut self) -> Result<(), Refusal> {
        loop {
            let rest = self.rest();
            let trimmed = rest.trim_start();
            self.at = self.text.len().saturating_sub(trimmed.len());
            let end = if trimmed.starts_with('#') || trimmed.starts_with("//") {
                trimmed.find('\n').or(Some(trimmed.len()))
            } else if let Some(comment) = trimmed.strip_prefix("/*") {
                comment.find("*/").and_then(|end| end.checked_add(4))
            } else if let Some(comment) = trimmed.strip_prefix('/') {
                comment.find('/').and_then(|end| end.checked_add(2))
            } else {
                return Ok(());
            };
            let end = end.ok_or_else(|| self.wrong("a comment does not end"))?;
            self.at = self.at.saturating_add(end);
        }
    }

    fn item(&mut self, depth: usize) -> Result<Value, Refusal> {
        self.items = self.items.saturating_add(1);
        if depth > limits::CBOR_DEPTH || self.items > limits::CBOR_ITEMS {
            return Err(Refusal::TooLarge {
                what: WHAT,
                limit: limits::CBOR_DEPTH,
            });
        }
        self.space()?;
        let inner = depth.saturating_add(1);
        let value = match self.peek() {
            None => return Err(self.wrong("an item is missing")),
            Some('[') => {
                self.take();
                self.stream();
                Value::Array(self.list(']', inner)?)
            }
            Some('{') => {
                self.take();
                self.stream();
                Value::Map(self.map(inner)?)
            }
            Some('"') => Value::Text(self.string('"')?),
            Some('\'') => Value::Bytes(self.string('\'')?.into_bytes()),
            Some('<') => self.embedded(inner)?,
            Some('(') => self.chunks(inner)?,
            Some(c) if c.is_ascii_digit() || matches!(c, '-' | '+' | '.') => self.number(inner)?,
            Some(_) => self.word(inner)?,
        };
        // How the item was encoded (`_0` to `_3`, `_i`) is no part of its value.
        if let Some(rest) = self.rest().strip_prefix('_')
            && rest.starts_with(|c: char| c.is_ascii_digit() || c == 'i')
        {
            self.at = self.at.saturating_add(2);
        }
        Ok(value)
    }

    /// `[_ ` and `{_ `: an indefinite length; `_0` to `_3`: a length's length.
    fn stream(&mut self) {
        if self.eat("_") && self.peek().is_some_and(|c| c.is_ascii_digit()) {
            self.take();
        }
    }

    fn list(&mut self, end: char, depth: usize) -> Result<Vec<Value>, Refusal> {
        let mut items = Vec::new();
        loop {
            self.space()?;
            if self.peek() == Some(end) {
                self.take();
                return Ok(items);
            }
            items.push(self.item(depth)?);
            self.space()?;
            if !self.eat(",") && self.peek() != Some(end) {
                return Err(self.wrong("a comma or the end is missing"));
            }
        }
    }

    fn map(&mut self, depth: usize) -> Result<Vec<(Value, Value)>, Refusal> {
        let mut entries = Vec::new();
        loop {
            self.space()?;
            if self.eat("}") {
                return Ok(entries);
            }
            let key = self.item(depth)?;
            self.space()?;
            if !self.eat(":") {
                return Err(self.wrong("a colon is missing"));
            }
            entries.push((key, self.item(depth)?));
            self.space()?;
            if !self.eat(",") && self.peek() != Some('}') {
                return Err(self.wrong("a comma or the end is missing"));
            }
        }
    }

    /// `<< item, ... >>`: the items' encodings, as one byte string.
    fn embedded(&mut self, depth: usize) -> Result<Value, Refusal> {
        if !self.eat("<<") {
            return Err(self.wrong("an item can't begin so"));
        }
        let mut bytes = Vec::new();
        loop {
            self.space()?;
            if self.eat(">>") {
                return Ok(Value::Bytes(bytes));
            }
            bytes.extend(cbor::write(&self.item(depth)?));
            self.space()?;
            if !self.eat(",") && !self.rest().starts_with(">>") {
                return Err(self.wrong("a comma or the end is missing"));
            }
        }
    }

    /// `(_ h'01', h'02')`: a string in chunks.
    fn chunks(&mut self, depth: usize) -> Result<Value, Refusal> {
        self.take();
        self.stream();
        let mut bytes = Vec::new();
        let mut text = String::new();
        for chunk in self.list(')', depth)? {
            match chunk {
                Value::Bytes(chunk) => bytes.extend(chunk),
                Value::Text(chunk) => text.push_str(&chunk),
                _ => return Err(self.wrong("a chunk is no string")),
            }
        }
        match (bytes.is_empty(), text.is_empty()) {
            (_, true) => Ok(Value::Bytes(bytes)),
            (true, false) => Ok(Value::Text(text)),
            (false, false) => Err(self.wrong("chunks of two kinds")),
        }
    }

    /// A string with JSON's escapes; in single quotes `\'` too.
    fn string(&mut self, quote: char) -> Result<String, Refusal> {
        self.take();
        let mut out = String::new();
        loop {
            let c = self
                .take()
                .ok_or_else(|| self.wrong("a string does not end"))?;
            if c == quote {
                return Ok(out);
            }
            if c != '\\' {
                out.push(c);
                continue;
            }
            let c = match self.take() {
                Some('n') => '\n',
                Some('t') => '\t',
                Some('r') => '\r',
                Some('b') => '\u{8}',
                Some('f') => '\u{c}',
                Some(same @ ('"' | '\'' | '\\' | '/')) => same,
                Some('u') => self.unicode()?,
                _ => return Err(self.wrong("an escape is not known")),
            };
            out.push(c);
        }
    }

    fn unicode(&mut self) -> Result<char, Refusal> {
        let first = self.four()?;
        let code = if (0xd800..0xdc00).contains(&first) {
            if !self.eat("\\u") {
                return Err(self.wrong("half of a surrogate pair"));
            }
            let second = self.four()?.wrapping_sub(0xdc00);
            let first = first.wrapping_sub(0xd800);
            if second >= 0x400 {
                return Err(self.wrong("half of a surrogate pair"));
            }
            (first << 10)
                .saturating_add(second)
                .saturating_add(0x1_0000)
        } else {
            first
        };
        char::from_u32(code).ok_or_else(|| self.wrong("a character that is none"))
    }

    fn four(&mut self) -> Result<u32, Refusal> {
        let digits = self.rest().get(..4).unwrap_or_default();
        let code = Some(digits)
            .filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()) && d.len() == 4)
            .and_then(|d| u32::from_str_radix(d, 16).ok())
            .ok_or_else(|| self.wrong("four hexadecimal digits are missing"))?;
        self.at = self.at.saturating_add(4);
        Ok(code)
    }

    fn number(&mut self, depth: usize) -> Result<Value, Refusal> {
        let rest = self.rest();
        let end = rest
            .char_indices()
            .find(|(at, c)| {
                let exponent = rest
                    .get(..*at)
                    .is_some_and(|head| head.ends_with(['e', 'E', 'p', 'P']))
                    && !rest.starts_with("0x");
                !(c.is_ascii_alphanumeric()
                    || *c == '.'
                    || (*at == 0 || exponent) && matches!(c, '-' | '+'))
            })
            .map_or(rest.len(), |(at, _)| at);
        let word = rest.get(..end).unwrap_or_default();
        let (negative, digits) = match word.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, word.strip_prefix('+').unwrap_or(word)),
        };
        let radix = |prefix: &str, radix| {
            digits
                .strip_prefix(prefix)
                .map(|digits| (digits.to_string(), radix))
        };
        let (digits, base) = radix("0x", 16)
            .or_else(|| radix("0o", 8))
            .or_else(|| radix("0b", 2))
            .unwrap_or((digits.to_string(), 10));
        let value = if digits == "Infinity" {
            Value::Float(if negative {
                f64::NEG_INFINITY
            } else {
                f64::INFINITY
            })
        } else if base == 10 && digits.contains(['.', 'e', 'E']) {
            let float: f64 = word
                .parse()
                .map_err(|_| self.wrong("a number can't be read"))?;
            Value::Float(float)
        } else {
            let magnitude = Some(digits.as_str())
                .filter(|d| d.bytes().all(|b| b.is_ascii_alphanumeric()))
                .and_then(|d| u64::from_str_radix(d, base).ok())
                .ok_or_else(|| self.wrong("a number can't be read"))?;
            let number = i128::from(magnitude);
            let number = if negative {
                number.saturating_neg()
            } else {
                number
            };
            let integer = ciborium::value::Integer::try_from(number)
                .map_err(|_| self.wrong("a number is too large"))?;
            self.at = self.at.saturating_add(end);
            // A tag: `18([...])`, its number with an encoding indicator perhaps.
            let before = self.at;
            if self.eat("_") && self.take().is_none_or(|c| !c.is_ascii_digit()) {
                self.at = before;
            }
            if !negative && self.eat("(") {
                let inner = self.item(depth)?;
                self.space()?;
                if !self.eat(")") {
                    return Err(self.wrong("a tag does not end"));
                }
                return Ok(Value::Tag(magnitude, Box::new(inner)));
            }
            self.at = before;
            return Ok(Value::Integer(integer));
        };
        self.at = self.at.saturating_add(end);
        Ok(value)
    }

    fn word(&mut self, depth: usize) -> Result<Value, Refusal> {
        let rest = self.rest();
        let end = rest
            .find(|c: char| !c.is_ascii_alphanumeric())
            .unwrap_or(rest.len());
        let word = rest.get(..end).unwrap_or_default();
        self.at = self.at.saturating_add(end);
        match (word, self.peek()) {
            ("true", _) => Ok(Value::Bool(true)),
            ("false", _) => Ok(Value::Bool(false)),
            ("null", _) => Ok(Value::Null),
            ("NaN", _) => Ok(Value::Float(f64::NAN)),
            ("Infinity", _) => Ok(Value::Float(f64::INFINITY)),
            ("simple", Some('(')) => {
                self.take();
                let number = self.item(depth)?;
                self.space()?;
                if !self.eat(")") {
                    return Err(self.wrong("a simple value does not end"));
                }
                match number.as_integer().map(i128::from) {
                    Some(20) => Ok(Value::Bool(false)),
                    Some(21) => Ok(Value::Bool(true)),
                    Some(22) => Ok(Value::Null),
                    other => Err(Refusal::Unsupported {
                        what: "the simple value",
                        found: format!("{other:?}"),
                    }),
                }
            }
            ("h", Some('\'')) => {
                let digits = self.quoted()?;
                base16ct::mixed::decode_vec(&digits)
                    .map(Value::Bytes)
                    .map_err(|_| self.wrong("a byte string is not hexadecimal"))
            }
            ("b64", Some('\'')) => {
                let digits = self.quoted()?;
                let digits = digits.trim_end_matches('=');
                if digits.contains(['-', '_']) {
                    Base64UrlUnpadded::decode_vec(digits)
                } else {
                    Base64Unpadded::decode_vec(digits)
                }
                .map(Value::Bytes)
                .map_err(|_| self.wrong("a byte string is not base64"))
            }
            ("", _) => Err(self.wrong("an item can't begin so")),
            (word, _) => Err(Refusal::Unsupported {
                what: "the literal",
                found: word.chars().take(32).collect(),
            }),
        }
    }

    /// What stands in single quotes, without white space and comments.
    fn quoted(&mut self) -> Result<String, Refusal> {
        self.take();
        let mut out = String::new();
        loop {
            self.space()?;
            match self.take() {
                Some('\'') => return Ok(out),
                Some(c) => out.push(c),
                None => return Err(self.wrong("a byte string does not end")),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> String {
        base16ct::lower::encode_string(&to_cbor(text).unwrap())
    }

    /// RFC 8949, appendix A.
    #[test]
    fn the_examples_of_the_rfc_encode_as_it_says() {
        for (text, encoded) in [
            ("0", "00"),
            ("23", "17"),
            ("24", "1818"),
            ("1000000000000", "1b000000e8d4a51000"),
            ("18446744073709551615", "1bffffffffffffffff"),
            ("-1", "20"),
            ("-1000", "3903e7"),
            ("0.0", "f90000"),
            ("-4.1", "fbc010666666666666"),
            ("1.0e+300", "fb7e37e43c8800759c"),
            ("Infinity", "f97c00"),
            ("-Infinity", "f9fc00"),
            ("NaN", "f97e00"),
            ("false", "f4"),
            ("true", "f5"),
            ("null", "f6"),
            ("simple(22)", "f6"),
            (
                "0(\"2013-03-21T20:04:00Z\")",
                "c074323031332d30332d32315432303a30343a30305a",
            ),
            (
                "32(\"http://www.example.com\")",
                "d82076687474703a2f2f7777772e6578616d706c652e636f6d",
            ),
            ("24(h'6449455446')", "d818456449455446"),
            ("h''", "40"),
            ("h'01020304'", "4401020304"),
            ("\"\"", "60"),
            ("\"\\\"\\\\\"", "62225c"),
            ("\"\\u00fc\"", "62c3bc"),
            ("\"\\ud800\\udd51\"", "64f0908591"),
            ("[]", "80"),
            ("[1, [2, 3], [4, 5]]", "8301820203820405"),
            ("{}", "a0"),
            ("{1: 2, 3: 4}", "a201020304"),
            ("{\"a\": 1, \"b\": [2, 3]}", "a26161016162820203"),
            ("[\"a\", {\"b\": \"c\"}]", "826161a161626163"),
        ] {
            assert_eq!(hex(text), encoded, "{text}");
        }
    }

    #[test]
    fn comments_and_the_extended_forms_are_read() {
        assert_eq!(
            hex("/ a / [ / b / 1, # c\n 2, // d\n 3 /* e / f */ ]"),
            "83010203"
        );
        assert_eq!(hex("h'01 02 / x / 03\n04'"), "4401020304");
        assert_eq!(hex("'hello'"), "4568656c6c6f");
        assert_eq!(hex("b64'AQI='"), "420102");
        assert_eq!(hex("b64'-_8'"), "42fbff");
        assert_eq!(hex("<< 1, [2] >>"), "43018102");
        assert_eq!(hex("[_ 1, 2]"), "820102");
        assert_eq!(hex("{_ 1: 2,}"), "a10102");
        assert_eq!(hex("(_ h'01', h'02')"), "420102");
        assert_eq!(hex("0x0eda"), "190eda");
        assert_eq!(hex("-0x10"), "2f");
        assert_eq!(hex("0b101"), "05");
        assert_eq!(hex("1_1"), "01");
        assert_eq!(hex("18_0([h'', {}])"), "d28240a0");
    }

    #[test]
    fn what_is_not_notation_is_refused() {
        for text in [
            "",
            " ",
            "[",
            "[1",
            "[1 2]",
            "{1}",
            "{1:}",
            "{1 2}",
            "h'0'",
            "h'0g'",
            "h'",
            "'",
            "\"",
            "\"\\x\"",
            "\"\\u12\"",
            "\"\\ud800\"",
            "1 2",
            "18(",
            "18(1",
            "-18(1)",
            "undefined",
            "simple(99)",
            "dt'x'",
            "/ x",
            "/* x",
            "<< 1",
            "< 1",
            "0x",
            "0xg",
            "1.2.3",
            "18446744073709551616",
            "-18446744073709551617",
            "--1",
            "hello",
        ] {
            assert!(to_cbor(text).is_err(), "{text}");
        }
        assert!(to_cbor(&"[".repeat(10_000)).is_err());
        assert!(to_cbor(&"1(".repeat(10_000)).is_err());
        let many = alloc::format!("[{}]", "1,".repeat(limits::CBOR_ITEMS));
        assert!(to_cbor(&many).is_err());
    }
}

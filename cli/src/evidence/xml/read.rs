//! A strict reader of XML 1.0 with namespaces, over UTF-8, in one pass.

use super::BadXml;

/// The largest document, bytes.
const BYTES: usize = 8 * 1024 * 1024;
/// Elements within elements.
const DEPTH: usize = 32;
/// Elements of a document.
const ELEMENTS: usize = 16 * 1024;
/// Attributes and declarations of one element.
const ATTRIBUTES: usize = 64;

/// The namespace that `xml:` stands for.
pub(super) const XML: &str = "http://www.w3.org/XML/1998/namespace";

/// Attributes as they are written: prefix and local name, value.
type Raw = Vec<((String, String), String)>;

/// An element with its namespace, and its prefix, which a canonical form keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Element {
    pub(crate) prefix: String,
    pub(crate) local: String,
    /// Empty where it has none.
    pub(crate) namespace: String,
    pub(crate) attributes: Vec<Attribute>,
    /// Declarations on this element: prefix (empty for the default one) and namespace.
    pub(crate) declared: Vec<(String, String)>,
    pub(crate) children: Vec<Node>,
}

/// What an element holds. Comments are gone, and the texts around them are one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Node {
    Element(Element),
    Text(String),
}

/// An attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Attribute {
    pub(crate) prefix: String,
    pub(crate) local: String,
    /// Empty where it has no prefix.
    pub(crate) namespace: String,
    pub(crate) value: String,
}

impl Element {
    /// Whether it has this name.
    pub(crate) fn is(&self, namespace: &str, local: &str) -> bool {
        self.namespace == namespace && self.local == local
    }

    /// Its child elements.
    pub(crate) fn elements(&self) -> impl Iterator<Item = &Self> {
        self.children.iter().filter_map(|child| match child {
            Node::Element(element) => Some(element),
            Node::Text(_) => None,
        })
    }

    /// The attribute of that name.
    pub(crate) fn attribute(&self, namespace: &str, local: &str) -> Option<&str> {
        let mut all = self.attributes.iter();
        all.find(|a| a.namespace == namespace && a.local == local)
            .map(|a| a.value.as_str())
    }

    /// Its text, where it holds nothing else.
    pub(crate) fn text(&self) -> Option<&str> {
        match self.children.as_slice() {
            [] => Some(""),
            [Node::Text(text)] => Some(text),
            _ => None,
        }
    }
}

/// Reads a document.
///
/// # Errors
/// [`BadXml`] for whatever is not well-formed, or not in the subset that is taken.
pub(crate) fn parse(text: &str) -> Result<Element, BadXml> {
    if text.len() > BYTES {
        return Err(BadXml {
            why: "it is too large",
            at: BYTES,
        });
    }
    // XML 1.0, 2.11: line ends are one LF before anything else is read.
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let mut reader = Reader {
        text: &text,
        at: 0,
        elements: 0,
    };
    reader.declaration()?;
    reader.between()?;
    let scope = vec![("xml".to_owned(), XML.to_owned())];
    let root = reader.element(&scope, 0)?;
    reader.between()?;
    if reader.rest().is_empty() {
        Ok(root)
    } else {
        Err(reader.bad("something follows the root"))
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    elements: usize,
}

impl<'a> Reader<'a> {
    fn bad(&self, why: &'static str) -> BadXml {
        BadXml { why, at: self.at }
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn take(&mut self, token: &str) -> bool {
        let found = self.rest().starts_with(token);
        if found {
            self.at = self.at.saturating_add(token.len());
        }
        found
    }

    fn expect(&mut self, token: &str, why: &'static str) -> Result<(), BadXml> {
        if self.take(token) {
            Ok(())
        } else {
            Err(self.bad(why))
        }
    }

    fn until(&mut self, end: &str, why: &'static str) -> Result<&'a str, BadXml> {
        let rest = self.rest();
        let (before, _) = rest.split_once(end).ok_or_else(|| self.bad(why))?;
        self.at = self
            .at
            .saturating_add(before.len())
            .saturating_add(end.len());
        Ok(before)
    }

    fn space(&mut self) -> bool {
        let rest = self.rest();
        let length = rest
            .len()
            .saturating_sub(rest.trim_start_matches([' ', '\t', '\n']).len());
        self.at = self.at.saturating_add(length);
        length > 0
    }

    fn declaration(&mut self) -> Result<(), BadXml> {
        let _ = self.take("\u{feff}");
        if !self.take("<?xml ") {
            return Ok(());
        }
        let words = self.until("?>", "the declaration does not end")?;
        let lower = words.to_ascii_lowercase();
        if !lower.contains("version=\"1.0\"") && !lower.contains("version='1.0'") {
            return Err(self.bad("it is not xml 1.0"));
        }
        if lower.contains("encoding=")
            && !lower.contains("encoding=\"utf-8\"")
            && !lower.contains("encoding='utf-8'")
        {
            return Err(self.bad("its encoding is not utf-8"));
        }
        Ok(())
    }

    /// White space and comments outside of the root.
    fn between(&mut self) -> Result<(), BadXml> {
        loop {
            let space = self.space();
            if self.take("<!--") {
                self.comment()?;
            } else if self.rest().starts_with("<!") {
                return Err(self.bad("a document type is not accepted"));
            } else if self.rest().starts_with("<?") {
                return Err(self.bad("a processing instruction is not accepted"));
            } else if !space {
                return Ok(());
            }
        }
    }

    fn comment(&mut self) -> Result<(), BadXml> {
        let words = self.until("--", "a comment does not end")?;
        self.expect(">", "a comment holds two hyphens")?;
        characters(words).map_err(|why| self.bad(why))
    }

    fn element(&mut self, outer: &[(String, String)], depth: usize) -> Result<Element, BadXml> {
        self.elements = self.elements.saturating_add(1);
        if depth > DEPTH || self.elements > ELEMENTS {
            return Err(self.bad("it is nested too deeply, or has too many elements"));
        }
        self.expect("<", "an element was expected")?;
        let (prefix, local) = self.name()?;
        let (raw, empty) = self.attributes()?;
        let mut scope = outer.to_vec();
        let mut declared = Vec::new();
        let mut plain = Vec::new();
        for (name, value) in raw {
            let bound = match (name.0.as_str(), name.1.as_str()) {
                ("", "xmlns") => String::new(),
                ("xmlns", bound) => bound.to_owned(),
                _ => {
                    plain.push((name, value));
                    continue;
                }
            };
            if bound == "xml"
                || bound == "xmlns"
                || value == XML
                || (value.is_empty() && !bound.is_empty())
            {
                return Err(self.bad("a namespace is declared that may not be"));
            }
            if declared.iter().any(|(known, _)| *known == bound) {
                return Err(self.bad("a namespace is declared twice"));
            }
            declared.push((bound.clone(), value.clone()));
            scope.retain(|(known, _)| *known != bound);
            scope.push((bound, value));
        }
        let resolve = |prefix: &str| {
            let mut known = scope.iter();
            known
                .find(|(name, _)| name == prefix)
                .map(|(_, uri)| uri.clone())
        };
        let namespace = match (prefix.as_str(), resolve(&prefix)) {
            ("", found) => found.unwrap_or_default(),
            (_, Some(found)) => found,
            (_, None) => return Err(self.bad("a prefix has no namespace")),
        };
        let mut attributes: Vec<Attribute> = Vec::new();
        for ((prefix, local), value) in plain {
            let namespace = match prefix.as_str() {
                "" => String::new(),
                _ => resolve(&prefix).ok_or_else(|| self.bad("a prefix has no namespace"))?,
            };
            if attributes
                .iter()
                .any(|a| a.namespace == namespace && a.local == local)
            {
                return Err(self.bad("an attribute is there twice"));
            }
            attributes.push(Attribute {
                prefix,
                local,
                namespace,
                value,
            });
        }
        let children = if empty {
            Vec::new()
        } else {
            let children = self.children(&scope, depth)?;
            let closing = self.name()?;
            self.space();
            self.expect(">", "an end tag does not end")?;
            if closing != (prefix.clone(), local.clone()) {
                return Err(self.bad("an end tag has another name than its start tag"));
            }
            children
        };
        Ok(Element {
            prefix,
            local,
            namespace,
            attributes,
            declared,
            children,
        })
    }

    /// Up to and with `</`.
    fn children(&mut self, scope: &[(String, String)], depth: usize) -> Result<Vec<Node>, BadXml> {
        let mut children = Vec::new();
        loop {
            if self.take("</") {
                return Ok(children);
            }
            if self.take("<!--") {
                self.comment()?;
            } else if self.rest().starts_with("<!") {
                return Err(self.bad("neither document type nor cdata is accepted"));
            } else if self.rest().starts_with("<?") {
                return Err(self.bad("a processing instruction is not accepted"));
            } else if self.rest().starts_with('<') {
                let child = self.element(scope, depth.saturating_add(1))?;
                children.push(Node::Element(child));
            } else {
                let raw = self.rest().split('<').next().unwrap_or_default();
                if raw.is_empty() {
                    return Err(self.bad("an element does not end"));
                }
                if raw.contains("]]>") {
                    return Err(self.bad("a text holds `]]>`"));
                }
                let text = self.unescape(raw, false)?;
                self.at = self.at.saturating_add(raw.len());
                match children.last_mut() {
                    Some(Node::Text(before)) => before.push_str(&text),
                    Some(Node::Element(_)) | None => children.push(Node::Text(text)),
                }
            }
        }
    }

    fn attributes(&mut self) -> Result<(Raw, bool), BadXml> {
        let mut all = Vec::new();
        loop {
            let space = self.space();
            if self.take("/>") {
                return Ok((all, true));
            }
            if self.take(">") {
                return Ok((all, false));
            }
            if !space || all.len() >= ATTRIBUTES {
                return Err(self.bad("a start tag is not well-formed, or has too many attributes"));
            }
            let name = self.name()?;
            self.space();
            self.expect("=", "an attribute has no value")?;
            self.space();
            let quote = if self.take("\"") {
                "\""
            } else {
                self.expect("'", "an attribute is not quoted")?;
                "'"
            };
            let raw = self.until(quote, "an attribute does not end")?;
            let value = self.unescape(raw, true)?;
            all.push((name, value));
        }
    }

    /// ASCII names are enough for every manifest there is.
    fn name(&mut self) -> Result<(String, String), BadXml> {
        let part = |reader: &mut Self| {
            let rest = reader.rest();
            let other = |c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'));
            let name = rest.split(other).next().unwrap_or_default();
            let starts = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
            if !starts {
                return Err(reader.bad("a name was expected"));
            }
            reader.at = reader.at.saturating_add(name.len());
            Ok(name.to_owned())
        };
        let first = part(self)?;
        if self.take(":") {
            Ok((first, part(self)?))
        } else {
            Ok((String::new(), first))
        }
    }

    /// References resolved; in an attribute literal white space is a blank (XML 1.0, 3.3.3).
    fn unescape(&self, raw: &str, attribute: bool) -> Result<String, BadXml> {
        characters(raw).map_err(|why| self.bad(why))?;
        if attribute && raw.contains('<') {
            return Err(self.bad("an attribute holds `<`"));
        }
        let mut out = String::with_capacity(raw.len());
        let mut rest = raw;
        while let Some((before, after)) = rest.split_once('&') {
            push(&mut out, before, attribute);
            let (name, after) = after
                .split_once(';')
                .ok_or_else(|| self.bad("a reference does not end"))?;
            let found = match name {
                "lt" => '<',
                "gt" => '>',
                "amp" => '&',
                "quot" => '"',
                "apos" => '\'',
                other => numeric(other).ok_or_else(|| self.bad("an entity that is not known"))?,
            };
            out.push(found);
            rest = after;
        }
        push(&mut out, rest, attribute);
        Ok(out)
    }
}

fn push(out: &mut String, text: &str, attribute: bool) {
    if attribute {
        out.extend(
            text.chars()
                .map(|c| if matches!(c, '\t' | '\n') { ' ' } else { c }),
        );
    } else {
        out.push_str(text);
    }
}

fn numeric(name: &str) -> Option<char> {
    let digits = name.strip_prefix('#')?;
    let number = match digits.strip_prefix('x') {
        Some(hex) if hex.bytes().all(|b| b.is_ascii_hexdigit()) => {
            u32::from_str_radix(hex, 16).ok()?
        }
        Some(_) => return None,
        None if digits.bytes().all(|b| b.is_ascii_digit()) => digits.parse().ok()?,
        None => return None,
    };
    char::from_u32(number).filter(|c| allowed(*c) || *c == '\r')
}

const fn allowed(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\u{20}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..='\u{10ffff}')
}

fn characters(text: &str) -> Result<(), &'static str> {
    if text.chars().all(allowed) {
        Ok(())
    } else {
        Err("it holds a character that xml may not")
    }
}

//! Canonical XML 1.0 and 1.1, and exclusive canonical XML 1.0, each without comments, of a whole document or of one element
//! with all below it. For what the reader accepts, 1.0 and 1.1 are the same: `xml:base` and `xml:id` are refused.

use super::read::{Attribute, Element, Node, XML};

/// Which namespaces are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    /// All in scope.
    Inclusive,
    /// Those that are used.
    Exclusive,
}

impl Method {
    /// By its URI, as signatures name it.
    pub(super) fn of(uri: &str) -> Option<Self> {
        match uri {
            "http://www.w3.org/TR/2001/REC-xml-c14n-20010315"
            | "http://www.w3.org/2006/12/xml-c14n11" => Some(Self::Inclusive),
            "http://www.w3.org/2001/10/xml-exc-c14n#" => Some(Self::Exclusive),
            _ => None,
        }
    }
}

type Bindings = Vec<(String, String)>;

/// The canonical form of `element`, which stands below `ancestors` (outermost first; none for a document).
pub(super) fn canonical(element: &Element, ancestors: &[&Element], method: Method) -> Vec<u8> {
    let mut scope = Bindings::new();
    let mut inherited: Vec<Attribute> = Vec::new();
    for above in ancestors {
        bind(&mut scope, &above.declared);
        for attribute in above.attributes.iter().filter(|a| a.namespace == XML) {
            inherited.retain(|known| known.local != attribute.local);
            inherited.push(attribute.clone());
        }
    }
    if method == Method::Exclusive {
        inherited.clear();
    }
    inherited.retain(|a| element.attribute(XML, &a.local).is_none());
    let mut out = String::new();
    write(
        &mut out,
        element,
        &scope,
        &Bindings::new(),
        &inherited,
        method,
    );
    out.into_bytes()
}

fn bind(scope: &mut Bindings, declared: &[(String, String)]) {
    for (prefix, uri) in declared {
        scope.retain(|(known, _)| known != prefix);
        scope.push((prefix.clone(), uri.clone()));
    }
}

fn write(
    out: &mut String,
    element: &Element,
    outer: &Bindings,
    rendered: &Bindings,
    inherited: &[Attribute],
    method: Method,
) {
    let mut scope = outer.clone();
    bind(&mut scope, &element.declared);
    let used = |prefix: &str| {
        element.prefix == prefix
            || (!prefix.is_empty() && element.attributes.iter().any(|a| a.prefix == prefix))
    };
    let mut here: Bindings = scope
        .iter()
        .filter(|(prefix, uri)| {
            let above = rendered.iter().find(|(known, _)| known == prefix);
            let changes = match above {
                Some((_, before)) => before != uri,
                // No default namespace is what is so without a word.
                None => !(prefix.is_empty() && uri.is_empty()),
            };
            changes && (method == Method::Inclusive || used(prefix))
        })
        .cloned()
        .collect();
    here.sort();
    let mut attributes: Vec<&Attribute> = element.attributes.iter().chain(inherited).collect();
    attributes.sort_by(|a, b| (&a.namespace, &a.local).cmp(&(&b.namespace, &b.local)));

    let name = qualified(&element.prefix, &element.local);
    out.push('<');
    out.push_str(&name);
    for (prefix, uri) in &here {
        out.push_str(if prefix.is_empty() {
            " xmlns"
        } else {
            " xmlns:"
        });
        out.push_str(prefix);
        value(out, uri);
    }
    for attribute in attributes {
        out.push(' ');
        out.push_str(&qualified(&attribute.prefix, &attribute.local));
        value(out, &attribute.value);
    }
    out.push('>');
    let mut below = rendered.clone();
    bind(&mut below, &here);
    for child in &element.children {
        match child {
            Node::Element(child) => write(out, child, &scope, &below, &[], method),
            Node::Text(text) => escape(out, text, false),
        }
    }
    out.push_str("</");
    out.push_str(&name);
    out.push('>');
}

fn qualified(prefix: &str, local: &str) -> String {
    if prefix.is_empty() {
        local.to_owned()
    } else {
        format!("{prefix}:{local}")
    }
}

fn value(out: &mut String, text: &str) {
    out.push_str("=\"");
    escape(out, text, true);
    out.push('"');
}

fn escape(out: &mut String, text: &str, attribute: bool) {
    for c in text.chars() {
        match (c, attribute) {
            ('&', _) => out.push_str("&amp;"),
            ('<', _) => out.push_str("&lt;"),
            ('>', false) => out.push_str("&gt;"),
            ('"', true) => out.push_str("&quot;"),
            ('\t', true) => out.push_str("&#x9;"),
            ('\n', true) => out.push_str("&#xA;"),
            ('\r', _) => out.push_str("&#xD;"),
            (other, _) => out.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    fn whole(text: &str) -> String {
        String::from_utf8(canonical(&parse(text).unwrap(), &[], Method::Inclusive)).unwrap()
    }

    // Canonical XML 1.1, 3.3 (start and end tags), without what a document type would add.
    #[test]
    fn start_and_end_tags_are_the_specifications() {
        let input = "<doc>\n   <e1   />\n   <e2   ></e2>\n   <e3   name = \"elem3\"   id=\"elem3\"   />\n   \
                     <e4   name=\"elem4\"   id=\"elem4\"   ></e4>\n   \
                     <e5 a:attr=\"out\" b:attr=\"sorted\" attr2=\"all\" attr=\"I'm\"\n      \
                     xmlns:b=\"http://www.ietf.org\"\n      xmlns:a=\"http://www.w3.org\"\n      \
                     xmlns=\"http://example.org\"/>\n   \
                     <e6 xmlns=\"\" xmlns:a=\"http://www.w3.org\">\n      \
                     <e7 xmlns=\"http://www.ietf.org\">\n         \
                     <e8 xmlns=\"\" xmlns:a=\"http://www.w3.org\">\n            \
                     <e9 xmlns=\"\" xmlns:a=\"http://www.ietf.org\"/>\n         </e8>\n      </e7>\n   </e6>\n</doc>";
        let expected = "<doc>\n   <e1></e1>\n   <e2></e2>\n   <e3 id=\"elem3\" name=\"elem3\"></e3>\n   \
                        <e4 id=\"elem4\" name=\"elem4\"></e4>\n   \
                        <e5 xmlns=\"http://example.org\" xmlns:a=\"http://www.w3.org\" xmlns:b=\"http://www.ietf.org\" \
                        attr=\"I'm\" attr2=\"all\" b:attr=\"sorted\" a:attr=\"out\"></e5>\n   \
                        <e6 xmlns:a=\"http://www.w3.org\">\n      \
                        <e7 xmlns=\"http://www.ietf.org\">\n         \
                        <e8 xmlns=\"\">\n            \
                        <e9 xmlns:a=\"http://www.ietf.org\"></e9>\n         </e8>\n      </e7>\n   </e6>\n</doc>";
        assert_eq!(whole(input), expected);
    }

    // Canonical XML 1.1, 3.4 (characters), without what a document type would add.
    #[test]
    fn characters_are_the_specifications() {
        let input = "<doc>\r\n   <text>First line&#x0d;&#10;Second line</text>\n   <value>&#x32;</value>\n   \
                     <compute expr='value>\"0\" &amp;&amp; value&lt;\"10\" ?\"valid\":\"error\"'>valid</compute>\n   \
                     <norm attr=' &apos;   &#x20;&#13;&#xa;&#9;   &apos; '/>\n</doc>";
        let expected = "<doc>\n   <text>First line&#xD;\nSecond line</text>\n   <value>2</value>\n   \
                        <compute expr=\"value>&quot;0&quot; &amp;&amp; value&lt;&quot;10&quot; ?&quot;valid&quot;:&quot;error&quot;\">valid</compute>\n   \
                        <norm attr=\" '    &#xD;&#xA;&#x9;   ' \"></norm>\n</doc>";
        assert_eq!(whole(input), expected);
    }

    // Exclusive XML Canonicalization 1.0, 2.2.
    #[test]
    fn a_part_takes_the_namespaces_that_its_method_says() {
        let document = parse(
            "<n0:pdu xmlns:n0=\"http://a.example\" xmlns:n1=\"http://b.example\" xml:lang=\"en\">\
             <n1:elem2 xml:lang=\"fr\"><n3:stuff xmlns:n3=\"ftp://example.org\"/></n1:elem2></n0:pdu>",
        )
        .unwrap();
        let inner = document.elements().next().unwrap();
        let part = |method| String::from_utf8(canonical(inner, &[&document], method)).unwrap();
        assert_eq!(
            part(Method::Inclusive),
            "<n1:elem2 xmlns:n0=\"http://a.example\" xmlns:n1=\"http://b.example\" xml:lang=\"fr\">\
             <n3:stuff xmlns:n3=\"ftp://example.org\"></n3:stuff></n1:elem2>"
        );
        assert_eq!(
            part(Method::Exclusive),
            "<n1:elem2 xmlns:n1=\"http://b.example\" xml:lang=\"fr\">\
             <n3:stuff xmlns:n3=\"ftp://example.org\"></n3:stuff></n1:elem2>"
        );
        let stuff = inner.elements().next().unwrap();
        let deepest = canonical(stuff, &[&document, inner], Method::Inclusive);
        assert!(
            String::from_utf8(deepest)
                .unwrap()
                .contains("xml:lang=\"fr\"")
        );
    }

    #[test]
    fn comments_leave_one_text() {
        assert_eq!(
            whole("<!-- a --><a>b<!-- c -->d</a><!-- e -->"),
            "<a>bd</a>"
        );
    }

    #[test]
    fn what_could_change_its_meaning_is_refused() {
        for text in [
            "<!DOCTYPE a [<!ENTITY b \"c\">]><a>&b;</a>",
            "<a>&b;</a>",
            "<a><![CDATA[b]]></a>",
            "<?xml-stylesheet href='x'?><a/>",
            "<a><?p i?></a>",
            "<a b='1' b='2'/>",
            "<a xmlns:x='u' xmlns:y='u' x:b='1' y:b='2'/>",
            "<x:a/>",
            "<a></b>",
            "<a/><b/>",
            "<a>",
            "<a b=\"<\"/>",
            "<a>]]></a>",
            "<a>&#0;</a>",
            "<a>\u{1}</a>",
            "<a xmlns:xml='u'/>",
            "<a xmlns:b=''/>",
            "<?xml version=\"1.0\" encoding=\"iso-8859-1\"?><a/>",
            "<?xml version=\"1.1\"?><a/>",
            "<a><!-- -- --></a>",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
        let deep = format!("{}{}", "<a>".repeat(40), "</a>".repeat(40));
        assert!(parse(&deep).is_err());
    }
}

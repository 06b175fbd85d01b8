//! Tables: columns in capitals, two spaces between, nothing else; so that `awk` and `grep` work too.

use std::fmt::Write;

use serde::Serialize;

use super::text::clean;

/// What stands in a list.
pub(crate) trait Row: Serialize {
    /// Titles of the columns.
    const HEAD: &'static [&'static str];
    /// One cell for each.
    fn cells(&self) -> Vec<String>;
}

/// What is shown alone, line by line.
pub(crate) trait Card: Serialize {
    /// Names and values; a value of several lines is indented.
    fn lines(&self) -> Vec<(&'static str, String)>;
}

pub(super) fn rows<T: Row>(items: &[T]) -> String {
    let head = T::HEAD.iter().map(|h| (*h).to_owned()).collect();
    let all: Vec<Vec<String>> = std::iter::once(head)
        .chain(
            items
                .iter()
                .map(|i| i.cells().iter().map(|c| filled(c)).collect()),
        )
        .collect();
    aligned(&all)
}

pub(super) fn card<T: Card>(item: &T) -> String {
    lines(&item.lines())
}

/// Names and values below each other; names may be other people's, too. A name that ends with a colon and has no value is a heading.
pub(super) fn lines(lines: &[(impl AsRef<str>, String)]) -> String {
    let width = lines
        .iter()
        .map(|(name, _)| clean(name.as_ref()).chars().count())
        .max()
        .unwrap_or(0);
    let mut out = String::new();
    for (name, value) in lines {
        let name = clean(name.as_ref());
        if value.is_empty() && name.ends_with(':') {
            let _ = writeln!(out, "{name}");
            continue;
        }
        let mut parts = value.lines();
        let first = filled(parts.next().unwrap_or_default());
        let _ = writeln!(out, "{name:<width$}  {first}");
        for more in parts {
            let _ = writeln!(out, "{:<width$}  {}", "", clean(more));
        }
    }
    out
}

/// Rows of cells, each column as wide as its widest cell but the last.
pub(super) fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |at: usize| {
        rows.iter()
            .filter_map(|r| r.get(at))
            .map(|c| c.chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut out = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            let _ = write!(line, "{cell:<width$}  ");
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

/// An empty cell shows that it is one.
fn filled(cell: &str) -> String {
    if cell.is_empty() {
        "-".to_owned()
    } else {
        clean(cell)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct Thing(&'static str, &'static str);

    impl Row for Thing {
        const HEAD: &'static [&'static str] = &["NAME", "STATE"];
        fn cells(&self) -> Vec<String> {
            vec![self.0.to_owned(), self.1.to_owned()]
        }
    }

    impl Card for Thing {
        fn lines(&self) -> Vec<(&'static str, String)> {
            vec![("name", self.0.to_owned()), ("why", self.1.to_owned())]
        }
    }

    #[test]
    fn columns_stand_below_each_other_and_nothing_trails() {
        let table = rows(&[Thing("b\u{e9}ta", "ok"), Thing("a", "")]);
        assert_eq!(table, "NAME  STATE\nb\u{e9}ta  ok\na     -\n");
    }

    #[test]
    fn what_others_wrote_can_not_move_the_cursor() {
        let table = rows(&[Thing("a\x1b[2J", "x\ny\u{202e}")]);
        assert_eq!(table, "NAME        STATE\na\\u{1b}[2J  x\\ny\\u{202e}\n");
        assert!(!table.contains('\x1b'));
    }

    #[test]
    fn a_card_indents_what_has_several_lines() {
        assert_eq!(
            card(&Thing("a", "one\ntwo")),
            "name  a\nwhy   one\n      two\n"
        );
    }
}

//! What people and scripts see: data on standard output, everything else on standard error.

mod table;
pub(crate) mod text;

use std::io::{self, IsTerminal, Write};

use serde::Serialize;

use crate::fault::Fault;

pub(crate) use table::{Card, Row};
pub(crate) use text::{ago, until};

/// How data is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// For people.
    #[default]
    Table,
    /// One JSON document.
    Json,
    /// One YAML document.
    Yaml,
}

/// Where answers go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Out {
    /// How.
    pub(crate) format: Format,
    /// Without notes.
    pub(crate) quiet: bool,
}

/// A list, as scripts get it: always all of it.
#[derive(Serialize)]
struct Items<'a, T> {
    items: &'a [T],
}

impl Out {
    /// A list.
    ///
    /// # Errors
    /// Where standard output can't be written.
    pub(crate) fn list<T: Row>(self, items: &[T]) -> Result<(), Fault> {
        match self.format {
            Format::Table if items.is_empty() => {
                self.note("nothing to list");
                Ok(())
            }
            Format::Table => print(&table::rows(items)),
            _ => self.data(&Items { items }),
        }
    }

    /// One thing, whole.
    ///
    /// # Errors
    /// As [`Out::list`].
    pub(crate) fn card<T: Card>(self, item: &T) -> Result<(), Fault> {
        match self.format {
            Format::Table => print(&table::card(item)),
            _ => self.data(item),
        }
    }

    /// Names and values that are not known beforehand: lines for people, the answer for scripts.
    ///
    /// # Errors
    /// As [`Out::list`].
    pub(crate) fn facts(
        self,
        lines: &[(String, String)],
        answer: &impl Serialize,
    ) -> Result<(), Fault> {
        match self.format {
            Format::Table => print(&table::lines(lines)),
            _ => self.data(answer),
        }
    }

    /// A text of several paragraphs, broken into lines; scripts get `answer` in its place.
    ///
    /// # Errors
    /// As [`Out::list`].
    pub(crate) fn done_in_paragraphs(
        self,
        text: &str,
        answer: &impl Serialize,
    ) -> Result<(), Fault> {
        match self.format {
            Format::Table => print(&text::paragraphs(text)),
            _ => self.data(answer),
        }
    }

    /// What was done: a sentence for people, the answer for scripts.
    ///
    /// # Errors
    /// As [`Out::list`].
    pub(crate) fn done(self, sentence: &str, answer: &impl Serialize) -> Result<(), Fault> {
        match self.format {
            Format::Table => print(&format!("{}\n", text::clean(sentence))),
            _ => self.data(answer),
        }
    }

    /// Text that is data itself: a token, a key, a checkpoint. Scripts get `answer` in its place.
    ///
    /// # Errors
    /// As [`Out::list`].
    pub(crate) fn raw(self, text: &str, answer: &impl Serialize) -> Result<(), Fault> {
        match self.format {
            Format::Table if text.ends_with('\n') => print(&text::lines(text)),
            Format::Table => print(&format!("{}\n", text::lines(text))),
            _ => self.data(answer),
        }
    }

    /// One row of a list that goes on: a line of the table, or of JSON Lines.
    ///
    /// # Errors
    /// As [`Out::list`].
    pub(crate) fn follow<T: Row>(self, items: &[T]) -> Result<(), Fault> {
        let mut text = String::new();
        for item in items {
            match self.format {
                Format::Table => {
                    text.push_str(
                        &item
                            .cells()
                            .iter()
                            .map(|c| text::clean(c))
                            .collect::<Vec<_>>()
                            .join("  "),
                    );
                }
                Format::Json => text.push_str(&json(item, false)?),
                Format::Yaml => {
                    text.push_str("---\n");
                    text.push_str(yaml(item)?.trim_end());
                }
            }
            text.push('\n');
        }
        print(&text)
    }

    /// A remark for people, on standard error.
    pub(crate) fn note(self, text: &str) {
        if !self.quiet && self.format == Format::Table {
            let _ = writeln!(io::stderr(), "{}", text::clean(text));
        }
    }

    /// A remark that matters, in every format.
    pub(crate) fn warn(self, text: &str) {
        let _ = writeln!(
            io::stderr(),
            "{}: {}",
            paint("warning", "33"),
            text::clean(text)
        );
    }

    /// A failure, on standard error.
    pub(crate) fn fault(self, fault: &Fault) {
        let mut err = io::stderr();
        if self.format == Format::Table {
            let _ = err.write_all(people(fault, paint).as_bytes());
        } else {
            #[derive(Serialize)]
            struct Outer<'a> {
                error: &'a Fault,
            }
            let text = json(&Outer { error: fault }, false).unwrap_or_else(|f| f.to_string());
            let _ = writeln!(err, "{text}");
        }
    }

    /// Whether progress may be shown.
    #[must_use]
    pub(crate) fn shows_progress(self) -> bool {
        !self.quiet && self.format == Format::Table && io::stderr().is_terminal()
    }

    /// How far a long work is; one line that is written over.
    pub(crate) fn progress(self, text: &str) {
        if self.shows_progress() {
            let mut err = io::stderr();
            let _ = write!(err, "\r\x1b[K{}", text::clean(text));
            let _ = err.flush();
        }
    }

    /// Takes the line of progress away.
    pub(crate) fn progress_end(self) {
        if self.shows_progress() {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }

    fn data(self, value: &impl Serialize) -> Result<(), Fault> {
        match self.format {
            Format::Yaml => print(&yaml(value)?),
            _ => print(&format!("{}\n", json(value, true)?)),
        }
    }
}

/// An error as people read it. The nexus chose its code and ids as well: nothing of it is printed as it came.
fn people(fault: &Fault, paint: impl Fn(&str, &str) -> String) -> String {
    let mut out = format!(
        "{}: {} [{}]\n",
        paint("error", "31"),
        text::clean(&fault.message),
        text::clean(&fault.code)
    );
    if let Some(hint) = &fault.hint {
        let line = format!("{}: {}\n", paint("hint", "36"), text::clean(hint));
        out.push_str(&line);
    }
    if let Some(request) = fault
        .request_id
        .as_ref()
        .filter(|_| &*fault.code == "internal")
    {
        out.push_str(&format!("request: {}\n", text::clean(request)));
    }
    out
}

/// Writes to standard output. A reader that went away (`| head`) is no failure of ours, but ends the program.
///
/// # Errors
/// `output`, `output.closed`.
pub(crate) fn print(text: &str) -> Result<(), Fault> {
    print_bytes(text.as_bytes())
}

/// The same for bytes.
///
/// # Errors
/// `output`, `output.closed`.
pub(crate) fn print_bytes(bytes: &[u8]) -> Result<(), Fault> {
    let mut out = io::stdout().lock();
    out.write_all(bytes)
        .and_then(|()| out.flush())
        .map_err(|e| match e.kind() {
            io::ErrorKind::BrokenPipe => Fault::new("output.closed", "standard output was closed"),
            _ => Fault::new("output", format!("standard output can't be written: {e}")),
        })
}

fn json(value: &impl Serialize, pretty: bool) -> Result<String, Fault> {
    let text = if pretty {
        serde_json::to_string_pretty(value)
    } else {
        serde_json::to_string(value)
    };
    let text = text.map_err(|e| {
        Fault::new(
            "output",
            format!("the answer can't be written as json: {e}"),
        )
    })?;
    Ok(text::escaped(&text))
}

fn yaml(value: &impl Serialize) -> Result<String, Fault> {
    let failed = |e: String| {
        Fault::new(
            "output",
            format!("the answer can't be written as yaml: {e}"),
        )
    };
    let mut text = serde_saphyr::to_string(value).map_err(|e| failed(e.to_string()))?;
    if text::lines(&text) != text {
        // YAML has no one way to write such characters in every style; JSON has, and is YAML.
        text = json(value, true)?;
    }
    if !text.ends_with('\n') {
        text.push('\n');
    }
    Ok(text)
}

/// Colour on a terminal, unless the person said no (no-color.org).
fn paint(word: &str, colour: &str) -> String {
    let no = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty())
        || std::env::var_os("TERM").is_some_and(|t| t == "dumb");
    if no || !io::stderr().is_terminal() {
        word.to_owned()
    } else {
        format!("\x1b[1;{colour}m{word}\x1b[0m")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All that a hostile nexus may put where people look: none of it may reach a terminal as it is.
    const HOSTILE: &str = "a\x1b[2J\u{9b}2J\u{7f}\u{202e}\u{2028}\rz";

    fn harmless(text: &str) {
        let bad = |c: char| c != '\n' && text::clean(&c.to_string()) != c.to_string();
        assert!(!text.chars().any(bad), "{text:?}");
    }

    #[test]
    fn nothing_that_a_nexus_says_moves_the_cursor_in_any_format() {
        let mut fault = Fault::new(HOSTILE, HOSTILE).hint(HOSTILE);
        harmless(&people(&fault, |word, _| word.to_owned()));
        fault.code = "internal".into();
        fault.request_id = Some(HOSTILE.into());
        let text = people(&fault, |word, _| word.to_owned());
        assert!(text.contains("request: "));
        harmless(&text);
        let value = serde_json::json!({ HOSTILE: [HOSTILE] });
        for text in [
            json(&value, true).unwrap(),
            json(&value, false).unwrap(),
            yaml(&value).unwrap(),
        ] {
            harmless(&text);
        }
        let read: serde_json::Value = serde_json::from_str(&json(&value, true).unwrap()).unwrap();
        assert_eq!(read, value, "and nothing is lost");
        harmless(&text::lines(HOSTILE));
        assert_eq!(text::lines("a\nb\n"), "a\nb\n");
    }

    #[test]
    fn yaml_and_json_say_the_same() {
        let value =
            serde_json::json!({"a": 1, "b": ["x: y", "no", null, true], "c": {"d": "2026-01-01"}});
        let text = yaml(&value).unwrap();
        assert!(text.starts_with("a: 1\n"), "{text}");
        // Strings that YAML could take for something else are quoted.
        assert!(
            text.contains("\"x: y\"") || text.contains("'x: y'"),
            "{text}"
        );
        assert!(text.contains("\"no\"") || text.contains("'no'"), "{text}");
    }
}

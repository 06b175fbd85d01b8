//! What the shell and `man` want to know, made from the command line's own table.

use std::path::Path;

use clap_complete::Shell;

use crate::app::{self, Cx};
use crate::evidence::table::{DECISIONS, KINDS, MANIFEST};
use crate::fault::Fault;
use crate::out;

pub(super) fn completions(shell: Shell) -> Result<(), Fault> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut app::command(), "assay", &mut text);
    out::print_bytes(&text)
}

pub(super) fn pages(cx: &Cx, dir: &Path) -> Result<(), Fault> {
    let failed = |e: std::io::Error| {
        Fault::new(
            "file.write",
            format!("`{}` can't be written: {e}", dir.display()),
        )
    };
    std::fs::create_dir_all(dir).map_err(failed)?;
    clap_mangen::generate_to(app::command(), dir).map_err(failed)?;
    let page = dir.join("assay-evidence-verify.1");
    let mut text = std::fs::read_to_string(&page).map_err(failed)?;
    text.push_str(&kinds());
    std::fs::write(&page, text).map_err(failed)?;
    cx.out.note(&format!("man pages are in {}", dir.display()));
    Ok(())
}

/// What each kind of artefact takes and says, out of the table of kinds: the page can't tell another story than the program.
fn kinds() -> String {
    let mut text = String::from(
        ".SH VERDICT\nThe answer is {\"verdict\": \"accept\" or \"reject\", \"code\": why it is rejected, \"authenticated\": whether a signature by whom you \
         believe covers it, \"claims\": what it says}. A rejection with \"authenticated\" true is of what a genuine artefact says. Exit codes: 0 accept, 3 reject, 1 a file could not \
         be read, 64 wrong usage, an option that the kind has no use for among it. No request leaves this machine.\n.SH KINDS\n",
    );
    for kind in KINDS {
        let takes: Vec<&str> = kind.takes().iter().map(|opt| opt.flag()).collect();
        text.push_str(&format!(".SS {}\n", roff(kind.name())));
        for paragraph in kind.about().split("\n\n") {
            text.push_str(&format!("{}\n.PP\n", roff(paragraph)));
        }
        let takes = if takes.is_empty() {
            "--at alone".to_owned()
        } else {
            takes.join(", ")
        };
        text.push_str(&format!("Options: {}\n", roff(&takes)));
    }
    text.push_str(".SH DECISIONS\nWhere formats leave it open, this is decided:\n");
    for (what, decision) in DECISIONS {
        text.push_str(&format!(".TP\n{}\n{}\n", roff(what), roff(decision)));
    }
    text.push_str(".SH OTHER NAMES\nWhat collections of test vectors call these kinds:\n");
    for (theirs, ours) in MANIFEST {
        text.push_str(&format!(".TP\n{}\n{}\n", roff(theirs), roff(ours)));
    }
    text
}

/// Text as roff takes it literally: no escapes, no requests at the start of a line.
fn roff(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-");
    let words: Vec<&str> = text.split_whitespace().collect();
    let text = words.join(" ");
    if text.starts_with(['.', '\'']) {
        format!("\\&{text}")
    } else {
        text
    }
}

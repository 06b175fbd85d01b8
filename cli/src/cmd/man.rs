//! What the shell and `man` want to know, made from the command line's own table.

use std::path::Path;

use clap_complete::Shell;

use crate::app::{self, Cx};
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
    cx.out.note(&format!("man pages are in {}", dir.display()));
    Ok(())
}

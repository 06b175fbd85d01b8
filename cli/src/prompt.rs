//! Asking a person, at a terminal only. Without one nothing is ever asked.

use std::fs::File;
use std::io::{self, IsTerminal, Read, Write};

use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use crate::fault::{Exit, Fault};
use crate::out::text;

/// The most that is read from a terminal, in bytes.
const LIMIT: usize = 8192;

/// Whether there is a person to ask.
#[must_use]
pub(crate) fn is_interactive() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks for a secret without showing it.
///
/// # Errors
/// `prompt.aborted`, `prompt.terminal`.
pub(crate) fn secret(question: &str) -> Result<Zeroizing<String>, Fault> {
    let tty = File::options()
        .read(true)
        .write(true)
        .open("/dev/tty")
        .map_err(|e| no_terminal(&e))?;
    let quiet = Quiet::on(&tty)?;
    (&tty)
        .write_all(question.as_bytes())
        .map_err(|e| no_terminal(&e))?;
    let answer = line(&mut &tty);
    drop(quiet);
    let _ = (&tty).write_all(b"\n");
    answer
}

/// Has a person type `word` before something is done that can't be undone.
///
/// # Errors
/// `cli.not_confirmed`: another word, or nobody to ask.
pub(crate) fn confirm(what: &str, word: &str) -> Result<(), Fault> {
    let refused = |message: String| Fault::new("cli.not_confirmed", message).exit(Exit::Usage);
    if !is_interactive() {
        return Err(refused(format!(
            "{what}: this needs a confirmation, and there is no terminal to ask at"
        ))
        .hint("say `--yes` if you are sure"));
    }
    let mut err = io::stderr();
    // Both may hold what others wrote.
    let (shown, typed_so) = (text::clean(what), text::clean(word));
    let _ = write!(err, "{shown}\ntype `{typed_so}` to go on: ");
    let _ = err.flush();
    let mut typed = String::new();
    let most = u64::try_from(LIMIT).unwrap_or(u64::MAX);
    let mut input = io::BufReader::new(io::stdin().lock().take(most));
    io::BufRead::read_line(&mut input, &mut typed).map_err(|e| no_terminal(&e))?;
    if typed.trim() == word {
        Ok(())
    } else {
        Err(refused("not confirmed; nothing was done".to_owned()))
    }
}

fn no_terminal(error: &io::Error) -> Fault {
    Fault::new(
        "prompt.terminal",
        format!("the terminal can't be used: {error}"),
    )
}

/// A terminal that shows nothing and sends no signals, until dropped.
struct Quiet<'a> {
    tty: &'a File,
    before: Termios,
}

impl<'a> Quiet<'a> {
    fn on(tty: &'a File) -> Result<Quiet<'a>, Fault> {
        let failed = |e: nix::Error| no_terminal(&e.into());
        let before = tcgetattr(tty).map_err(failed)?;
        let mut quiet = before.clone();
        // No signals either: one would end the process and leave the terminal mute.
        quiet
            .local_flags
            .remove(LocalFlags::ECHO | LocalFlags::ICANON | LocalFlags::ISIG);
        tcsetattr(tty, SetArg::TCSAFLUSH, &quiet).map_err(failed)?;
        Ok(Self { tty, before })
    }
}

impl Drop for Quiet<'_> {
    fn drop(&mut self) {
        let _ = tcsetattr(self.tty, SetArg::TCSAFLUSH, &self.before);
    }
}

/// One line, byte by byte, with the few keys that a person expects to work.
fn line(from: &mut impl Read) -> Result<Zeroizing<String>, Fault> {
    const INTERRUPT: u8 = 0x03;
    const END: u8 = 0x04;
    const KILL: u8 = 0x15;
    let aborted = || Fault::new("prompt.aborted", "aborted; nothing was done");
    let mut typed = Zeroizing::new(Vec::with_capacity(LIMIT));
    let mut one = Zeroizing::new([0_u8; 1]);
    while from.read(&mut *one).map_err(|e| no_terminal(&e))? > 0 {
        let [byte] = *one;
        match byte {
            b'\r' | b'\n' | END => break,
            INTERRUPT => return Err(aborted()),
            KILL => typed.clear(),
            0x08 | 0x7f => {
                // Back over one character, which may be several bytes.
                while typed.pop().is_some_and(|b| b & 0xc0 == 0x80) {}
            }
            other if typed.len() < LIMIT => typed.push(other),
            _ => return Err(aborted()),
        }
    }
    match std::str::from_utf8(&typed) {
        Ok(text) => Ok(Zeroizing::new(text.to_owned())),
        Err(_) => Err(Fault::new("prompt.text", "what was typed is not UTF-8")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_edited_as_people_expect() {
        for (typed, read) in [
            ("secret\n", Some("secret")),
            ("secrex\x7ft\r", Some("secret")),
            ("wrong\x15right\n", Some("right")),
            ("h\u{e9}\x7f!\n", Some("h!")),
            ("end", Some("end")),
            ("abc\x03\n", None),
        ] {
            let line = line(&mut typed.as_bytes());
            assert_eq!(line.ok().as_deref().map(String::as_str), read, "{typed:?}");
        }
        assert!(line(&mut vec![b'a'; LIMIT + 1].as_slice()).is_err());
    }
}

//! Reading sshd's configuration as sshd does, to find what others have set: `sshd -T` says what is in force, this says where.

use super::{Fault, glob};
use crate::files;
use crate::login::Login;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The directives that we set, and those that would compete.
const OURS: [&str; 4] = [
    "TrustedUserCAKeys",
    "RevokedKeys",
    "AuthorizedPrincipalsFile",
    "AuthorizedPrincipalsCommand",
];

/// One of them, found outside our own files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) directive: &'static str,
    pub(crate) value: String,
    pub(crate) file: PathBuf,
    pub(crate) line: usize,
    /// `None` outside of Match blocks; else the criteria of all blocks around it.
    pub(crate) within: Option<Vec<String>>,
}

/// What the configuration holds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scan {
    pub(crate) found: Vec<Found>,
    /// The drop-in's path is included, outside of every Match block.
    pub(crate) reaches_drop_in: bool,
}

/// What others have set and we can live with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Foreign {
    /// The file of another CA.
    pub(crate) ca: Option<PathBuf>,
}

/// Follows the configuration from `main`, passing over `ours`.
pub(crate) fn read(main: &Path, drop_in: &Path, ours: &[&Path]) -> Result<Scan, Fault> {
    let mut walk = Walk {
        scan: Scan::default(),
        drop_in,
        ours,
    };
    walk.file(main, None, 0)?;
    Ok(walk.scan)
}

impl Scan {
    /// Sorts what others have set into what is merged and what must be refused.
    pub(crate) fn foreign(&self, logins: &BTreeSet<Login>) -> Result<Foreign, Fault> {
        let mut foreign = Foreign::default();
        for found in &self.found {
            let (file, line) = (found.file.display().to_string(), found.line);
            if let Some(criteria) = &found.within {
                if criteria.iter().any(|one| elsewhere(one, logins)) {
                    continue;
                }
                let directive = found.directive;
                return Err(Fault::MatchBlock {
                    directive,
                    file,
                    line,
                });
            }
            if found.value.eq_ignore_ascii_case("none") {
                continue;
            }
            match found.directive {
                "TrustedUserCAKeys" => {
                    // The first one counts, as for sshd.
                    foreign
                        .ca
                        .get_or_insert_with(|| PathBuf::from(&found.value));
                }
                "RevokedKeys" => return Err(Fault::ForeignRevokedKeys { file, line }),
                directive => {
                    return Err(Fault::ForeignPrincipals {
                        directive,
                        file,
                        line,
                    });
                }
            }
        }
        Ok(foreign)
    }
}

/// The criteria can't be true for a managed login: `User` with plain names, none of them managed.
fn elsewhere(criteria: &str, logins: &BTreeSet<Login>) -> bool {
    let words = words(criteria);
    words.iter().zip(words.iter().skip(1)).any(|(key, value)| {
        key.eq_ignore_ascii_case("user")
            && value.split(',').all(|name| {
                !name.contains(['*', '?', '!']) && !logins.iter().any(|l| l.as_str() == name)
            })
    })
}

struct Walk<'a> {
    scan: Scan,
    drop_in: &'a Path,
    ours: &'a [&'a Path],
}

impl Walk<'_> {
    fn file(&mut self, path: &Path, around: Option<&[String]>, depth: usize) -> Result<(), Fault> {
        let fault = |line, why| Fault::Unreadable {
            file: path.display().to_string(),
            line,
            why,
        };
        // servconf.c: SERVCONF_MAX_DEPTH.
        if depth > 16 {
            return Err(fault(0, "includes are nested deeper than 16"));
        }
        let Some(bytes) = files::read(path)? else {
            return Err(fault(0, "the file is not there"));
        };
        let text = String::from_utf8_lossy(&bytes);
        let mut within: Option<Vec<String>> = around.map(<[String]>::to_vec);
        for (number, line) in text.lines().enumerate() {
            let line_number = number.saturating_add(1);
            let words = words(line);
            let Some(keyword) = words.first() else {
                continue;
            };
            let rest = words.get(1..).unwrap_or_default();
            if keyword.eq_ignore_ascii_case("match") {
                let mut criteria: Vec<String> = around.map(<[String]>::to_vec).unwrap_or_default();
                criteria.push(rest.join(" "));
                within = Some(criteria);
            } else if keyword.eq_ignore_ascii_case("include") {
                for pattern in rest {
                    self.include(pattern, within.as_deref(), depth)?;
                }
            } else if let Some(directive) =
                OURS.iter().find(|name| keyword.eq_ignore_ascii_case(name))
            {
                let Some(value) = rest.first() else {
                    return Err(fault(line_number, "a directive has no value"));
                };
                self.scan.found.push(Found {
                    directive,
                    value: value.clone(),
                    file: path.to_path_buf(),
                    line: line_number,
                    within: within.clone(),
                });
            }
        }
        Ok(())
    }

    fn include(
        &mut self,
        pattern: &str,
        within: Option<&[String]>,
        depth: usize,
    ) -> Result<(), Fault> {
        // sshd_config(5): a relative path is under /etc/ssh.
        let pattern = Path::new("/etc/ssh").join(pattern);
        if within.is_none() && glob::matches(&pattern, self.drop_in) {
            self.scan.reaches_drop_in = true;
        }
        for path in glob::expand(&pattern)? {
            if !self.ours.contains(&path.as_path()) {
                self.file(&path, within, depth.saturating_add(1))?;
            }
        }
        Ok(())
    }
}

/// The words of a line: `keyword value ...` or `keyword=value`, quotes taken off, comments gone.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let (mut quoted, mut open, mut equals) = (None, false, false);
    for c in line.trim().chars() {
        match (quoted, c) {
            (Some(q), c) if c == q => quoted = None,
            (Some(_), c) => word.push(c),
            (None, '"' | '\'') => {
                quoted = Some(c);
                open = true;
            }
            (None, '#') if word.is_empty() && !open => break,
            (None, c) if c.is_whitespace() || (c == '=' && !equals && first(&words, &word)) => {
                // sshd reads one `=` after the keyword as white space.
                equals |= c == '=';
                if open || !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                open = false;
            }
            (None, c) => word.push(c),
        }
    }
    if open || !word.is_empty() {
        words.push(word);
    }
    words
}

/// Still at the keyword, or right after it.
const fn first(words: &[String], word: &str) -> bool {
    words.is_empty() || (words.len() == 1 && word.is_empty())
}

#[cfg(test)]
mod tests;

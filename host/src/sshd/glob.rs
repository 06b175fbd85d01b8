//! glob(3) as far as `Include` needs it: `*`, `?` and `[...]` within a component, sorted by byte.

use crate::files::at;
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

/// The paths that exist and fit.
pub(crate) fn expand(pattern: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = vec![PathBuf::new()];
    for component in pattern.components() {
        let Component::Normal(name) = component else {
            found.iter_mut().for_each(|path| path.push(component));
            continue;
        };
        let name = name.to_string_lossy();
        if !name.contains(['*', '?', '[']) {
            found.iter_mut().for_each(|path| path.push(&*name));
            continue;
        }
        let mut next = Vec::new();
        for dir in &found {
            let entries = match fs::read_dir(dir) {
                Ok(entries) => entries,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(at(dir, error)),
            };
            for entry in entries {
                let entry = entry.map_err(|error| at(dir, error))?;
                if fits(&name, &entry.file_name().to_string_lossy()) {
                    next.push(entry.path());
                }
            }
        }
        next.sort();
        found = next;
    }
    found.retain(|path| path.exists());
    Ok(found)
}

/// Whether a path fits, be it there or not.
pub(crate) fn matches(pattern: &Path, path: &Path) -> bool {
    let (mut patterns, mut names) = (pattern.components(), path.components());
    loop {
        match (patterns.next(), names.next()) {
            (None, None) => return true,
            (Some(p), Some(n)) => {
                if !fits(
                    &p.as_os_str().to_string_lossy(),
                    &n.as_os_str().to_string_lossy(),
                ) {
                    return false;
                }
            }
            _ => return false,
        }
    }
}

fn fits(pattern: &str, name: &str) -> bool {
    let hidden = name.starts_with('.') && !pattern.starts_with('.');
    let pattern: Vec<char> = pattern.chars().collect();
    let name: Vec<char> = name.chars().collect();
    !hidden && fits_at(&pattern, &name)
}

fn fits_at(pattern: &[char], name: &[char]) -> bool {
    match pattern.split_first() {
        None => name.is_empty(),
        Some(('*', rest)) => {
            (0..=name.len()).any(|skip| name.get(skip..).is_some_and(|tail| fits_at(rest, tail)))
        }
        Some(('?', rest)) => name
            .split_first()
            .is_some_and(|(_, tail)| fits_at(rest, tail)),
        Some(('[', rest)) => set(rest, name),
        Some((c, rest)) => name
            .split_first()
            .is_some_and(|(n, tail)| n == c && fits_at(rest, tail)),
    }
}

fn set(pattern: &[char], name: &[char]) -> bool {
    let negated = matches!(pattern.first(), Some('!' | '^'));
    let pattern = if negated {
        pattern.get(1..).unwrap_or_default()
    } else {
        pattern
    };
    // A `]` that comes first stands for itself.
    let Some(end) = pattern
        .iter()
        .skip(1)
        .position(|c| *c == ']')
        .map(|at| at.saturating_add(1))
    else {
        return name.first() == Some(&'[') && fits_at(pattern, name.get(1..).unwrap_or_default());
    };
    let (members, rest) = pattern.split_at(end);
    let Some((c, tail)) = name.split_first() else {
        return false;
    };
    let mut inside = false;
    let mut members = members;
    while let Some((low, after)) = members.split_first() {
        if let [dash, high, ..] = after
            && *dash == '-'
        {
            inside |= (*low..=*high).contains(c);
            members = after.get(2..).unwrap_or_default();
        } else {
            inside |= low == c;
            members = after;
        }
    }
    inside != negated && fits_at(rest.get(1..).unwrap_or_default(), tail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_as_glob_has_it() {
        for (pattern, name, fit) in [
            ("*.conf", "00-assay.conf", true),
            ("*.conf", ".hidden.conf", false),
            ("*.conf", "a.conf.bak", false),
            ("[0-9]?-*", "00-x", true),
            ("[!0-9]*", "0x", false),
            ("[!0-9]*", "ax", true),
            ("a]b", "a]b", true),
            ("[]]x", "]x", true),
            ("a[", "a[", true),
            ("**", "", true),
        ] {
            assert_eq!(fits(pattern, name), fit, "{pattern} {name}");
        }
        let path = Path::new("/etc/ssh/sshd_config.d/00-assay.conf");
        assert!(matches(Path::new("/etc/ssh/sshd_config.d/*.conf"), path));
        assert!(!matches(Path::new("/etc/ssh/*.conf"), path));
    }

    #[test]
    fn what_exists_is_found_in_order() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["b.conf", "a.conf", "c.txt"] {
            fs::write(dir.path().join(name), b"").unwrap();
        }
        let found = expand(&dir.path().join("*.conf")).unwrap();
        assert_eq!(
            found,
            [dir.path().join("a.conf"), dir.path().join("b.conf")]
        );
        assert!(expand(&dir.path().join("no/*.conf")).unwrap().is_empty());
        assert_eq!(expand(&dir.path().join("c.txt")).unwrap().len(), 1);
    }
}

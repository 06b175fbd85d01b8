//! Making a real sshd trust what a manifest says, provably, or leaving it as it was (design section 9).
//!
//! sshd fails in its own way: `RevokedKeys` naming a missing or broken file passes `sshd -t` and locks every key out, an
//! empty one revokes nothing, the first directive wins and a Match block can hide it. So files come before directives,
//! by rename; everything is read back; what is in force is asked of sshd itself; and a trial login has the last word.

mod fault;
mod glob;
mod journal;
mod layout;
mod reload;
mod scan;
mod tools;
mod trial;
mod trust;

pub use fault::Fault;
pub use trust::{Trial, Trust};

use crate::config::Sshd;
use crate::files;
use assay_attest::time::Timestamp;
use journal::Journal;
use layout::{Places, Role, Wanted};
use nix::fcntl::{Flock, FlockArg};
use ssh_key::PublicKey;
use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tools::Effective;

/// The one who changes sshd: there is one at a time, for as long as this lives.
#[derive(Debug)]
pub struct Installer<'a> {
    sshd: &'a Sshd,
    state: &'a Path,
    trial_key: PathBuf,
    recovered: bool,
    _lock: Flock<File>,
}

/// What an installation came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// New content is in place, and a trial login has shown it.
    Installed,
    /// The content was in place already; it lasts longer now.
    Renewed,
    /// Content was taken away; there is no CA login left to try, or no trial came with it. sshd says that it is in force.
    Withdrawn,
}

/// A file of our own that is to change together with sshd's: path, bytes.
#[derive(Clone, Debug)]
pub struct Record {
    /// Where.
    pub path: PathBuf,
    /// What.
    pub bytes: Vec<u8>,
    /// What it holds once the revocation list alone is in place: no manifest before this one is taken any more, and the one
    /// before is still what is in force. `None` where nothing is in force.
    pub floor: Option<Vec<u8>>,
}

impl<'a> Installer<'a> {
    /// Waits for nobody: takes the lock, and puts back what an interrupted installation had changed.
    ///
    /// Journal, lock and the trial's things are in `state`, the trial key (OpenSSH, 0600) at `trial_key`, `.pub` beside it.
    ///
    /// # Errors
    /// [`Fault::Busy`]; what recovery meets.
    pub fn open(sshd: &'a Sshd, state: &'a Path, trial_key: PathBuf) -> Result<Self, Fault> {
        let mut installer = Self {
            sshd,
            state,
            trial_key,
            recovered: false,
            _lock: lock(state)?,
        };
        installer.recovered = installer.recover()?;
        Ok(installer)
    }

    /// Whether an interrupted installation was found and put back.
    #[must_use]
    pub const fn recovered(&self) -> bool {
        self.recovered
    }

    /// Installs, proves, and keeps `record` with it; or leaves everything as it was, but for what was taken away.
    ///
    /// Revoking is never blocked (I6): who can keep a trial login from working, or breaks sshd's configuration, must not keep
    /// a certificate alive. So a list that reads goes first and stays, and what only removes is not put back.
    ///
    /// # Errors
    /// [`Fault`]; sshd then trusts nothing that it did not trust before, but for [`Fault::Rollback`], which the next
    /// [`Installer::open`] takes up.
    pub fn install(&self, trust: &Trust, record: Record, now: Timestamp) -> Result<Outcome, Fault> {
        let (config, version) = tools::both(
            || tools::config_test(self.sshd),
            || tools::check_version(self.sshd),
        );
        version?;
        trust.check_list(now)?;
        let places = Places::new(self.sshd)?;
        let bench = trial::Bench::lay(self.state, trust, &self.trial_key)?;
        bench.check_krl(self.sshd, trust)?;
        let revoked = self.revoke(&places, trust, &record)?;

        trust.check(
            public_key(&self.sshd.host_key)?.key_data(),
            public_key(&self.trial_key.with_extension("pub"))?.key_data(),
            now,
        )?;
        // One that is broken already would not survive a reload, ours or anybody's.
        config?;
        let ours = [self.sshd.drop_in.as_path(), places.own_conf.as_path()];
        let scan = scan::read(&places.main, &self.sshd.drop_in, &ours)?;
        let foreign = scan.foreign(&trust.logins)?;
        let mut changes = changed(layout::wanted(&places, trust, &scan, &foreign)?)?;
        let (need, adds) = Need::of(&changes, trust, revoked)?;

        changes.push(Wanted {
            role: Role::State,
            path: record.path,
            bytes: Some(record.bytes),
            mode: 0o600,
        });
        let journal = Journal::of(&changes)?;
        journal.write(&self.journal_path())?;
        match self.change(&places, trust, &changes, need, &bench) {
            Ok(()) => {
                files::remove(&self.journal_path())?;
                Ok(match need {
                    Need::Nothing => Outcome::Renewed,
                    Need::Trial => Outcome::Installed,
                    Need::Withdrawal => Outcome::Withdrawn,
                })
            }
            Err(cause) if record.floor.is_some() && !adds && cause.leaves_files_sound() => {
                files::remove(&self.journal_path())?;
                Err(cause)
            }
            Err(cause) => match self.undo(&journal) {
                Ok(()) => Err(cause),
                Err(second) => Err(Fault::Rollback {
                    cause: cause.to_string(),
                    why: second.to_string(),
                }),
            },
        }
    }

    /// Puts the list in place of the one that is there: sshd reads it at each login, whatever else holds. Says whether it
    /// changed.
    fn revoke(&self, places: &Places<'_>, trust: &Trust, record: &Record) -> Result<bool, Fault> {
        let (Some(floor), Some(old)) = (&record.floor, files::read(&places.krl)?) else {
            return Ok(false);
        };
        if files::read(&record.path)?.as_ref() != Some(&record.bytes) {
            // First, so that the manifest before can't bring the old list back.
            files::replace(&record.path, floor, 0o600)?;
        }
        if old == trust.krl {
            return Ok(false);
        }
        files::replace(&places.krl, &trust.krl, 0o644)?;
        if let Err(cause) = tools::krl_reads(self.sshd, &places.krl) {
            files::replace(&places.krl, &old, 0o644)?;
            return Err(cause);
        }
        Ok(true)
    }

    /// Takes everything of ours out of sshd: the directive first, the files once no running sshd looks for them.
    ///
    /// Local keys are left alone. Where it fails midway it can be repeated.
    ///
    /// # Errors
    /// [`Fault`].
    pub fn purge(&self, record: Option<Record>) -> Result<(), Fault> {
        let places = Places::new(self.sshd)?;
        let main = files::read(&places.main)?.unwrap_or_default();
        let bare = layout::strip(&places, &main);
        let there = self.sshd.drop_in.exists() || places.own_conf.exists();
        if bare != main {
            files::replace(&places.main, bare, files::mode_of(&places.main, 0o644))?;
        }
        files::remove(&self.sshd.drop_in)?;
        if there || bare != main {
            self.settle()?;
        }
        if let Some(record) = record {
            files::replace(&record.path, &record.bytes, 0o600)?;
        }
        let mut gone = places.principals_there()?;
        gone.extend([
            places.own_conf.clone(),
            places.krl.clone(),
            places.ca.clone(),
            places.host_certificate.clone(),
        ]);
        for path in &gone {
            files::remove(path)?;
        }
        self.remove_empty_directories();
        Ok(())
    }

    fn change(
        &self,
        places: &Places<'_>,
        trust: &Trust,
        changes: &[Wanted],
        need: Need,
        bench: &trial::Bench,
    ) -> Result<(), Fault> {
        files::directory(&self.sshd.directory, 0o755)?;
        files::directory(&places.principals, 0o755)?;
        let (record, sshds): (Vec<&Wanted>, Vec<&Wanted>) =
            changes.iter().partition(|c| c.role == Role::State);
        for change in &sshds {
            match &change.bytes {
                Some(bytes) => files::replace(&change.path, bytes, change.mode)?,
                None => files::remove(&change.path)?,
            }
            if change.role == Role::Krl {
                tools::krl_reads(self.sshd, &change.path)?;
            }
        }
        for change in &sshds {
            if files::read(&change.path)? != change.bytes {
                return Err(Fault::ReadBack {
                    path: change.path.display().to_string(),
                });
            }
        }
        let (config, effective) = tools::both(
            || tools::config_test(self.sshd),
            || check_effective(places, trust),
        );
        config?;
        effective?;
        let reload = sshds.iter().any(|change| change.role.needs_reload());
        if need == Need::Withdrawal {
            // An sshd that does not run finds it when it starts.
            if reload {
                reload::settle(self.sshd)?;
            }
        } else if reload {
            reload::reload(self.sshd)?;
        } else {
            reload::answers(self.sshd, Duration::from_secs(5))?;
        }
        if let (Need::Trial, Some(trial)) = (need, &trust.trial) {
            bench.log_in(self.sshd, trust, trial)?;
        }
        for change in record {
            files::replace(
                &change.path,
                change.bytes.as_deref().unwrap_or_default(),
                change.mode,
            )?;
        }
        Ok(())
    }

    fn recover(&self) -> Result<bool, Fault> {
        files::sweep(self.state)?;
        files::sweep(&self.sshd.directory)?;
        files::sweep(&self.sshd.directory.join("principals"))?;
        for near in [&self.sshd.drop_in, &self.sshd.config] {
            if let Some(dir) = near.parent() {
                files::sweep(dir)?;
            }
        }
        self.sweep_benches()?;
        match Journal::read(&self.journal_path())? {
            None => Ok(false),
            Some(journal) => self.undo(&journal).map(|()| true),
        }
    }

    fn undo(&self, journal: &Journal) -> Result<(), Fault> {
        journal.put_back()?;
        if !journal.needs_reload() || self.settle()? {
            journal.take_away()?;
            self.remove_empty_directories();
        }
        Ok(files::remove(&self.journal_path())?)
    }

    fn remove_empty_directories(&self) {
        for dir in [
            self.sshd.directory.join("principals"),
            self.sshd.directory.clone(),
        ] {
            // One that is not empty stays.
            let _kept = std::fs::remove_dir(dir);
        }
    }

    /// Has a running sshd take up the directives as they are now. `false`: none is running.
    fn settle(&self) -> Result<bool, Fault> {
        tools::config_test(self.sshd)?;
        reload::settle(self.sshd)
    }

    fn sweep_benches(&self) -> Result<(), Fault> {
        for entry in std::fs::read_dir(self.state)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with("trial.")
                && entry.file_type()?.is_dir()
            {
                std::fs::remove_dir_all(entry.path())?;
            }
        }
        Ok(())
    }

    fn journal_path(&self) -> PathBuf {
        self.state.join("journal.json")
    }
}

/// Whether exactly this is in place and in force. `newer_list`: only the revocation list may be another, a newer one.
///
/// # Errors
/// [`Fault`] where that can't be found out.
pub fn holds(sshd: &Sshd, trust: &Trust, newer_list: bool) -> Result<bool, Fault> {
    let places = Places::new(sshd)?;
    let ours = [sshd.drop_in.as_path(), places.own_conf.as_path()];
    let scan = scan::read(&places.main, &sshd.drop_in, &ours)?;
    let foreign = scan.foreign(&trust.logins)?;
    let mut changes = changed(layout::wanted(&places, trust, &scan, &foreign)?)?;
    if newer_list && tools::krl_reads(sshd, &places.krl).is_ok() {
        changes.retain(|change| change.role != Role::Krl);
    }
    match check_effective(&places, trust) {
        Ok(()) => Ok(changes.is_empty()),
        Err(Fault::NotEffective { .. }) => Ok(false),
        Err(other) => Err(other),
    }
}

/// Asks sshd, for each managed login, whether what is in force is ours.
fn check_effective(places: &Places<'_>, trust: &Trust) -> Result<(), Fault> {
    let certificate = places.host_certificate.display().to_string();
    let wanted = [
        ("trustedusercakeys", places.ca.display().to_string()),
        ("revokedkeys", places.krl.display().to_string()),
        ("authorizedprincipalsfile", places.principals_pattern()),
        ("authorizedprincipalscommand", "none".to_owned()),
        ("pubkeyauthentication", "yes".to_owned()),
    ];
    for login in &trust.logins {
        let effective = Effective::of(places.sshd, Some(login))?;
        let mut checks: Vec<(&'static str, &str, &str)> = wanted
            .iter()
            .map(|(key, wanted)| {
                (
                    *key,
                    wanted.as_str(),
                    effective.first(key).unwrap_or("none"),
                )
            })
            .collect();
        if trust.host_certificate.is_some() {
            let there = effective
                .all("hostcertificate")
                .any(|path| path == certificate);
            let found = if there { &certificate } else { "none" };
            checks.push(("hostcertificate", &certificate, found));
        }
        if let Some((directive, wanted, found)) = checks.iter().find(|(_, w, f)| w != f) {
            return Err(Fault::NotEffective {
                login: login.to_string(),
                directive,
                wanted: (*wanted).to_owned(),
                found: (*found).to_owned(),
            });
        }
    }
    Ok(())
}

fn lock(state: &Path) -> Result<Flock<File>, Fault> {
    files::directory(state, 0o700)?;
    let path = state.join("lock");
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(|error| files::at(&path, error))?;
    Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|_held| Fault::Busy)
}

/// What the changes call for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Need {
    /// Nothing but time has changed.
    Nothing,
    /// A trial login.
    Trial,
    /// It only removes, and no trial came with it.
    Withdrawal,
}

impl Need {
    /// And whether anything is added. `revoked`: the list has changed already.
    fn of(changes: &[Wanted], trust: &Trust, revoked: bool) -> Result<(Self, bool), Fault> {
        let mut adds = false;
        let mut content = revoked;
        for change in changes {
            let old = files::read(&change.path)?;
            let (only_time, only_less) = match (&old, &change.bytes, change.role) {
                (Some(old), Some(new), Role::Principals) => {
                    let same = layout::same_but_for_expiry(old, new);
                    (same, same)
                }
                (Some(old), Some(new), Role::Ca) => (false, lines_within(new, old)),
                (Some(_), Some(_), Role::Krl) | (Some(_), None, _) => (false, true),
                (Some(old), Some(new), Role::Directive) => (false, logins_within(new, old)),
                _ => (false, false),
            };
            content |= !only_time;
            adds |= !only_less;
        }
        let anybody = !trust.user_ca.is_empty() && !trust.logins.is_empty();
        match (content, trust.trial.is_some(), adds && anybody) {
            (false, _, _) => Ok((Self::Nothing, adds)),
            (true, true, _) => Ok((Self::Trial, adds)),
            (true, false, false) => Ok((Self::Withdrawal, adds)),
            (true, false, true) => Err(Fault::TrialUnfit {
                why: "it adds something and brings no trial".to_owned(),
            }),
        }
    }
}

fn changed(wanted: Vec<Wanted>) -> Result<Vec<Wanted>, Fault> {
    let mut changes = Vec::new();
    for one in wanted {
        if files::read(&one.path)? != one.bytes {
            changes.push(one);
        }
    }
    Ok(changes)
}

fn lines_within(new: &[u8], old: &[u8]) -> bool {
    let old: BTreeSet<&[u8]> = old.split(|b| *b == b'\n').collect();
    new.split(|b| *b == b'\n').all(|line| old.contains(line))
}

/// Every login, and every other line, of the new directives is in the old.
fn logins_within(new: &[u8], old: &[u8]) -> bool {
    let parts = |bytes: &[u8]| -> BTreeSet<String> {
        String::from_utf8_lossy(bytes)
            .lines()
            .flat_map(|line| match line.strip_prefix("Match User ") {
                Some(names) => names.split(',').map(str::to_owned).collect(),
                None => vec![line.to_owned()],
            })
            .collect()
    };
    parts(new).is_subset(&parts(old))
}

fn public_key(path: &Path) -> Result<PublicKey, Fault> {
    let text = std::fs::read_to_string(path).map_err(|error| files::at(path, error))?;
    PublicKey::from_openssh(text.trim()).map_err(|error| {
        files::at(
            path,
            std::io::Error::other(format!("no public key: {error}")),
        )
        .into()
    })
}

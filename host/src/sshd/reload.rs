//! Making the running sshd read its configuration, and knowing that it has.

use super::Fault;
use super::tools::Effective;
use crate::config::Sshd;
use crate::files;
use crate::run::run;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::io::{self, Read};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

const NAP: Duration = Duration::from_millis(5);

/// Reloads, and returns when sshd answers under the new configuration.
pub(crate) fn reload(sshd: &Sshd) -> Result<(), Fault> {
    take_up(sshd)?;
    answers(sshd, Duration::from_secs(10))
}

/// Has sshd read its configuration, if one runs: `false` where none does.
///
/// That it answers is not asked for: strangers who take every place before the login (`MaxStartups`) must not decide what
/// is put back or taken away.
pub(crate) fn settle(sshd: &Sshd) -> Result<bool, Fault> {
    if !runs(sshd)? {
        return Ok(false);
    }
    if !take_up(sshd)? {
        // Nothing else shows that it has.
        answers(sshd, Duration::from_secs(10))?;
    }
    Ok(true)
}

/// Reloads; `true` where the pid file shows that it is done.
fn take_up(sshd: &Sshd) -> Result<bool, Fault> {
    let effective = Effective::of(sshd, None)?;
    let pid_file = effective.pid_file();
    let before = pid_file.as_deref().and_then(stamp);
    if let Some((program, args)) = sshd.reload.split_first() {
        let ran = run(Path::new(program), args, Duration::from_secs(60)).map_err(failed)?;
        if !ran.ok() {
            return Err(Fault::Reload {
                why: format!("`{program}` failed: {}", ran.complaint()),
            });
        }
    } else {
        let path = pid_file.as_deref().ok_or_else(|| Fault::Reload {
            why: "its `PidFile` is `none`: set `sshd.reload` to a command".to_owned(),
        })?;
        kill(running(sshd, path)?, Signal::SIGHUP)
            .map_err(|errno| failed(io::Error::from(errno)))?;
    }
    // sshd takes its pid file away, executes itself anew, and writes it once it listens again.
    let (Some(path), Some(before)) = (pid_file, before) else {
        return Ok(false);
    };
    let deadline = Instant::now() + Duration::from_secs(15);
    while stamp(&path).is_none_or(|now| now == before) {
        if Instant::now() >= deadline {
            return Err(Fault::Reload {
                why: format!("`{}` was not written anew", path.display()),
            });
        }
        sleep(NAP);
    }
    Ok(true)
}

/// Whether an sshd runs: its pid file names one, or somebody listens where the trial login goes. One that executes itself
/// anew does neither for a moment.
fn runs(sshd: &Sshd) -> Result<bool, Fault> {
    let pid_file = Effective::of(sshd, None)?.pid_file();
    let at = SocketAddr::new(sshd.address, sshd.port);
    let deadline = Instant::now() + Duration::from_secs(1);
    loop {
        let named = pid_file
            .as_deref()
            .is_some_and(|path| running(sshd, path).is_ok());
        let listens = match TcpStream::connect_timeout(&at, Duration::from_secs(2)) {
            Ok(_) => true,
            Err(error) => error.kind() != io::ErrorKind::ConnectionRefused,
        };
        if named || listens {
            return Ok(true);
        }
        if Instant::now() >= deadline {
            return Ok(false);
        }
        sleep(NAP);
    }
}

/// Whether an sshd answers where the trial login goes: it sends its version first (RFC 4253, 4.2).
pub(crate) fn answers(sshd: &Sshd, limit: Duration) -> Result<(), Fault> {
    let at = SocketAddr::new(sshd.address, sshd.port);
    let deadline = Instant::now() + limit;
    loop {
        match banner(&at) {
            Ok(()) => return Ok(()),
            Err(error) if Instant::now() >= deadline => {
                return Err(Fault::NotRunning {
                    at: at.to_string(),
                    why: error.to_string(),
                });
            }
            Err(_) => sleep(NAP),
        }
    }
}

fn banner(at: &SocketAddr) -> io::Result<()> {
    let mut stream = TcpStream::connect_timeout(at, Duration::from_secs(2))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut first = [0_u8; 4];
    stream.read_exact(&mut first)?;
    if &first == b"SSH-" {
        Ok(())
    } else {
        Err(io::Error::other("what answers is no sshd"))
    }
}

/// The process of a pid file, if it is this sshd: a stale file must not have us signal a stranger.
fn running(sshd: &Sshd, pid_file: &Path) -> Result<Pid, Fault> {
    let stale = |why: &str| Fault::Reload {
        why: format!("`{}` {why}: is sshd running?", pid_file.display()),
    };
    let bytes = files::read(pid_file)?.ok_or_else(|| stale("is not there"))?;
    let pid: i32 = std::str::from_utf8(&bytes)
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .filter(|pid| *pid > 1)
        .ok_or_else(|| stale("holds no process id"))?;
    // Not `/proc/PID/exe`: reading that needs all the capabilities of sshd, which our unit does not have.
    let comm = fs::read_to_string(format!("/proc/{pid}/comm"))
        .map_err(|_gone| stale("names a process that is gone"))?;
    let name = sshd.program.file_name().unwrap_or_default();
    if !comm.trim_end().is_empty() && name.to_string_lossy().starts_with(comm.trim_end()) {
        Ok(Pid::from_raw(pid))
    } else {
        Err(stale("names a process that is not sshd"))
    }
}

/// What tells one writing of a file from another.
fn stamp(path: &Path) -> Option<(u64, i64, i64, i64, i64)> {
    let meta = fs::metadata(path).ok().filter(|meta| meta.len() > 0)?;
    Some((
        meta.ino(),
        meta.mtime(),
        meta.mtime_nsec(),
        meta.ctime(),
        meta.ctime_nsec(),
    ))
}

fn failed(error: io::Error) -> Fault {
    Fault::Reload {
        why: error.to_string(),
    }
}

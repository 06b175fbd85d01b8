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
    if let (Some(path), Some(before)) = (pid_file, before) {
        let deadline = Instant::now() + Duration::from_secs(15);
        while stamp(&path).is_none_or(|now| now == before) {
            if Instant::now() >= deadline {
                return Err(Fault::Reload {
                    why: format!("`{}` was not written anew", path.display()),
                });
            }
            sleep(NAP);
        }
    }
    answers(sshd, Duration::from_secs(10))
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

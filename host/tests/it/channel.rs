//! `assay-host run` against an agent that the test plays, over the real channel.

use crate::paired::{CHANNEL, Paired};
use crate::world::{World, path, ready};
use assay_api::channel::{FromAgent, FromHost, Inbox, VERSION, frame};
use assay_tls::{CertKey, channel_peer, channel_server};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

struct Agent {
    stream: TlsStream<UnixStream>,
    inbox: Inbox,
}

impl Agent {
    async fn accept(
        listener: &UnixListener,
        key: &[u8; 32],
        host: [u8; 32],
    ) -> std::io::Result<Self> {
        let config = channel_server(&CertKey::ed25519(key), vec![host]).unwrap();
        let (stream, _) = timeout(Duration::from_secs(20), listener.accept())
            .await
            .unwrap()?;
        let stream = TlsAcceptor::from(Arc::new(config)).accept(stream).await?;
        let peer = stream
            .get_ref()
            .1
            .peer_certificates()
            .and_then(channel_peer);
        assert_eq!(peer, Some(host));
        let mut agent = Self {
            stream,
            inbox: Inbox::default(),
        };
        agent.say(&FromAgent::Hello { version: VERSION }).await;
        Ok(agent)
    }

    async fn say(&mut self, message: &FromAgent) {
        self.stream
            .write_all(&frame(message).unwrap())
            .await
            .unwrap();
        self.stream.flush().await.unwrap();
    }

    async fn hear(&mut self) -> FromHost {
        let hear = async {
            loop {
                if let Some(message) = self.inbox.take().unwrap() {
                    return message;
                }
                let mut buffer = [0; 4096];
                let read = self.stream.read(&mut buffer).await.unwrap();
                assert_ne!(read, 0, "the host has gone");
                self.inbox.push(&buffer[..read]);
            }
        };
        timeout(Duration::from_secs(30), hear).await.unwrap()
    }

    /// Passing over requests for something newer, which come when there is nothing yet.
    async fn report(&mut self) -> (u64, String) {
        loop {
            match self.hear().await {
                FromHost::Report {
                    sequence, outcome, ..
                } => return (sequence, outcome),
                FromHost::Refresh => {}
                other => panic!("{other:?}"),
            }
        }
    }
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn manifests_come_over_the_channel_and_reports_go_back() {
    if !ready() {
        return;
    }
    let mut paired = Paired::new(World::new(""));
    let socket = paired.world.at("agent.sock");
    let config = paired.world.at("host.toml");
    let text = crate::command::toml(&paired.world);
    fs::write(
        &config,
        format!("{text}[dpu]\naddress = \"unix:{}\"\n", socket.display()),
    )
    .unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let listener = UnixListener::bind(&socket).unwrap();
        let log = fs::File::create(paired.world.at("run.log")).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_assay-host"))
            .args(["--config", path(&config), "run"])
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut running = Running(child);
        let host_key = paired.request.host_key;

        // Whoever listens without the DPU's key is left alone, and so is one that wants another host.
        assert!(Agent::accept(&listener, &[66; 32], host_key).await.is_err());
        assert!(Agent::accept(&listener, &CHANNEL, [66; 32]).await.is_err());

        let mut agent = Agent::accept(&listener, &CHANNEL, host_key).await.unwrap();
        let FromHost::Hello {
            host_id,
            sequence,
            not_after,
            ..
        } = agent.hear().await
        else {
            panic!("no hello");
        };
        assert_eq!(
            (host_id, sequence, not_after),
            (paired.world.host.clone(), 0, None)
        );
        agent.say(&FromAgent::PostureAsk { session: [1; 32] }).await;
        let answer = loop {
            match agent.hear().await {
                FromHost::Refresh => {}
                other => break other,
            }
        };
        assert_eq!(
            answer,
            FromHost::Declined {
                code: "posture.none".to_owned()
            }
        );

        let good = paired.manifest(3600, &[]);
        let mut bad = paired.manifest(3600, &[]);
        bad.files.principals.insert("daemon".to_owned(), Vec::new());
        agent
            .say(&FromAgent::Manifest {
                manifest: paired.sign(&bad),
            })
            .await;
        assert_eq!(agent.report().await, (2, "manifest.login".to_owned()));
        agent
            .say(&FromAgent::Manifest {
                manifest: b"nothing".to_vec(),
            })
            .await;
        assert_eq!(agent.report().await, (0, "signed.malformed".to_owned()));
        agent
            .say(&FromAgent::Manifest {
                manifest: paired.sign(&good),
            })
            .await;
        assert_eq!(agent.report().await, (1, "ok".to_owned()));
        let cert = paired.world.user_certificate("ca");
        assert!(paired.world.opens(&cert));

        // It comes back by itself, and says what it has.
        drop(agent);
        let mut agent = Agent::accept(&listener, &CHANNEL, host_key).await.unwrap();
        let FromHost::Hello {
            sequence,
            not_after,
            ..
        } = agent.hear().await
        else {
            panic!("no hello");
        };
        assert_eq!((sequence, not_after), (1, Some(good.not_after)));
        // What is no message ends the connection, not the service.
        agent.stream.write_all(&[0xff; 8]).await.unwrap();
        let mut agent = Agent::accept(&listener, &CHANNEL, host_key).await.unwrap();
        assert!(matches!(
            agent.hear().await,
            FromHost::Hello { sequence: 1, .. }
        ));

        let pid = Pid::from_raw(i32::try_from(running.0.id()).unwrap());
        kill(pid, Signal::SIGTERM).unwrap();
        assert!(running.0.wait().unwrap().success());
        let log = fs::read_to_string(paired.world.at("run.log")).unwrap();
        assert!(
            log.contains("channel.tls") && log.contains("manifest in force"),
            "{log}"
        );
        assert!(!log.contains("PRIVATE"));
    });
}

/// What a hostile DPU says may end up in a log and in systemd's status line; it must not become a message to systemd.
#[test]
fn a_hostile_agent_says_nothing_to_systemd() {
    if !ready() {
        return;
    }
    let paired = Paired::new(World::new(""));
    let (socket, config) = (paired.world.at("agent.sock"), paired.world.at("host.toml"));
    let text = crate::command::toml(&paired.world);
    fs::write(
        &config,
        format!("{text}[dpu]\naddress = \"unix:{}\"\n", socket.display()),
    )
    .unwrap();
    let systemd = std::os::unix::net::UnixDatagram::bind(paired.world.at("notify")).unwrap();
    systemd
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let listener = UnixListener::bind(&socket).unwrap();
        let log = fs::File::create(paired.world.at("run.log")).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_assay-host"))
            .args(["--config", path(&config), "run"])
            .env("NOTIFY_SOCKET", paired.world.at("notify"))
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let _running = Running(child);
        let host_key = paired.request.host_key;
        let mut agent = Agent::accept(&listener, &CHANNEL, host_key).await.unwrap();
        // A message of an unknown kind, by a name that is three lines.
        let kind = b"x\nMAINPID=1\n\x1b[2J2026-01-01 forged";
        let mut frame = vec![0, 0, 0, 0, 0xa1, 0x78, u8::try_from(kind.len()).unwrap()];
        frame.extend(kind);
        frame.push(0xf6);
        frame[3] = u8::try_from(frame.len() - 4).unwrap();
        agent.stream.write_all(&frame).await.unwrap();
        agent.stream.flush().await.unwrap();
        let told = || {
            let mut datagram = [0; 4096];
            let length = systemd.recv(&mut datagram).unwrap();
            String::from_utf8(datagram[..length].to_vec()).unwrap()
        };
        let status = loop {
            let said = told();
            if said.contains("not connected") && said.contains("malformed") {
                break said;
            }
        };
        assert!(!status.trim_end().contains('\n'), "{status:?}");
        let log = fs::read_to_string(paired.world.at("run.log")).unwrap();
        assert!(log.contains("channel.malformed"), "{log}");
        for line in log.lines() {
            assert!(
                !line.starts_with("MAINPID") && !line.contains('\x1b'),
                "{log:?}"
            );
        }
    });
}

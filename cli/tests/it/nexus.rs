//! A real nexus in this process: its own data directory, a free loopback port, stopped when dropped.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use assay_nexus::clock::SystemClock;
use assay_nexus::config::Config;
use assay_nexus::random::OsRandom;
use assay_nexus::{bootstrap, serve, start};
use tokio::sync::watch;

/// A running nexus.
#[derive(Debug)]
pub(crate) struct Nexus {
    /// Where the bootstrap token is, until it is used.
    pub(crate) token: Option<PathBuf>,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

/// A loopback port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

impl Nexus {
    pub(crate) fn start(data: &Path, port: u16) -> Self {
        let config = Config::parse(&format!(
            "data_dir = \"{}\"\nlisten = [\"127.0.0.1:{port}\"]\npublic_urls = [\"https://localhost:{port}\"]\n",
            data.display()
        ))
        .unwrap();
        let store = start::open_store(&config, None, Arc::new(SystemClock)).unwrap();
        let app = Arc::new(start::app(config, store, Arc::new(OsRandom)).unwrap());
        let token = bootstrap::ensure(&app).unwrap();
        let (stop, stopped) = watch::channel(false);
        let (ready, is_ready) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()
                .unwrap();
            let served = runtime.block_on(serve::serve(app, stopped, |_| ready.send(()).unwrap()));
            served.unwrap();
        });
        is_ready.recv().unwrap();
        Self {
            token,
            stop,
            thread: Some(thread),
        }
    }
}

impl Drop for Nexus {
    fn drop(&mut self) {
        let _ = self.stop.send(true);
        let ended = self.thread.take().map(JoinHandle::join);
        if !std::thread::panicking() {
            assert!(ended.is_none_or(|e| e.is_ok()));
        }
    }
}

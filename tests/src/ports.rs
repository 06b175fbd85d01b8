//! Free loopback ports, below those that the kernel hands out by itself.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering};

/// `count` neighbouring ports that nobody listens on; nobody else in this process gets them.
pub(crate) fn free(count: u16) -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let seed = u16::try_from(std::process::id() % 1_000).unwrap();
    loop {
        let step = NEXT.fetch_add(count, Ordering::Relaxed);
        // 11,000 ports from 20,000 on; each process begins somewhere else.
        let port = 20_000 + (seed * 11 + step) % 11_000;
        let is_free = |port| TcpListener::bind(("127.0.0.1", port)).is_ok();
        if (port..port + count).all(is_free) {
            return port;
        }
    }
}

//! Tells agents that wait that there is something to do. A hint, never state: whoever is woken asks the store.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use assay_api::id::DeviceId;
use tokio::sync::watch;

/// Who waits, and the bells to ring.
#[derive(Debug, Default)]
pub struct WakeHub(Mutex<HashMap<DeviceId, watch::Sender<u64>>>);

/// One who listens. Take it before asking the store, so that nothing rings unheard in between.
#[derive(Debug)]
pub struct Listener(watch::Receiver<u64>);

impl WakeHub {
    /// Listens for a device.
    #[must_use]
    pub fn listen(&self, device: &DeviceId) -> Listener {
        let mut bells = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if bells.len() > 1024 {
            bells.retain(|_, bell| bell.receiver_count() > 0);
        }
        Listener(bells.entry(device.clone()).or_default().subscribe())
    }

    /// Rings: call it after the change is committed.
    pub fn ring(&self, device: &DeviceId) {
        let mut bells = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bell) = bells.get(device) {
            if bell.receiver_count() == 0 {
                bells.remove(device);
            } else {
                bell.send_modify(|n| *n = n.wrapping_add(1));
            }
        }
    }
}

impl Listener {
    /// Waits for a ring, at most this long; whether there was one.
    pub async fn rung(&mut self, at_most: Duration) -> bool {
        matches!(
            tokio::time::timeout(at_most, self.0.changed()).await,
            Ok(Ok(()))
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_ring_between_listening_and_waiting_is_heard_and_only_by_its_device() {
        let hub = WakeHub::default();
        let (a, b) = (
            DeviceId::from_random(&[1; 16]),
            DeviceId::from_random(&[2; 16]),
        );
        let (mut at_a, mut at_b) = (hub.listen(&a), hub.listen(&b));
        hub.ring(&a);
        assert!(at_a.rung(Duration::from_millis(1)).await);
        assert!(!at_b.rung(Duration::from_millis(1)).await);
        assert!(
            !at_a.rung(Duration::from_millis(1)).await,
            "one ring, heard once"
        );
    }
}

//! Wakes waiters when a breaker or hold opens or closes.

use tokio::sync::watch;

/// The changes of all breakers and holds of a process; clones share them.
#[derive(Clone, Debug)]
pub struct Changes(watch::Sender<()>);

/// A subscription that sees every change after its creation.
#[derive(Debug)]
pub struct Watch(watch::Receiver<()>);

impl Default for Changes {
    fn default() -> Self {
        Self(watch::Sender::new(()))
    }
}

impl Changes {
    /// Wakes all waiters.
    pub fn notify(&self) {
        self.0.send_replace(());
    }

    /// Subscribes to changes from now on. Subscribe before reading the state, so that no change after the read is
    /// missed.
    pub fn watch(&self) -> Watch {
        Watch(self.0.subscribe())
    }
}

impl Watch {
    /// Waits for the next change.
    pub async fn changed(&mut self) {
        if self.0.changed().await.is_err() {
            // All senders are dropped: there will be no more changes.
            std::future::pending::<()>().await;
        }
    }
}

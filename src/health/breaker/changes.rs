//! Wakes those who wait for something to open or to close.

use tokio::sync::watch;

/// The changes of all breakers and holds of a process; clones share them.
#[derive(Clone, Debug)]
pub struct Changes(watch::Sender<()>);

/// Sees every change from its making on.
#[derive(Debug)]
pub struct Watch(watch::Receiver<()>);

impl Default for Changes {
    fn default() -> Self {
        Self(watch::Sender::new(()))
    }
}

impl Changes {
    /// Wakes everybody who waits.
    pub fn notify(&self) {
        self.0.send_replace(());
    }

    /// Watches from now on: made before a look at the state, it misses no change after the look.
    pub fn watch(&self) -> Watch {
        Watch(self.0.subscribe())
    }
}

impl Watch {
    /// Waits for the next change.
    pub async fn changed(&mut self) {
        if self.0.changed().await.is_err() {
            // Nobody is left who could change anything.
            std::future::pending::<()>().await;
        }
    }
}

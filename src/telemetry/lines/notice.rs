//! The line about lost lines: made without the queue, in which there may be no room.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use tracing::level_filters::LevelFilter;
use tracing::{Dispatch, dispatcher, warn};
use tracing_subscriber::Registry;
use tracing_subscriber::layer::SubscriberExt;

use super::super::{LineStyle, layer};

/// The line that says how many were lost, in the look of the others.
pub(super) fn notice(n_lost: u64, look: LineStyle) -> Vec<u8> {
    let line = Buffer::default();
    let writer = line.clone();
    let layer = layer::<Registry, _>(look, move || writer.clone());
    // The level matters beyond this subscriber: all that exist together decide what costs time.
    let subscriber = tracing_subscriber::registry().with(layer).with(LevelFilter::WARN);
    dispatcher::with_default(&Dispatch::new(subscriber), || warn!(lost = n_lost, "log lines were lost"));
    line.take()
}

/// A line that is being made.
#[derive(Clone, Default)]
struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Buffer {
    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

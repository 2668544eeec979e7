//! The line that reports lost lines, created without the queue, which may be full.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use tracing::level_filters::LevelFilter;
use tracing::{Dispatch, dispatcher, warn};
use tracing_subscriber::Registry;
use tracing_subscriber::layer::SubscriberExt;

use super::super::{LineStyle, layer};

/// Returns the line that reports how many were lost, in the style of the others.
pub(super) fn notice(n_lost: u64, style: LineStyle) -> Vec<u8> {
    let line = Buffer::default();
    let writer = line.clone();
    let layer = layer::<Registry, _>(style, move || writer.clone());
    // The level matters globally: `tracing` skips an event early only if no existing subscriber wants its level.
    let subscriber = tracing_subscriber::registry().with(layer).with(LevelFilter::WARN);
    dispatcher::with_default(&Dispatch::new(subscriber), || warn!(lost = n_lost, "log lines were lost"));
    line.take()
}

/// A line that is being formatted.
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

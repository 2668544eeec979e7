//! Limits the bytes of messages that a worker holds, so that large ones do not exhaust its memory. Pure.

/// Maximum bytes of message bodies held. A job in flight takes about as much memory as its body. Allow three times this
/// much memory: SQS responses and a page of outcomes come on top.
const HELD_MAX: usize = 64 << 20;

/// The largest body that SQS delivers, in bytes.
const BODY_MAX: usize = 1 << 20;

/// The bytes held, and those that receives in progress may bring.
#[derive(Debug)]
pub(super) struct Bytes {
    held: usize,
    reserved: usize,
    /// Expected size of the next message: that of the largest recent one, decaying by an eighth with each smaller one.
    likely: usize,
}

impl Default for Bytes {
    fn default() -> Self {
        Self { held: 0, reserved: 0, likely: BODY_MAX }
    }
}

impl Bytes {
    /// Returns how many more messages may be received; at least one if nothing is held.
    pub(super) fn messages_max(&self) -> usize {
        let used = self.held + self.reserved;
        let n = HELD_MAX.saturating_sub(used) / self.likely;
        if used == 0 { n.max(1) } else { n }
    }

    /// Reserves room for the `n` messages of a receive; returns the bytes reserved for each.
    pub(super) fn reserve(&mut self, n: usize) -> usize {
        self.reserved += n * self.likely;
        self.likely
    }

    /// Frees the reservation of a message that arrived or will not arrive.
    pub(super) fn release_reserved(&mut self, n_reserved: usize) {
        self.reserved -= n_reserved;
    }

    /// Notes that a message is held.
    pub(super) fn hold(&mut self, n_bytes: usize) {
        self.held += n_bytes;
        self.likely = n_bytes.max(self.likely - self.likely / 8).max(1);
    }

    /// Notes that a message is no longer held.
    pub(super) fn free(&mut self, n_bytes: usize) {
        self.held -= n_bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Receives messages of `size` bytes until no more are allowed; returns how many are held then.
    fn held_of(bytes: &mut Bytes, size: usize) -> usize {
        let mut n_held = 0;
        while n_held < 1_000_000 {
            let n = bytes.messages_max().min(10);
            let n_reserved = bytes.reserve(n);
            for _ in 0..n {
                bytes.release_reserved(n_reserved);
                bytes.hold(size);
            }
            n_held += n;
            if n == 0 {
                break;
            }
        }
        n_held
    }

    #[test]
    fn held_bytes_stay_within_the_limit() {
        assert_eq!(held_of(&mut Bytes::default(), BODY_MAX), 64);
        let n_small = held_of(&mut Bytes::default(), 2_000);
        assert!((33_000..=33_554).contains(&n_small), "{n_small}");
    }

    #[test]
    fn one_message_is_received_whatever_its_size() {
        let mut bytes = Bytes::default();
        bytes.hold(2 * HELD_MAX);
        assert_eq!(bytes.messages_max(), 0);
        bytes.free(2 * HELD_MAX);
        assert_eq!(bytes.messages_max(), 1);
    }

    #[test]
    fn a_receive_in_progress_reserves_room_for_large_messages() {
        let mut bytes = Bytes::default();
        let n_reserved = bytes.reserve(60);
        assert_eq!(bytes.messages_max(), 4);
        (0..60).for_each(|_| bytes.release_reserved(n_reserved));
        assert_eq!(bytes.messages_max(), 64);
    }
}

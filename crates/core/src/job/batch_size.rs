//! The size of a batch, as announced by the producer.

use std::fmt;

use serde::Deserializer;
use serde::de::{Error, Visitor};

/// Maximum `batchSize`: far above what any factory makes, and small enough that sums over millions of batches fit 64
/// bits.
pub const BATCH_SIZE_MAX: u64 = 1_000_000_000_000;

/// Reads a batch size. The error repeats a number that is out of range: unlike text, a number is not a secret.
pub(super) fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    deserializer.deserialize_any(BatchSize)
}

struct BatchSize;

impl Visitor<'_> for BatchSize {
    type Value = Option<u64>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a whole number from 0 to {BATCH_SIZE_MAX}")
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_u64<E: Error>(self, found: u64) -> Result<Self::Value, E> {
        if found <= BATCH_SIZE_MAX { Ok(Some(found)) } else { Err(out_of_range(found)) }
    }

    fn visit_i64<E: Error>(self, found: i64) -> Result<Self::Value, E> {
        Err(out_of_range(found))
    }

    /// A fraction, or a whole number beyond 64 bits.
    fn visit_f64<E: Error>(self, found: f64) -> Result<Self::Value, E> {
        Err(out_of_range(found))
    }
}

fn out_of_range<E: Error>(found: impl fmt::Debug) -> E {
    E::custom(format_args!("batchSize is {found:?}, expected a whole number from 0 to {BATCH_SIZE_MAX}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_size_is_a_whole_number_up_to_the_maximum() {
        let read = |json: &str| read(&mut serde_json::Deserializer::from_str(json)).map_err(|error| error.to_string());
        assert_eq!(read("null"), Ok(None));
        assert_eq!(read("0"), Ok(Some(0)));
        assert_eq!(read("1000000000000"), Ok(Some(BATCH_SIZE_MAX)));
        for found in ["1000000000001", "18446744073709551615", "1.8446744073709552e19", "1e300", "-1", "1.5"] {
            let error = read(found).unwrap_err();
            let wanted = format!("batchSize is {found}, expected a whole number from 0 to 1000000000000");
            assert!(error.starts_with(&wanted), "{error}");
        }
        assert!(read("true").unwrap_err().contains("expected a whole number from 0 to 1000000000000"));
    }
}

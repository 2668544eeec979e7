//! Values at and beyond their bounds: long serial numbers and names, counts near the 64-bit limit.

mod batch_size;
mod indexes;
mod migration;

use std::collections::BTreeMap;

use muster_core::certificate::Certificate;
use muster_core::outcome::Code;

use crate::factory::Factory;
use crate::ledger::assert_counters_equal_the_rows;
use crate::show::show_json;

/// Returns a positive serial number that does not compress, because Postgres compresses what it puts into an index.
fn serial(n_bytes: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(n_bytes as u64);
    let mut serial: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(n_bytes).collect();
    serial[0] = 0x5a;
    serial
}

/// Premise: no standard limits the length of a serial number that a parser accepts, and a B-tree accepts no entry above
/// 2,704 bytes (SQLSTATE 54000).
#[tokio::test(flavor = "multi_thread")]
async fn certificates_with_huge_serial_numbers_are_registered_and_found() {
    let factory = Factory::new(1000.0).await;
    let serials = [20, 3_000, 40_000].map(serial);
    let pems: Vec<_> = serials.iter().map(|serial| factory.ca.leaf_with_serial(serial, "device")).collect();
    factory.enqueue(&pems).await;
    factory.drain().await;
    assert_eq!(factory.outcomes().await, BTreeMap::from([(Code::Ok, 3)]));
    let (jobs, dead) = (factory.counts("jobs"), factory.counts("jobs-dead"));
    assert_eq!((factory.n_calls(), jobs.deliveries, jobs.deleted, dead.sent), (3, 3, 3, 0));
    let kept: Vec<Vec<u8>> = sqlx::query_scalar("select serial from registrations order by octet_length(serial)")
        .fetch_all(&factory.database.pool)
        .await
        .unwrap();
    assert_eq!(kept, serials, "each is stored in full");
    assert_counters_equal_the_rows(&factory.database).await;
    for (serial, pem) in serials.iter().zip(&pems) {
        let found = show_json(&factory, &[&hex::encode(serial)]).await;
        let id = Certificate::from_pem(pem).unwrap().id().to_string();
        assert_eq!(found["certificates"][0]["certificate_id"], id);
        assert_eq!(found["certificates"].as_array().unwrap().len(), 1);
    }
}

//! What factory lines send adds no series to the metrics: every label comes from a closed set, whatever the names.

use std::collections::BTreeSet;

use muster::telemetry::metrics::Metrics;
use muster_core::job::Job;

use crate::factory::Factory;

const N: usize = 3000;

/// Returns the series without their values.
fn series(metrics: &Metrics) -> BTreeSet<String> {
    let text = metrics.text();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.rsplit_once(' ').unwrap().0.to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_names_add_no_metric_series() {
    let factory = Factory::new(1000.0).await;
    let body = |i: usize| {
        let name = |kind: &str| format!("{kind}-{i}").parse().unwrap();
        let mut job = Factory::job(&format!("no certificate {i}"));
        job = Job { batch: name("batch"), source: Some(name("source")), reference: Some(name("ref")), ..job };
        if i.is_multiple_of(10) {
            job.target = name("target");
        }
        job.to_body()
    };
    // One message of each kind creates every possible series.
    factory.send(&[body(0), body(1)]).await;
    let few = series(factory.drain().await.as_ref());
    factory.send(&(0..N).map(body).collect::<Vec<_>>()).await;
    let many = series(factory.drain().await.as_ref());
    assert_eq!(many, few);
    let n_sources: i64 = sqlx::query_scalar("select count(distinct source) from registrations")
        .fetch_one(&factory.database.pool)
        .await
        .unwrap();
    assert_eq!(usize::try_from(n_sources).unwrap(), N * 9 / 10, "the test proves nothing without many sources");
}

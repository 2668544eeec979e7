//! Bodies wrapped in an envelope by another service, and bodies with a byte order mark.

use std::collections::BTreeMap;

use muster_core::job::Job;
use muster_core::outcome::Code;
use serde_json::json;

use crate::factory::Factory;

/// Returns the reasons and explanations of the quarantined messages.
async fn quarantined(factory: &Factory) -> Vec<(String, String)> {
    let query = sqlx::query_as("select reason, detail from quarantine order by detail");
    query.fetch_all(&factory.database.pool).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrapped_job_is_quarantined_with_the_wrapper_and_the_fix() {
    let factory = Factory::new(500.0).await;
    let job = Factory::job(&factory.ca.leaf("device")).to_body();
    let detail: serde_json::Value = serde_json::from_str(&job).unwrap();
    factory
        .send(&[
            json!({ "Type": "Notification", "TopicArn": "a", "Message": job }).to_string(),
            json!({ "version": "0", "detail-type": "job", "source": "plant", "detail": detail }).to_string(),
            json!({ "Records": [{ "eventSource": "aws:s3", "s3": { "object": { "key": "a" } } }] }).to_string(),
            json!({ "Service": "Amazon S3", "Event": "s3:TestEvent" }).to_string(),
        ])
        .await;
    factory.drain().await;
    let found = quarantined(&factory).await;
    let expected = [
        "an Amazon EventBridge event: set the target's input path to $.detail",
        "an Amazon SNS notification: enable raw message delivery on the subscription",
        "not a job but an Amazon S3 event notification: remove the queue from",
        "not a job but an Amazon S3 event notification: remove the queue from",
    ];
    assert_eq!(found.len(), expected.len());
    for ((reason, detail), expected) in found.iter().zip(expected) {
        assert_eq!(reason, "wrapped");
        assert!(detail.starts_with(&format!("the body is {expected}")), "{detail}");
    }
    assert_eq!(factory.n_calls(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_with_a_byte_order_mark_is_accepted() {
    let factory = Factory::new(500.0).await;
    let job: Job = Factory::job(&factory.ca.leaf("device"));
    factory.send(&[format!("\u{feff}{}", job.to_body())]).await;
    factory.drain().await;
    assert_eq!((factory.outcomes().await, quarantined(&factory).await), (BTreeMap::from([(Code::Ok, 1)]), vec![]));
}

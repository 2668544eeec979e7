//! A sandbox queue configured for workers that are killed on purpose.

use std::time::Duration;

use muster::aws::identity;

use muster::aws::queue::{self, Queue, QueueAttributes};
use muster::config::access::{Access, Credentials};
use muster_sandbox::Sandbox;

/// Creates a queue with the given visibility timeout.
pub(crate) async fn create(sandbox: &Sandbox, name: &str, visibility_timeout: Duration) -> Queue {
    let access = Access {
        region: Some("us-east-1".to_owned()),
        endpoint_url: Some(sandbox.url()),
        credentials: Credentials::Sandbox,
        role: None,
    };
    let attributes = QueueAttributes {
        visibility_timeout,
        retention: Duration::from_hours(96),
        // Every kill uses up one receive: that is how SQS works.
        max_receive_count: Some(100),
        ..QueueAttributes::default()
    };
    queue::create(&identity::load(&access).await, name, &attributes).await.unwrap()
}

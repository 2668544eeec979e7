//! AWS IoT: tags of CAs.

use std::collections::BTreeMap;

use aws_sdk_iot::types::Tag;
use muster_sandbox::ApiOperation;
use muster_sandbox::specimen::Ca;

use super::{Bench, refusal};

fn tag(key: impl Into<String>, value: impl Into<String>) -> Tag {
    Tag::builder().key(key).value(value).build().unwrap()
}

fn tags(n: usize) -> Vec<Tag> {
    (0..n).map(|i| tag(format!("key-{i}"), "value")).collect()
}

impl Bench {
    /// Registers a CA with tags, and returns its ARN.
    async fn tagged(&self, tags: Vec<Tag>) -> String {
        let request = self.register_sni_only(&Ca::new("Plant CA")).set_tags(Some(tags));
        request.send().await.unwrap().certificate_arn.unwrap()
    }

    async fn tags(&self, arn: &str) -> BTreeMap<String, String> {
        let listed = self.iot.list_tags_for_resource().resource_arn(arn).send().await.unwrap();
        let pair = |tag: &Tag| (tag.key().to_owned(), tag.value().unwrap().to_owned());
        listed.tags().iter().map(pair).collect()
    }
}

fn pairs<const N: usize>(pairs: [(&str, &str); N]) -> BTreeMap<String, String> {
    pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).into()
}

#[tokio::test]
async fn tags_are_kept_and_listed() {
    let bench = Bench::unlimited().await;
    let valueless = Tag::builder().key("line").build().unwrap();
    let arn = bench.tagged(vec![tag("plant", "3"), valueless, tag("Größe: x/y", "")]).await;
    let wanted = pairs([("plant", "3"), ("line", ""), ("Größe: x/y", "")]);
    assert_eq!(bench.tags(&arn).await, wanted);
    let id = arn.rsplit('/').next().unwrap().parse().unwrap();
    assert_eq!(bench.sandbox.ledger().authority(id).unwrap().tags, wanted);
    assert_eq!(bench.sandbox.ledger().calls().pop().unwrap().certificate_id, Some(id));
}

#[tokio::test]
async fn tags_outside_the_limits_are_refused() {
    let bench = Bench::unlimited().await;
    bench.tagged(tags(50)).await;
    bench.tagged(vec![tag("x".repeat(128), "y".repeat(256))]).await;
    for tags in [
        tags(51),
        vec![tag("twin", "a"), tag("twin", "b")],
        vec![tag("", "a")],
        vec![tag("x".repeat(129), "a")],
        vec![tag("key", "y".repeat(257))],
        vec![tag("aws:own", "a")],
        vec![tag("AWS:own", "a")],
        vec![tag("key;", "a")],
    ] {
        let request = bench.register_sni_only(&Ca::new("Plant CA")).set_tags(Some(tags));
        assert_eq!(refusal(request.send().await), "InvalidRequestException");
    }
    assert_eq!(bench.sandbox.ledger().n_authorities(), 2);
}

#[tokio::test]
async fn tags_are_added_overwritten_and_removed() {
    let bench = Bench::unlimited().await;
    let arn = bench.tagged(vec![tag("plant", "3"), tag("line", "7")]).await;
    let change = bench.iot.tag_resource().resource_arn(&arn).tags(tag("line", "8")).tags(tag("shift", "night"));
    change.send().await.unwrap();
    bench.iot.untag_resource().resource_arn(&arn).tag_keys("plant").tag_keys("nothing").send().await.unwrap();
    assert_eq!(bench.tags(&arn).await, pairs([("line", "8"), ("shift", "night")]));

    let reserved = bench.iot.tag_resource().resource_arn(&arn).tags(tag("aws:own", "a")).send().await;
    assert_eq!(refusal(reserved), "InvalidRequestException");
    let most = bench.iot.tag_resource().resource_arn(&arn).set_tags(Some(tags(48)));
    most.send().await.unwrap();
    let more = bench.iot.tag_resource().resource_arn(&arn).tags(tag("one more", "a")).send().await;
    assert_eq!(refusal(more), "LimitExceededException");
    assert_eq!(bench.tags(&arn).await.len(), 50);
    let calls = bench.sandbox.ledger().summaries();
    assert_eq!((calls[&ApiOperation::TagResource].calls, calls[&ApiOperation::UntagResource].calls), (4, 1));
}

#[tokio::test]
async fn only_existing_cas_have_tags() {
    let bench = Bench::unlimited().await;
    let arn = bench.tagged(Vec::new()).await;
    assert!(bench.tags(&arn).await.is_empty());
    let cacert = "arn:aws:iot:us-east-1:000000000000:cacert";
    for (arn, code) in [
        (format!("{cacert}/{}", "0".repeat(64)), "ResourceNotFoundException"),
        (format!("{cacert}/none"), "ResourceNotFoundException"),
        (arn.replace("us-east-1", "us-west-2"), "ResourceNotFoundException"),
        ("no arn".to_owned(), "InvalidRequestException"),
    ] {
        let listed = bench.iot.list_tags_for_resource().resource_arn(&arn).send().await;
        assert_eq!(refusal(listed), code, "{arn}");
        let added = bench.iot.tag_resource().resource_arn(&arn).tags(tag("a", "b")).send().await;
        assert_eq!(refusal(added), code, "{arn}");
        let removed = bench.iot.untag_resource().resource_arn(&arn).tag_keys("a").send().await;
        assert_eq!(refusal(removed), code, "{arn}");
    }
}

//! Large and many: pages, memory and file descriptors are bounded, whatever the input.

use std::collections::BTreeMap;
use std::time::Duration;

use muster::engine::serve::Until;
use muster::http::service::Service;
use muster_core::outcome::Code;
use tokio_util::sync::CancellationToken;

use crate::factory::{Factory, count_only, patient_queue_attributes};
use crate::proxy::{Conduct, Proxy};

/// Creates a factory whose queue has a visibility timeout long enough for a busy machine.
async fn factory() -> Factory {
    Factory::with_queue(count_only(), 1000.0, patient_queue_attributes()).await
}

/// Sends `n` jobs whose text is far too long, of `n_bytes` bytes each.
async fn send_large(factory: &Factory, n: usize, n_bytes: usize) {
    for i in 0..n {
        let text = format!("{i}{}", "x".repeat(n_bytes));
        factory.send(&[Factory::job(&text).to_body()]).await;
    }
}

/// A page with all outcomes takes several timeouts on this link.
#[tokio::test(flavor = "multi_thread")]
async fn pages_too_large_for_a_slow_link_are_split() {
    let mut factory = factory().await;
    let proxy = Proxy::before(&factory.database.url).await;
    factory.config.database.url = proxy.url.as_str().into();
    factory.config.database.timeout = Duration::from_millis(800).into();
    send_large(&factory, 40, 250_000).await;
    factory.enqueue(&factory.leaves(20)).await;
    let service = Service::start(&factory.config, Until::Empty, CancellationToken::new()).await.unwrap();
    proxy.conduct(Conduct::Narrow(4_000_000));
    tokio::time::timeout(Duration::from_mins(2), service.run()).await.expect("the worker does not finish").unwrap();
    assert_eq!(factory.outcomes().await, BTreeMap::from([(Code::PemTooLong, 40), (Code::Ok, 20)]));
    assert_eq!((factory.counts("jobs").deleted, factory.n_calls()), (60, 20));
}

/// A single row that takes longer than the timeout is given more time.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_takes_longer_than_the_timeout_is_still_written() {
    let mut factory = factory().await;
    let proxy = Proxy::before(&factory.database.url).await;
    factory.config.database.url = proxy.url.as_str().into();
    factory.config.database.timeout = Duration::from_millis(800).into();
    send_large(&factory, 1, 900_000).await;
    let service = Service::start(&factory.config, Until::Empty, CancellationToken::new()).await.unwrap();
    proxy.conduct(Conduct::Narrow(500_000));
    tokio::time::timeout(Duration::from_mins(1), service.run()).await.expect("the worker does not finish").unwrap();
    assert_eq!(factory.outcomes().await, BTreeMap::from([(Code::PemTooLong, 1)]));
}

/// Returns the peak memory of a process, in MiB.
fn peak_mib(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? / 1024)
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn three_hundred_large_messages_need_at_most_400_mib() {
    let factory = factory().await;
    send_large(&factory, 300, 1_000_000).await;
    let mut serving = factory.command(&["serve", "--until-empty"]).spawn().unwrap();
    let pid = serving.id().unwrap();
    let mut highest = 0;
    let exit_status = loop {
        highest = highest.max(peak_mib(pid).unwrap_or_default());
        if let Ok(exit_status) = tokio::time::timeout(Duration::from_millis(20), serving.wait()).await {
            break exit_status.unwrap();
        }
    };
    assert_eq!(exit_status.code(), Some(3), "all are rejected");
    assert_eq!(factory.outcomes().await, BTreeMap::from([(Code::PemTooLong, 300)]));
    assert!((1..=400).contains(&highest), "{highest} MiB");
}

/// Runs a worker under shell limits until the queue is empty; returns its standard error.
async fn serve_under(factory: &Factory, limits: &str) -> String {
    let command = factory.command(&["serve", "--until-empty"]);
    let (program, arguments) = (command.as_std().get_program(), command.as_std().get_args());
    let mut limited = tokio::process::Command::new("sh");
    limited.arg("-c").arg(format!("{limits} && exec \"$0\" \"$@\"")).arg(program).args(arguments);
    limited.current_dir(factory.folder()).env("AWS_ACCESS_KEY_ID", "sandbox").env("AWS_SECRET_ACCESS_KEY", "sandbox");
    let output = limited.output().await.unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{stderr}");
    stderr
}

#[tokio::test(flavor = "multi_thread")]
async fn a_low_file_descriptor_limit_loses_nothing() {
    for (limits, words) in
        [("ulimit -n 200", "too few file descriptors"), ("ulimit -Sn 200", "raised the limit of file descriptors")]
    {
        let factory = factory().await;
        factory.enqueue(&factory.leaves(300)).await;
        let stderr = serve_under(&factory, limits).await;
        assert!(stderr.contains(words), "{limits}: {stderr}");
        assert_eq!(factory.outcomes().await, BTreeMap::from([(Code::Ok, 300)]), "{limits}");
        assert_eq!((factory.counts("jobs").deleted, factory.counts("jobs-dead").sent), (300, 0), "{limits}: {stderr}");
    }
}

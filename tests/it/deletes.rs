//! At the moment the queue receives a delete, another connection sees the committed outcome of the message.

use std::sync::{Arc, Mutex};

use muster_core::certificate::Certificate;
use muster_core::job::Job;
use muster_sandbox::{ApiOperation, Deleting, Effect, Fault};
use sqlx::postgres::PgPool;

use crate::factory::Factory;

/// The deletes seen so far, and the messages among them without a committed outcome.
#[derive(Default)]
struct Seen {
    n: usize,
    uncommitted: Vec<String>,
}

fn watch(factory: &Factory) -> Arc<Mutex<Seen>> {
    let seen: Arc<Mutex<Seen>> = Arc::default();
    let (result, pool) = (Arc::clone(&seen), factory.database.pool.clone());
    factory.sandbox.watch_deletes(move |messages| {
        let (seen, pool) = (Arc::clone(&seen), pool.clone());
        async move {
            for message in messages {
                let is_recorded = is_committed(&pool, &message).await;
                let mut seen = seen.lock().unwrap();
                seen.n += 1;
                if !is_recorded {
                    seen.uncommitted.push(message.message_id);
                }
            }
        }
    });
    result
}

async fn is_committed(pool: &PgPool, message: &Deleting) -> bool {
    let query = match Job::parse(&message.body) {
        Ok(job) => {
            let id = Certificate::from_pem(job.request.pem()).unwrap().id();
            sqlx::query_scalar("select exists (select from registrations where subject = $1)").bind(id.0.to_vec())
        }
        Err(_) => sqlx::query_scalar("select exists (select from quarantine where message_id = $1)")
            .bind(message.message_id.clone()),
    };
    query.fetch_one(pool).await.unwrap()
}

/// Slows down every commit, so that a message deleted too early is deleted before its commit.
async fn slow_down_commits(factory: &Factory) {
    let trigger = "
        create function wait() returns trigger language plpgsql as $$ begin perform pg_sleep(0.1); return null; end $$;
        create constraint trigger wait after insert on batches initially deferred for each row execute function wait();
        create constraint trigger wait after insert on quarantine initially deferred for each row execute function wait()";
    sqlx::raw_sql(trigger).execute(&factory.database.pool).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn no_message_is_deleted_before_its_outcome_is_committed() {
    let factory = Factory::new(1000.0).await;
    slow_down_commits(&factory).await;
    let seen = watch(&factory);
    factory.enqueue(&factory.leaves(40)).await;
    factory.send(&["no job".to_owned()]).await;
    factory.drain().await;
    let seen = seen.lock().unwrap();
    assert_eq!((seen.n, &seen.uncommitted), (41, &vec![]));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_message_is_deleted_before_its_outcome_is_committed_despite_faults() {
    let factory = Factory::new(500.0).await;
    slow_down_commits(&factory).await;
    let seen = watch(&factory);
    let lost = Fault::new(ApiOperation::DeleteMessageBatch, Effect::Reset { executed: true });
    let failed = Effect::FailEntries { entries: 2, code: "InternalError".to_owned(), sender_fault: false };
    for fault in [
        Fault::new(ApiOperation::RegisterCertificate, Effect::Reset { executed: true }).for_share(0.2, 1),
        Fault::new(ApiOperation::ReceiveMessage, Effect::DeliverTwice).calls(3),
        lost.calls(2),
        Fault::new(ApiOperation::DeleteMessageBatch, failed).calls(3),
        Fault::new(ApiOperation::DeleteMessageBatch, Effect::StaleHandles).calls(3),
    ] {
        factory.sandbox.faults().set(fault).unwrap();
    }
    factory.enqueue(&factory.leaves(100)).await;
    factory.drain().await;
    let seen = seen.lock().unwrap();
    assert!(seen.n >= 100, "only {} deletes were seen", seen.n);
    assert_eq!(seen.uncommitted, Vec::<String>::new());
}

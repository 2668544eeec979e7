//! The user's own certificates in place of made-up ones: they go through the two passes of enqueueing.

use std::sync::Arc;

use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;

use super::line::BATCH;
use super::stage::DemoStage;
use crate::cli::enqueue::{Files, FirstRejects, Summary, passes};
use crate::cli::progress::Progress;
use crate::intake::ca_folder::known_cas;
use crate::intake::enqueue::{BatchOrder, BatchSender, Judge, Planner};
use crate::intake::manifest::Manifest;
use muster_core::job::DEFAULT_TARGET;

/// What became of the user's own files before their jobs were served.
pub(super) struct OwnFiles {
    /// The numbers.
    pub summary: Summary,
    /// The first of the rejects.
    rejects: FirstRejects,
}

impl OwnFiles {
    /// Prechecks what is in the files and sends what passed.
    pub(super) async fn enqueue(
        stage: &DemoStage,
        manifest: Manifest,
        progress: &Progress,
        stop: &CancellationToken,
    ) -> anyhow::Result<Self> {
        let order = Arc::new(BatchOrder {
            batch: BATCH.parse()?,
            source: None,
            target: DEFAULT_TARGET.parse()?,
            status: None,
            verify: false,
            cas: Arc::new([]),
            without_ca: false,
        });
        let files = Files::of(&manifest)?;
        let settings = &stage.config.precheck;
        let judge = Judge::new(settings.policy(), known_cas(settings)?, OffsetDateTime::now_utc());
        let planner = Planner::new(manifest, Arc::clone(&order), judge);
        let mut rejects = FirstRejects::default();
        let mut sink = |reject| {
            rejects.push(reject);
            Ok(())
        };
        // Where it was stopped, nothing is sent.
        let (spool, tally) = passes::read(planner, progress, stop, &mut sink).await?.unwrap_or_default();
        let mut summary = Summary::new(&order, files, tally, stage.quota());
        let sender = BatchSender::new(stage.queue.clone(), order, spool, summary.tally.batch_size())?;
        passes::send(sender, &mut summary, progress, stop, &mut sink).await?;
        Ok(Self { summary, rejects })
    }

    /// Lists what was not sent, and why.
    pub(super) fn list_rejects(&self, progress: &Progress) {
        self.rejects.list(progress, "`muster enqueue --dry-run --rejects FILE` writes all of them to a file");
    }
}

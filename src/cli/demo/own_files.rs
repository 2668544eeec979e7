//! The user's own certificates instead of generated ones: they go through the two passes of `muster enqueue`.

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

/// The result of enqueueing the user's own files.
pub(super) struct OwnFiles {
    /// The counts of the run.
    pub summary: Summary,
    /// The first rejects.
    rejects: FirstRejects,
}

impl OwnFiles {
    /// Prechecks the certificates in the files and sends those that pass.
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
        // If stopped while reading, nothing is sent.
        let (spool, tally) = passes::read(planner, progress, stop, &mut sink).await?.unwrap_or_default();
        let mut summary = Summary::new(&order, files, tally, stage.quota());
        let sender = BatchSender::new(stage.queue.clone(), order, spool, summary.tally.batch_size())?;
        passes::send(sender, &mut summary, progress, stop, &mut sink).await?;
        Ok(Self { summary, rejects })
    }

    /// Lists the certificates that were not sent, with the reasons.
    pub(super) fn list_rejects(&self, progress: &Progress) {
        self.rejects.list(progress, "`muster enqueue --dry-run --rejects FILE` writes all of them to a file");
    }
}

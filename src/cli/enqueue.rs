//! `muster enqueue`: prechecks the certificates in files and sends them to the queue.

mod first_rejects;
pub(super) mod passes;
mod summary;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use time::OffsetDateTime;
use time::macros::format_description;

use super::progress::Progress;
use super::{exit, signals, stdout};
use crate::aws::identity;
use crate::aws::queue::Queue;
use crate::config::Config;
use crate::health::clock::Clock;
use crate::intake::ca_folder::known_cas;
use crate::intake::enqueue::{BatchOrder, BatchSender, Judge, Planner, RejectsFile, RejectsWritten};
use crate::intake::manifest::{CaFile, Manifest};
use crate::runtime::output_file::ChosenBy;
use muster_core::job::{CertificateStatus, DEFAULT_TARGET, Name};
use muster_core::rate::Rate;

pub(super) use first_rejects::FirstRejects;
pub(super) use summary::{Files, Summary};

/// Sends the certificates in files to the queue.
///
/// First everything is read and prechecked, so that no AWS call is wasted on a certificate that cannot pass; then the
/// certificates that passed are sent. Duplicates are sent once. Sending a certificate again is harmless.
///
/// A file contains one or more certificates, PEM or DER; other text in it is ignored. Folders are read recursively:
/// files named .pem, .crt, .cer, .cert and .der are read; PKCS#7 and PKCS#12 containers (.p7b, .p7c, .p12, .pfx) are
/// rejected with the command that converts them. The rejects file of an earlier run is accepted too, including its
/// refs.
///
/// Everything that looks like a certificate is sent or rejected, even if its BEGIN or END line is damaged. CA
/// certificates are not sent: those of --ca and of the settings, those that issued another certificate of this run (in
/// any order), and those in a file with something unreadable. A certificate next to a private key is rejected.
///
/// If a file contains one device, the job's `ref` is the file name without its extension; other jobs have no `ref`.
#[derive(Args, Debug)]
#[command(after_help = AFTER_HELP)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(super) struct Enqueue {
    /// Files and folders to read; `-` is standard input.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Batch under which the jobs are counted [default: `enqueue-` and the current time].
    #[arg(long, value_name = "NAME")]
    batch: Option<Name>,
    /// Factory line that the jobs come from; each line gets a fair share of the queue.
    #[arg(long, value_name = "NAME")]
    source: Option<Name>,
    /// File of the issuing CAs (PEM or DER). Signatures are verified with them, and each job carries the CA that signed
    /// its certificate.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Registers the certificates without a CA (RegisterCertificateWithoutCA): AWS need not know the issuer, but
    /// devices must send the server name (SNI) when they connect.
    #[arg(long, conflicts_with = "ca")]
    without_ca: bool,
    /// Status to register the certificates with; AWS's default is INACTIVE.
    #[arg(long, ignore_case = true, value_parser = status())]
    status: Option<CertificateStatus>,
    /// Target (account and region), by its name in the settings.
    #[arg(long, default_value = DEFAULT_TARGET, value_name = "NAME")]
    target: Name,
    /// Asks AWS even if the ledger already knows a certificate.
    #[arg(long)]
    verify: bool,
    /// File for rejects. An existing file is replaced at the end if there were rejects; devices and FIFOs are written
    /// directly [default: BATCH.rejects.jsonl in the current folder].
    #[arg(long, value_name = "FILE")]
    rejects: Option<PathBuf>,
    /// Sends nothing: reads, prechecks and estimates how long the registrations would take. Lists the first ten
    /// rejects; with --rejects, writes all of them.
    #[arg(long)]
    dry_run: bool,
    /// Prints the counts as JSON.
    #[arg(long)]
    json: bool,
}

/// Longest wait for AWS's clock.
const CLOCK_TIMEOUT: Duration = Duration::from_secs(5);

const AFTER_HELP: &str = "\
The rejects file has one JSON object per line: file, line, ref, certificateId, subject, code, reason, hint and \
certificatePem, each if it is known. To retry the rejects, pass the file itself:

  muster enqueue --batch BATCH BATCH.rejects.jsonl

Exit codes:
  0    everything was sent
  1    something could not be sent, or another error occurred
  3    everything was sent except for the rejects
  130  interrupted
For other exit codes see `muster --help`.";

fn status() -> impl TypedValueParser<Value = CertificateStatus> {
    PossibleValuesParser::new(["ACTIVE", "INACTIVE", "REVOKED"])
        .map(|text| text.to_ascii_uppercase().parse().expect("the possible values are statuses"))
}

impl Enqueue {
    /// Reads, prechecks and sends the certificates.
    pub(super) async fn run(self, config: &Config) -> anyhow::Result<ExitCode> {
        let order = Arc::new(self.order()?);
        let quota = quota(config, &order)?;
        let (policy, cas) = (config.precheck.policy(), known_cas(&config.precheck)?);
        let manifest = Manifest::find(&self.paths)?;
        let mut rejects = self.rejects_file(&order.batch)?;
        // Opened before everything is read, so that a wrong name fails at once.
        let queue = if self.dry_run { None } else { Some(open(config).await?) };
        let clock = if self.dry_run { Clock::default() } else { clock(config).await };
        let judge = Judge::new(policy, cas, clock.now());

        let stop = signals::stop_token()?;
        let progress = Progress::new();
        progress.say(&format!("batch {}", order.batch));
        let files = Files::of(&manifest)?;
        let planner = Planner::new(manifest, Arc::clone(&order), judge);
        let mut first = FirstRejects::default();
        let is_listed = rejects.is_none();
        let mut sink = |reject| {
            rejects.as_mut().map_or(Ok(()), |file| file.push(&reject))?;
            first.push(reject);
            Ok(())
        };
        let Some((spool, tally)) = passes::read(planner, &progress, &stop, &mut sink).await? else {
            progress.say("interrupted while reading: nothing was sent");
            return Ok(exit::INTERRUPTED.into());
        };
        let mut summary = Summary::new(&order, files, tally, quota);
        let sending = if let Some(queue) = queue {
            let sender = BatchSender::new(queue, Arc::clone(&order), spool, summary.tally.batch_size())?;
            passes::send(sender, &mut summary, &progress, &stop, &mut sink).await
        } else {
            summary.set_dry();
            Ok(())
        };
        let written = rejects.map_or(Ok(RejectsWritten::Nothing), RejectsFile::finish);
        if let Ok(RejectsWritten::Here(path)) = &written {
            summary.rejects_file = Some(path.clone());
        }
        if is_listed {
            first.list(&progress, "--rejects FILE writes all of them to a file");
        }
        // The numbers are reported even if the file cannot be written: messages may have been sent.
        self.report(&summary)?;
        if let Ok(RejectsWritten::Earlier(path)) = &written {
            progress.say(&format!("{} is from an earlier run: this run wrote no rejects", path.display()));
        }
        if summary.not_sent() > 0 {
            let batch = &order.batch;
            progress.say(&format!(
                "To continue, run this again with --batch {batch}: certificates already sent cost nothing."
            ));
        }
        sending?;
        written.context("cannot write the rejects file")?;
        let is_interrupted = stop.is_cancelled() && summary.not_sent() > 0;
        Ok(if is_interrupted { exit::INTERRUPTED.into() } else { summary.exit_code() })
    }

    fn order(&self) -> anyhow::Result<BatchOrder> {
        Ok(BatchOrder {
            batch: self.batch.clone().unwrap_or_else(|| generated_batch(OffsetDateTime::now_utc())),
            source: self.source.clone(),
            target: self.target.clone(),
            status: self.status,
            verify: self.verify,
            cas: self.ca.as_deref().map_or_else(|| Ok(vec![]), CaFile::read_cas)?.into(),
            without_ca: self.without_ca,
        })
    }

    /// Opens the rejects file; `None` for a dry run without `--rejects`.
    fn rejects_file(&self, batch: &Name) -> anyhow::Result<Option<RejectsFile>> {
        let (path, chosen_by) = match &self.rejects {
            Some(path) => (path.clone(), ChosenBy::Option("--rejects")),
            None if self.dry_run => return Ok(None),
            None => (default_rejects_path(batch), ChosenBy::Default("--rejects")),
        };
        RejectsFile::open(path, chosen_by).map(Some).context("cannot write the rejects file")
    }

    fn report(&self, summary: &Summary) -> anyhow::Result<()> {
        if self.json {
            stdout::print_json(summary)?;
        } else {
            stdout::print(summary)?;
        }
        Ok(())
    }
}

async fn open(config: &Config) -> anyhow::Result<Queue> {
    let aws = identity::load(&config.aws.access()).await;
    Queue::open(&aws, &config.queue.name).await.context("cannot open the queue")
}

/// Returns AWS's clock, because AWS has the last word on validity, or this machine's if AWS does not answer.
async fn clock(config: &Config) -> Clock {
    let clock = Clock::default();
    let ahead = identity::ask(&config.aws.access(), CLOCK_TIMEOUT).await.clock_ahead;
    ahead.inspect(|&ahead| clock.set_ahead(ahead));
    clock
}

/// Returns the quota of the target's operation.
fn quota(config: &Config, order: &BatchOrder) -> anyhow::Result<Rate> {
    let settings = config.target(&order.target).map_err(|unknown| anyhow!("{unknown}"))?;
    Ok(settings.rates.of(order.operation()))
}

fn generated_batch(now: OffsetDateTime) -> Name {
    let format = format_description!("enqueue-[year]-[month]-[day]T[hour]-[minute]-[second]Z");
    let text = now.format(format).expect("a time in UTC has all parts");
    text.parse().expect("letters, digits and dashes form a valid name")
}

/// Returns the default path. A batch name may contain characters that a file name may not.
fn default_rejects_path(batch: &Name) -> PathBuf {
    format!("{}.rejects.jsonl", batch.as_str().replace(['/', ':'], "_")).into()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use time::macros::datetime;

    use super::*;

    #[test]
    fn a_generated_batch_name_contains_the_time() {
        let batch = generated_batch(datetime!(2026-11-21 10:15:00.5 UTC));
        assert_eq!(batch.as_str(), "enqueue-2026-11-21T10-15-00Z");
    }

    #[test]
    fn batch_names_become_valid_file_names() {
        let path = default_rejects_path(&"plant/7:a".parse().unwrap());
        assert_eq!(path, Path::new("plant_7_a.rejects.jsonl"));
    }
}

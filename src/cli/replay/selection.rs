//! Which jobs are meant: the arguments, as a filter.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{ArgGroup, Args};
use strum::VariantArray;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::cli::status::counters;
use crate::cli::words;
use crate::ledger::Ledger;
use muster_core::certificate::CertificateId;
use muster_core::job::Name;
use muster_core::outcome::{Code, Status};
use muster_core::replay_filter::{CERTIFICATES_MAX, ReplayFilter};

/// Which jobs are meant: those that fit in every respect.
#[derive(Args, Debug)]
#[command(group = ArgGroup::new("scope").required(true).multiple(true).args(["batches", "all_batches", "certificates"]))]
pub(super) struct Selection {
    /// The batches.
    #[arg(value_name = "BATCH")]
    batches: Vec<Name>,
    /// Every batch of the ledger.
    #[arg(long, conflicts_with = "batches")]
    all_batches: bool,
    /// The certificates whose ids stand in a file, one in a line; `-` is standard input.
    #[arg(long, value_name = "FILE")]
    certificates: Option<PathBuf>,
    /// Only of these factory lines.
    #[arg(long = "source", value_name = "NAME", value_delimiter = ',')]
    sources: Vec<Name>,
    /// Only what ended for these reasons, as `muster status` names them.
    #[arg(long = "code", value_name = "CODE", value_delimiter = ',', value_parser = words::codes(|its| !its.is_success()), hide_possible_values = true)]
    codes: Vec<Code>,
    /// Only what ended so, for whatever reason.
    #[arg(long = "status", value_name = "STATUS", value_delimiter = ',', value_parser = words::statuses(|its| !its.is_success()))]
    statuses: Vec<Status>,
    /// Only what ended then or later: a time like 2026-11-21T10:00:00Z, or so long ago, like 2h.
    #[arg(long, value_name = "TIME", value_parser = time)]
    since: Option<OffsetDateTime>,
    /// Only what ended before.
    #[arg(long, value_name = "TIME", value_parser = time)]
    until: Option<OffsetDateTime>,
    /// Also what was sent again and has not ended since: where its message is lost.
    #[arg(long)]
    even_sent: bool,
}

/// What the arguments cannot mean.
#[derive(Debug, thiserror::Error)]
pub(in crate::cli) enum SelectionError {
    /// A line of the file is no id.
    #[error("line {line} of {}: {error}", path.display())]
    NoId {
        /// The file.
        path: PathBuf,
        /// Which line, from 1 on.
        line: usize,
        /// What is wrong with it.
        error: muster_core::certificate::CertificateIdError,
    },
    /// The file names none.
    #[error("{} names no certificate", .0.display())]
    NoCertificate(PathBuf),
    /// The file names too many.
    #[error("{} names more than {CERTIFICATES_MAX} certificates, give them in parts", .0.display())]
    TooMany(PathBuf),
}

impl Selection {
    /// The filter that the arguments mean.
    pub(super) fn filter(&self) -> anyhow::Result<ReplayFilter> {
        let texts = |names: &[Name]| names.iter().map(ToString::to_string).collect();
        let certificates = self.certificates.as_deref().map(read_ids).transpose()?;
        Ok(ReplayFilter {
            batches: texts(&self.batches),
            sources: texts(&self.sources),
            codes: self.wanted_codes(),
            since: self.since,
            until: self.until,
            certificates: certificates.unwrap_or_default(),
            even_sent: self.even_sent,
        })
    }

    fn wanted_codes(&self) -> BTreeSet<Code> {
        if self.codes.is_empty() && self.statuses.is_empty() {
            return ReplayFilter::usual_codes();
        }
        let of_status = Code::VARIANTS.iter().copied().filter(|code| self.statuses.contains(&code.status()));
        self.codes.iter().copied().chain(of_status).collect()
    }

    /// Checks that the ledger knows the batches: a slip of the pen would look as if nothing had failed.
    pub(super) async fn check_batches(&self, ledger: &Ledger) -> anyhow::Result<()> {
        for batch in &self.batches {
            counters(ledger, batch).await?;
        }
        Ok(())
    }
}

/// Reads an instant, or a span before now.
fn time(text: &str) -> Result<OffsetDateTime, String> {
    if let Ok(time) = OffsetDateTime::parse(text, &Rfc3339) {
        return Ok(time);
    }
    let span: humantime::Duration =
        text.parse().map_err(|_| "expected a time like 2026-11-21T10:00:00Z, or a span like 2h".to_owned())?;
    let ago = time::Duration::try_from(*span).ok().and_then(|span| OffsetDateTime::now_utc().checked_sub(span));
    ago.map(OffsetDateTime::truncate_to_second).ok_or_else(|| format!("{text} is too long ago"))
}

/// Reads ids, one in a line; empty lines and those that begin with `#` are passed over.
fn read_ids(path: &Path) -> anyhow::Result<BTreeSet<CertificateId>> {
    let mut text = String::new();
    let read = if path == Path::new("-") {
        std::io::stdin().read_to_string(&mut text)
    } else {
        std::fs::File::open(path).and_then(|mut file| file.read_to_string(&mut text))
    };
    read.with_context(|| format!("cannot read {}", path.display()))?;
    let mut ids = BTreeSet::new();
    let lines = text.lines().enumerate().map(|(i, line)| (i + 1, line.trim()));
    for (line, text) in lines.filter(|(_, text)| !text.is_empty() && !text.starts_with('#')) {
        let id = text.parse().map_err(|error| SelectionError::NoId { path: path.to_owned(), line, error })?;
        ids.insert(id);
    }
    match ids.len() {
        0 => Err(SelectionError::NoCertificate(path.to_owned()).into()),
        1..=CERTIFICATES_MAX => Ok(ids),
        _ => Err(SelectionError::TooMany(path.to_owned()).into()),
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, FromArgMatches};

    use super::*;

    fn selection(arguments: &[&str]) -> Result<Selection, clap::Error> {
        #[derive(clap::Parser)]
        struct Command {
            #[command(flatten)]
            selection: Selection,
        }
        let matches = Command::command().no_binary_name(true).try_get_matches_from(arguments)?;
        Ok(Command::from_arg_matches(&matches)?.selection)
    }

    #[test]
    fn something_must_be_named() {
        assert!(selection(&[]).is_err() && selection(&["--code", "timeout"]).is_err());
        assert!(selection(&["b"]).is_ok() && selection(&["--all-batches"]).is_ok());
        assert!(selection(&["b", "--all-batches"]).is_err(), "all, or these");
    }

    #[test]
    fn a_good_end_is_no_reason_to_send_again() {
        assert!(selection(&["b", "--code", "ok"]).is_err() && selection(&["b", "--status", "registered"]).is_err());
    }

    #[test]
    fn a_status_stands_for_all_its_codes() {
        let filter = selection(&["b", "--status", "refused", "--code", "expired,timeout"]).unwrap().filter().unwrap();
        assert!(filter.codes.contains(&Code::IdMismatch) && filter.codes.contains(&Code::Expired));
        assert!(filter.codes.contains(&Code::Timeout) && !filter.codes.contains(&Code::ServerError));
        let usual = selection(&["b"]).unwrap().filter().unwrap();
        assert_eq!(usual.codes, ReplayFilter::usual_codes());
    }

    #[test]
    fn a_time_is_an_instant_or_a_span_before_now() {
        assert_eq!(time("2026-11-21T10:00:00Z").unwrap().unix_timestamp(), 1_795_255_200);
        let ago = OffsetDateTime::now_utc() - time("2h").unwrap();
        assert!(ago >= time::Duration::hours(2) && ago < time::Duration::hours(3));
        assert!(time("yesterday").is_err() && time("99999999years").is_err());
    }

    #[test]
    fn a_line_that_is_no_id_is_told_by_its_number() {
        let folder = tempfile::tempdir().unwrap();
        let read = |text: &str| {
            let path = folder.path().join("ids");
            std::fs::write(&path, text).unwrap();
            read_ids(&path)
        };
        let id = "ab".repeat(32);
        assert_eq!(read(&format!("# mine\r\n\r\n  {id}  \n{id}\n")).unwrap().len(), 1);
        assert!(read(&format!("{id}\nSN-7\n")).unwrap_err().to_string().starts_with("line 2 of "));
        assert!(read("# none\n").unwrap_err().to_string().ends_with("names no certificate"));
    }
}

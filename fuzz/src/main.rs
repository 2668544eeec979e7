//! `cargo fuzz-slice`: checks the corpus, the hostile inputs and a number of mutations, which depend only on the seed.
//!
//! Each failing input is written to a file, and `cargo fuzz-slice FILE` checks it again.

use std::fs;
use std::io;
use std::panic;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use muster_fuzz::mutator::mutated;
use muster_fuzz::targets::Target;
use strum::VariantArray;

/// Maximum time for one input: ten thousand times what a valid one takes, and far above what a busy machine adds.
const TIME_MAX: Duration = Duration::from_secs(2);

/// Feeds malformed input to the readers of messages and certificates.
#[derive(Debug, Parser)]
struct Arguments {
    /// Number of mutations of the corpus to check for each target.
    #[arg(long, default_value_t = 10_000)]
    mutations: u64,
    /// Seed of the mutations: the same seed gives the same mutations.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Check only this file. Its name or its folder must contain the name of the target.
    file: Option<PathBuf>,
}

fn main() -> io::Result<ExitCode> {
    let arguments = Arguments::parse();
    let all_hold = match &arguments.file {
        Some(file) => check_file(file)?,
        None => check_all(&arguments)?,
    };
    Ok(if all_hold { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn check_file(file: &Path) -> io::Result<bool> {
    let path = file.display().to_string();
    let input = fs::read(file)?;
    let mut targets = Target::VARIANTS.iter().filter(|target| path.contains(target.name()));
    Ok(targets.all(|&target| holds(target, &input)))
}

#[expect(clippy::print_stdout, reason = "the figures are the command's data")]
fn check_all(arguments: &Arguments) -> io::Result<bool> {
    let mut n_failed = 0;
    for &target in Target::VARIANTS {
        let started = Instant::now();
        let corpus = corpus(target)?;
        let hostile = target.hostile();
        let given = corpus.iter().chain(&hostile).cloned().map(|input| ("given".to_owned(), input));
        let mutations = (0..arguments.mutations)
            .map(|number| (format!("{}-{number}", arguments.seed), mutated(&corpus, arguments.seed, number)));
        for (name, input) in given.chain(mutations) {
            if !holds(target, &input) {
                n_failed += 1;
                report(target, &name, &input)?;
            }
        }
        println!(
            "{}: {} given, {} mutations with seed {}, {:.1} s",
            target.name(),
            corpus.len() + hostile.len(),
            arguments.mutations,
            arguments.seed,
            started.elapsed().as_secs_f64()
        );
    }
    Ok(n_failed == 0)
}

/// Reads the files of a target's corpus, sorted by name.
fn corpus(target: Target) -> io::Result<Vec<Vec<u8>>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target.name());
    let mut files = fs::read_dir(folder)?.map(|file| Ok(file?.path())).collect::<io::Result<Vec<_>>>()?;
    files.sort();
    files.iter().map(fs::read).collect()
}

/// Returns whether an input passes its checks in time. A failed check panics and prints why.
fn holds(target: Target, input: &[u8]) -> bool {
    let started = Instant::now();
    let is_ok = panic::catch_unwind(|| target.check(input)).is_ok();
    is_ok && started.elapsed() <= TIME_MAX
}

#[expect(clippy::print_stderr, reason = "a failure is for people")]
fn report(target: Target, name: &str, input: &[u8]) -> io::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/fuzz");
    fs::create_dir_all(&folder)?;
    let path = folder.join(format!("{}-{name}", target.name()));
    fs::write(&path, input)?;
    eprintln!("failed, or took longer than {TIME_MAX:?}: cargo fuzz-slice {}", path.display());
    Ok(())
}

//! The workers: the real program on several seats, restarted whenever it exits.

use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWriteExt, BufReader};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::server::kill;
use crate::violations::Violations;

/// The secret of the workers' AWS credentials, which must never leak.
pub(crate) const AWS_CANARY: &str = "canary-of-the-aws-secret";

/// How long until a worker that exited is restarted.
const PAUSE: Duration = Duration::from_millis(100);

/// Size of the log pipe in bytes: the smallest that the system allows, so that it fills up.
const LOG_PIPE: usize = 4096;

/// The workers, present and past.
pub(crate) struct Fleet {
    seats: Vec<Arc<Mutex<Seat>>>,
    tasks: JoinSet<()>,
    stop: CancellationToken,
}

/// What is needed to start a worker.
#[derive(Clone)]
pub(crate) struct Recipe {
    pub(crate) settings: PathBuf,
    pub(crate) folder: PathBuf,
    /// Texts that must never leak.
    pub(crate) canaries: Vec<String>,
    pub(crate) violations: Violations,
}

/// The seat of one worker at a time.
#[derive(Default)]
struct Seat {
    pid: Option<u32>,
    /// What the storm did to the current worker.
    was_killed: bool,
    was_frozen: bool,
    terminated_at: Option<Instant>,
    admin: Option<String>,
    /// Its log is not read until then.
    log_ignored_until: Option<Instant>,
    exits: Vec<Exit>,
}

/// How a worker exited.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Exit {
    pub(crate) status: ExitStatus,
    pub(crate) was_killed: bool,
    pub(crate) was_frozen: bool,
    /// Whether it got as far as receiving messages.
    pub(crate) had_started: bool,
    /// When it was told to stop, and how long that took.
    pub(crate) terminated: Option<(Instant, Duration)>,
}

impl Fleet {
    pub(crate) fn start(n: usize, recipe: &Recipe) -> Self {
        let (mut tasks, stop) = (JoinSet::new(), CancellationToken::new());
        let seats: Vec<Arc<Mutex<Seat>>> = (0..n).map(|_| Arc::default()).collect();
        for (i, seat) in seats.iter().enumerate() {
            tasks.spawn(occupy(i, Arc::clone(seat), recipe.clone(), stop.clone()));
        }
        Self { seats, tasks, stop }
    }

    /// Kills a worker; returns false if the seat is empty.
    pub(crate) fn kill(&self, seat: usize) -> bool {
        self.signal(seat, "KILL", |seat| seat.was_killed = true)
    }

    pub(crate) fn freeze(&self, seat: usize) -> Option<u32> {
        self.signal(seat, "STOP", |seat| seat.was_frozen = true).then(|| lock(&self.seats[seat]).pid).flatten()
    }

    pub(crate) fn terminate(&self, seat: usize) -> bool {
        // A second signal would make it exit at once.
        lock(&self.seats[seat]).terminated_at.is_none()
            && self.signal(seat, "TERM", |seat| seat.terminated_at = Some(Instant::now()))
    }

    /// Stops reading a worker's log for a time, so that the pipe fills up.
    pub(crate) fn ignore_log(&self, seat: usize, time: Duration) {
        lock(&self.seats[seat]).log_ignored_until = Some(Instant::now() + time);
    }

    fn signal(&self, seat: usize, name: &str, note: impl Fn(&mut Seat)) -> bool {
        let mut seat = lock(&self.seats[seat]);
        let Some(pid) = seat.pid else { return false };
        note(&mut seat);
        kill(name, pid);
        true
    }

    /// Returns the addresses of the workers' metrics.
    pub(crate) fn admins(&self) -> Vec<String> {
        self.seats.iter().filter_map(|seat| lock(seat).admin.clone()).collect()
    }

    /// Returns how workers have exited so far.
    pub(crate) fn exits(&self) -> Vec<Exit> {
        self.seats.iter().flat_map(|seat| lock(seat).exits.clone()).collect()
    }

    /// Stops every worker gracefully and restarts none.
    pub(crate) async fn stop(mut self) -> Vec<Exit> {
        self.stop.cancel();
        for seat in 0..self.seats.len() {
            self.terminate(seat);
        }
        while self.tasks.join_next().await.is_some() {}
        self.exits()
    }
}

impl Seat {
    /// Assigns the seat to a worker.
    fn take(&mut self, pid: Option<u32>) {
        *self = Self { pid, exits: std::mem::take(&mut self.exits), ..Self::default() };
    }
}

/// Keeps a worker running on a seat.
async fn occupy(i: usize, seat: Arc<Mutex<Seat>>, recipe: Recipe, stop: CancellationToken) {
    let log = tokio::fs::File::create(recipe.folder.join(format!("worker-{i}.log"))).await.unwrap();
    let log = Arc::new(tokio::sync::Mutex::new(log));
    while !stop.is_cancelled() {
        let mut worker = command(&recipe).spawn().unwrap();
        let stderr = worker.stderr.take().unwrap();
        rustix::pipe::fcntl_setpipe_size(&stderr, LOG_PIPE).unwrap();
        lock(&seat).take(worker.id());
        let reading = tokio::spawn(read_log(stderr, Arc::clone(&log), Arc::clone(&seat), recipe.clone()));
        if stop.is_cancelled() {
            // The fleet was told to stop between the check and the start.
            kill("TERM", worker.id().unwrap());
        }
        let status = worker.wait().await.unwrap();
        let terminated = record_exit(&seat, status);
        reading.await.unwrap();
        let text = format!("===== exited with {status}, after being told to stop: {terminated:?}\n");
        log.lock().await.write_all(text.as_bytes()).await.unwrap();
        tokio::time::sleep(PAUSE).await;
    }
}

fn record_exit(seat: &Mutex<Seat>, status: ExitStatus) -> Option<Duration> {
    let mut seat = lock(seat);
    let had_started = seat.admin.is_some();
    (seat.pid, seat.admin) = (None, None);
    let terminated = seat.terminated_at.map(|at| (at, at.elapsed()));
    let exit = Exit { status, was_killed: seat.was_killed, was_frozen: seat.was_frozen, had_started, terminated };
    seat.exits.push(exit);
    terminated.map(|(_, took)| took)
}

fn command(recipe: &Recipe) -> tokio::process::Command {
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_muster"));
    command
        .args(["serve", "--config"])
        .arg(&recipe.settings)
        .env("AWS_ACCESS_KEY_ID", "torture")
        .env("AWS_SECRET_ACCESS_KEY", AWS_CANARY)
        .env_remove("DATABASE_URL")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

/// Saves a worker's log, searches it for canaries, and finds the address of its metrics in it.
async fn read_log(
    from: impl AsyncRead + Unpin,
    log: Arc<tokio::sync::Mutex<tokio::fs::File>>,
    seat: Arc<Mutex<Seat>>,
    recipe: Recipe,
) {
    let mut lines = BufReader::new(from).lines();
    loop {
        let ignored_until = lock(&seat).log_ignored_until;
        if let Some(until) = ignored_until {
            tokio::time::sleep_until(until.into()).await;
        }
        let Ok(Some(line)) = lines.next_line().await else { return };
        if let Some((_, address)) = line.split_once("metrics and health address=") {
            lock(&seat).admin = Some(address.trim().to_owned());
        }
        if line.contains("panicked at") {
            recipe.violations.note("panic", &line);
        }
        for canary in recipe.canaries.iter().filter(|canary| line.contains(canary.as_str())) {
            recipe.violations.note("I11", &format!("{canary} is in the log: {line}"));
        }
        log.lock().await.write_all((line + "\n").as_bytes()).await.unwrap();
    }
}

fn lock(seat: &Mutex<Seat>) -> MutexGuard<'_, Seat> {
    seat.lock().unwrap()
}

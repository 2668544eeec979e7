//! The workers: the real program on several seats, restarted whenever it exits.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::process::Command;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::server::kill;

/// How long until a worker that exited by itself is restarted: it may keep exiting forever.
const PAUSE: Duration = Duration::from_secs(1);

pub(crate) struct Workers {
    seats: Vec<Arc<Seat>>,
    tasks: JoinSet<()>,
    stop: CancellationToken,
}

/// The seat of one worker at a time.
#[derive(Default)]
struct Seat {
    occupant: Mutex<Occupant>,
    /// How many workers exited without being told to.
    crashes: AtomicUsize,
}

#[derive(Default)]
struct Occupant {
    pid: Option<u32>,
    is_stopping: bool,
}

impl Workers {
    /// Starts workers with the settings in the folder, where their logs go too.
    pub(crate) fn start(n: u16, folder: &Path) -> Self {
        let (mut tasks, stop) = (JoinSet::new(), CancellationToken::new());
        let seats: Vec<Arc<Seat>> = (0..n).map(|_| Arc::default()).collect();
        for (i, seat) in seats.iter().enumerate() {
            let log = File::create(folder.join(format!("worker-{i}.log"))).unwrap();
            tasks.spawn(occupy(Arc::clone(seat), folder.join("muster.toml"), log, stop.clone()));
        }
        Self { seats, tasks, stop }
    }

    /// Cycles through the numbers of the seats forever.
    pub(crate) fn in_turn(&self) -> impl Iterator<Item = usize> + use<> {
        (0..self.seats.len()).cycle()
    }

    /// Kills a worker; returns false if the seat is empty.
    pub(crate) fn kill(&self, seat: usize) -> bool {
        let mut occupant = self.seats[seat].occupant();
        occupant.is_stopping = true;
        occupant.signal("KILL")
    }

    /// Tells a worker to stop; returns false if the seat is empty or the worker was already told.
    pub(crate) fn terminate(&self, seat: usize) -> bool {
        let mut occupant = self.seats[seat].occupant();
        // A second signal would make it exit at once.
        !std::mem::replace(&mut occupant.is_stopping, true) && occupant.signal("TERM")
    }

    /// Freezes a worker; returns its process, to be thawed, if the seat is occupied.
    pub(crate) fn freeze(&self, seat: usize) -> Option<u32> {
        let occupant = self.seats[seat].occupant();
        occupant.signal("STOP").then_some(occupant.pid).flatten()
    }

    /// Returns how many workers exited without being told to.
    pub(crate) fn crashes(&self) -> usize {
        self.seats.iter().map(|seat| seat.crashes.load(Ordering::Relaxed)).sum()
    }

    /// Kills all workers and restarts none.
    pub(crate) async fn kill_all(&mut self) {
        self.stop.cancel();
        while let Some(seat) = self.tasks.join_next().await {
            seat.unwrap();
        }
    }
}

impl Seat {
    fn occupant(&self) -> MutexGuard<'_, Occupant> {
        self.occupant.lock().unwrap()
    }
}

impl Occupant {
    fn signal(&self, name: &str) -> bool {
        self.pid.inspect(|pid| kill(name, *pid)).is_some()
    }
}

/// Keeps a worker running on a seat.
async fn occupy(seat: Arc<Seat>, settings: PathBuf, log: File, stop: CancellationToken) {
    loop {
        let mut worker = command(&settings, &log).spawn().unwrap();
        *seat.occupant() = Occupant { pid: worker.id(), is_stopping: false };
        let status = tokio::select! {
            status = worker.wait() => status.unwrap(),
            () = stop.cancelled() => return worker.kill().await.unwrap(),
        };
        let Occupant { is_stopping, .. } = std::mem::take(&mut *seat.occupant());
        if !is_stopping {
            seat.crashes.fetch_add(1, Ordering::Relaxed);
            eprintln!("a worker exited by itself: {status}; see the logs next to {}", settings.display());
            tokio::time::sleep(PAUSE).await;
        }
    }
}

fn command(settings: &Path, log: &File) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_muster"));
    command
        .args(["serve", "--config"])
        .arg(settings)
        .env("AWS_ACCESS_KEY_ID", "fleet")
        .env("AWS_SECRET_ACCESS_KEY", "fleet")
        .env_remove("DATABASE_URL")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log.try_clone().unwrap())
        .kill_on_drop(true);
    command
}

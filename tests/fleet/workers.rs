//! The workers: the real program on some seats, started again whenever it ends.

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

/// Until a worker that ended by itself is started again: it may do so for ever.
const PAUSE: Duration = Duration::from_secs(1);

pub(crate) struct Workers {
    seats: Vec<Arc<Seat>>,
    tasks: JoinSet<()>,
    stop: CancellationToken,
}

/// The place of one worker at a time.
#[derive(Default)]
struct Seat {
    occupant: Mutex<Occupant>,
    /// How many ended though nobody had told them to.
    crashes: AtomicUsize,
}

#[derive(Default)]
struct Occupant {
    pid: Option<u32>,
    is_told_to_end: bool,
}

impl Workers {
    /// Starts workers with the settings in the folder; their logs go there too.
    pub(crate) fn start(n: u16, folder: &Path) -> Self {
        let (mut tasks, stop) = (JoinSet::new(), CancellationToken::new());
        let seats: Vec<Arc<Seat>> = (0..n).map(|_| Arc::default()).collect();
        for (i, seat) in seats.iter().enumerate() {
            let log = File::create(folder.join(format!("worker-{i}.log"))).unwrap();
            tasks.spawn(occupy(Arc::clone(seat), folder.join("muster.toml"), log, stop.clone()));
        }
        Self { seats, tasks, stop }
    }

    /// The numbers of the seats, one after the other, for ever.
    pub(crate) fn in_turn(&self) -> impl Iterator<Item = usize> + use<> {
        (0..self.seats.len()).cycle()
    }

    /// Kills a worker; false where none sits there.
    pub(crate) fn kill(&self, seat: usize) -> bool {
        let mut occupant = self.seats[seat].occupant();
        occupant.is_told_to_end = true;
        occupant.signal("KILL")
    }

    /// Tells a worker to end; false where none sits there or it has been told.
    pub(crate) fn terminate(&self, seat: usize) -> bool {
        let mut occupant = self.seats[seat].occupant();
        // A second signal would end it at once.
        !std::mem::replace(&mut occupant.is_told_to_end, true) && occupant.signal("TERM")
    }

    /// Stops a worker where it is; its process, to be thawed, where one sits there.
    pub(crate) fn freeze(&self, seat: usize) -> Option<u32> {
        let occupant = self.seats[seat].occupant();
        occupant.signal("STOP").then_some(occupant.pid).flatten()
    }

    /// How many workers ended though nobody had told them to.
    pub(crate) fn crashes(&self) -> usize {
        self.seats.iter().map(|seat| seat.crashes.load(Ordering::Relaxed)).sum()
    }

    /// Kills all of them and starts none again.
    pub(crate) async fn end(&mut self) {
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

/// Keeps a worker on a seat.
async fn occupy(seat: Arc<Seat>, settings: PathBuf, log: File, stop: CancellationToken) {
    loop {
        let mut worker = command(&settings, &log).spawn().unwrap();
        *seat.occupant() = Occupant { pid: worker.id(), is_told_to_end: false };
        let status = tokio::select! {
            status = worker.wait() => status.unwrap(),
            () = stop.cancelled() => return worker.kill().await.unwrap(),
        };
        let Occupant { is_told_to_end, .. } = std::mem::take(&mut *seat.occupant());
        if !is_told_to_end {
            seat.crashes.fetch_add(1, Ordering::Relaxed);
            eprintln!("a worker ended by itself: {status}; see the logs beside {}", settings.display());
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

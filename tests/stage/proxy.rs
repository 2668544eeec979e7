//! A proxy in front of Postgres that delays, stalls, swallows, cuts and refuses connections.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;

/// What happens to bytes in transit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Conduct {
    Forward,
    /// Each piece is delayed by this time.
    Delay(Duration),
    /// Each connection forwards this many bytes per second.
    Narrow(u32),
    /// Everything waits until the conduct changes.
    Stall,
    /// Everything is lost silently; connections that were established stay dead.
    Swallow,
    /// Connections are closed, new ones too.
    Refuse,
}

/// Where a connection is cut, once.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Cut {
    /// When the program commits: before the server receives the COMMIT, or after it executed it.
    AtCommit { executed: bool },
    /// After this many more bytes from the server.
    AfterBytes(usize),
}

pub(crate) struct Proxy {
    pub(crate) url: String,
    rules: Arc<Rules>,
    _accepting: AbortOnDropHandle<()>,
}

struct Rules {
    server: PgConnectOptions,
    conduct: watch::Sender<Conduct>,
    cut: Mutex<Option<Cut>>,
    n_cuts: AtomicUsize,
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

impl Proxy {
    /// Starts a proxy in front of the server at `url`.
    pub(crate) async fn before(url: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (user, host) = url.rsplit_once('@').unwrap();
        let (_, database) = host.split_once('/').unwrap();
        let (database, _) = database.split_once('?').unwrap_or((database, ""));
        let rules = Rules {
            server: url.parse().unwrap(),
            conduct: watch::Sender::new(Conduct::Forward),
            cut: Mutex::default(),
            n_cuts: AtomicUsize::new(0),
        };
        let rules = Arc::new(rules);
        let accepting = tokio::spawn(accept(listener, Arc::clone(&rules)));
        let url = format!("{user}@127.0.0.1:{port}/{database}?sslmode=disable");
        Self { url, rules, _accepting: AbortOnDropHandle::new(accepting) }
    }

    /// Changes what happens from now on, on every connection.
    pub(crate) fn conduct(&self, conduct: Conduct) {
        self.rules.conduct.send_replace(conduct);
    }

    /// Arms a cut.
    pub(crate) fn cut(&self, cut: Cut) {
        *self.rules.cut.lock().unwrap() = Some(cut);
    }

    /// Returns how many cuts were made.
    pub(crate) fn n_cuts(&self) -> usize {
        self.rules.n_cuts.load(Ordering::Relaxed)
    }
}

async fn accept(listener: TcpListener, rules: Arc<Rules>) {
    let mut connections = JoinSet::new();
    loop {
        let (client, _) = listener.accept().await.unwrap();
        let rules = Arc::clone(&rules);
        connections.spawn(async move {
            if *rules.conduct.borrow() != Conduct::Refuse {
                let _ = relay(client, &rules).await;
            }
        });
    }
}

/// Relays until either side closes, a cut strikes, or connections are refused.
async fn relay(mut client: TcpStream, rules: &Rules) -> std::io::Result<()> {
    let mut server = rules.connect().await?;
    let mut is_dead = false;
    let (mut up, mut down) = (vec![0; 64 << 10], vec![0; 64 << 10]);
    loop {
        tokio::select! {
            n = client.read(&mut up) => {
                let sent = &up[..n?];
                if sent.is_empty() || rules.cuts_before_commit(sent) {
                    return Ok(());
                }
                is_dead |= !rules.passes(sent.len()).await;
                if !is_dead {
                    server.write_all(sent).await?;
                }
                if rules.cuts_after_commit(sent) {
                    // The answer shows that the commit is done.
                    return server.read(&mut down).await.map(drop);
                }
            }
            n = server.read(&mut down) => {
                let n = n?;
                if n == 0 || rules.cuts_after_bytes(n) {
                    return Ok(());
                }
                is_dead |= !rules.passes(n).await;
                if !is_dead {
                    client.write_all(&down[..n]).await?;
                }
            }
            () = rules.refuses() => return Ok(()),
        }
    }
}

impl Rules {
    async fn connect(&self) -> std::io::Result<Box<dyn Stream>> {
        let port = self.server.get_port();
        Ok(match self.server.get_socket() {
            Some(folder) => Box::new(UnixStream::connect(folder.join(format!(".s.PGSQL.{port}"))).await?),
            None => Box::new(TcpStream::connect((self.server.get_host(), port)).await?),
        })
    }

    /// Waits until connections must be closed.
    async fn refuses(&self) {
        let mut conduct = self.conduct.subscribe();
        conduct.wait_for(|conduct| *conduct == Conduct::Refuse).await.map(drop).unwrap();
    }

    /// Waits as long as `n` bytes are held back; returns false if they are lost.
    async fn passes(&self, n: usize) -> bool {
        let mut conduct = self.conduct.subscribe();
        let conduct = *conduct.wait_for(|conduct| *conduct != Conduct::Stall).await.unwrap();
        match conduct {
            Conduct::Delay(time) => tokio::time::sleep(time).await,
            Conduct::Narrow(rate) => {
                tokio::time::sleep(Duration::from_secs(n as u64) / rate).await;
            }
            _ => {}
        }
        conduct != Conduct::Swallow
    }

    fn cuts_before_commit(&self, sent: &[u8]) -> bool {
        is_commit(sent) && self.take(Cut::AtCommit { executed: false })
    }

    fn cuts_after_commit(&self, sent: &[u8]) -> bool {
        is_commit(sent) && self.take(Cut::AtCommit { executed: true })
    }

    fn cuts_after_bytes(&self, n: usize) -> bool {
        let mut cut = self.cut.lock().unwrap();
        let Some(Cut::AfterBytes(left)) = *cut else { return false };
        *cut = left.checked_sub(n).map(Cut::AfterBytes);
        self.count(cut.is_none())
    }

    fn take(&self, wanted: Cut) -> bool {
        self.count(self.cut.lock().unwrap().take_if(|cut| *cut == wanted).is_some())
    }

    fn count(&self, is_cut: bool) -> bool {
        self.n_cuts.fetch_add(usize::from(is_cut), Ordering::Relaxed);
        is_cut
    }
}

fn is_commit(sent: &[u8]) -> bool {
    sent.windows(6).any(|bytes| bytes == b"COMMIT")
}

//! The commands that are clients of a cluster: what they share.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use holdfast_client::{Client, StatusReply};
use holdfast_machine::Numbered as _;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::exit::Exit;
use super::failed::{Failed, Trouble};
use super::given::timeout;
use super::out::{Format, Out, Shape};

/// Where a cluster is asked when nobody says otherwise: the client ports of `holdfast dev`.
const ENDPOINTS: &str = "127.0.0.1:7400,127.0.0.1:7410,127.0.0.1:7420";

/// How long is spent on finding out who can be reached, after a command has failed for want of a leader.
const REACH: Duration = Duration::from_millis(300);

/// How to reach the cluster, and how to print what it says.
#[derive(Clone, Debug, Args)]
pub(super) struct Target {
    /// Client addresses of some members; the leader is found from any
    #[arg(
        long,
        global = true,
        env = "HOLDFAST_ENDPOINTS",
        default_value = ENDPOINTS,
        value_delimiter = ',',
        value_name = "HOST:PORT,…",
        help_heading = "Cluster"
    )]
    pub(super) endpoints: Vec<String>,
    /// How long the command may take: 500ms, 5s, 2m; a plain number is seconds
    #[arg(long, global = true, default_value = "5s", value_parser = timeout, help_heading = "Cluster")]
    timeout: Duration,
    #[command(flatten)]
    pub(super) shape: Shape,
}

impl Target {
    /// Whether somebody said which endpoints to ask.
    pub(super) fn are_named(&self) -> bool {
        self.endpoints.join(",") != ENDPOINTS
    }

    /// How long a call may take.
    pub(super) fn patience(&self) -> Duration {
        self.timeout
    }

    /// A client, not connected yet.
    pub(super) fn client(&self) -> Result<Client, Failed> {
        made(&self.endpoints, self.timeout)
    }

    /// A client that knows this endpoint only.
    pub(super) fn client_of(&self, endpoint: &str) -> Result<Client, Failed> {
        made(&[endpoint.to_owned()], self.timeout)
    }

    /// Runs one command, and says what came of it. Whoever interrupts it ends it.
    pub(super) fn run(&self, command: impl AsyncFnOnce(&Client, Out) -> Result<(), Failed>) -> ExitCode {
        self.run_long(None, async |client, out, signals| {
            tokio::select! {
                biased;
                done = command(client, out) => done,
                signal = signals.next() => Err(Failed::interrupted(signal)),
            }
        })
    }

    /// The same for a command that knows by itself what to do when it is interrupted, and has a usual format of its own.
    pub(super) fn run_long(
        &self,
        usual: Option<Format>,
        command: impl AsyncFnOnce(&Client, Out, &mut Interrupts) -> Result<(), Failed>,
    ) -> ExitCode {
        // Listened to before anything is printed: whoever has seen the first line may interrupt.
        let attempt = self.attempt(usual, async |client, out| {
            let mut signals = Interrupts::new(false)?;
            command(client, out, &mut signals).await
        });
        match attempt {
            (Ok(()), _) => Exit::Done.into(),
            (Err(failed), reachable) => {
                failed.report(self.shape.paint(), &self.endpoints, reachable.as_deref())
            }
        }
    }

    /// The same, with nothing said of what came of it: that, and how many voters can be reached if it is for want of them.
    pub(super) fn attempt(
        &self,
        usual: Option<Format>,
        command: impl AsyncFnOnce(&Client, Out) -> Result<(), Failed>,
    ) -> (Result<(), Failed>, Option<String>) {
        let out = self.shape.out_or(usual);
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => {
                let trouble = Trouble::new(Exit::Usage, "cannot begin").why(error.to_string());
                return (Err(trouble.into()), None);
            }
        };
        runtime.block_on(async {
            let done = match self.client() {
                Ok(client) => {
                    let done = command(&client, out).await;
                    client.close().await;
                    done
                }
                Err(failed) => Err(failed),
            };
            let reachable = match &done {
                Err(failed @ Failed::Client(_)) if is_for_want_of_a_leader(failed) => self.reachable().await,
                Ok(()) | Err(_) => None,
            };
            (done, reachable)
        })
    }

    /// How many voters can be reached, as whoever sees most of them says. Nothing if nobody answers soon.
    async fn reachable(&self) -> Option<String> {
        let client = made(&self.endpoints, REACH).ok()?;
        let ask = |endpoint: String| {
            let client = client.clone();
            tokio::spawn(async move { client.status(&endpoint).await.ok() })
        };
        let asked: Vec<_> = self.endpoints.iter().cloned().map(ask).collect();
        let mut best: Option<(usize, String)> = None;
        for status in asked {
            if let Ok(Some(status)) = status.await {
                let (there, all) = voters(&status);
                if best.as_ref().is_none_or(|(most, _)| *most < there) && all > 0 {
                    best = Some((
                        there,
                        format!("{there} of {all} voters reachable, quorum is {}", all / 2 + 1),
                    ));
                }
            }
        }
        client.close().await;
        best.map(|(_, sentence)| sentence)
    }
}

fn made(endpoints: &[String], timeout: Duration) -> Result<Client, Failed> {
    Ok(Client::builder(endpoints.iter().cloned()).name("holdfast").timeout(timeout).build()?)
}

fn is_for_want_of_a_leader(failed: &Failed) -> bool {
    let exit = failed.exit();
    [Exit::NoLeader, Exit::Unknown].iter().any(|of| of.number() == exit)
}

/// How many voters a node is connected to, itself among them, and how many there are.
pub(super) fn voters(status: &StatusReply) -> (usize, usize) {
    let voters = status.members.iter().filter(|member| member.voter);
    voters.fold((0, 0), |(there, all), member| (there + usize::from(member.connected), all + 1))
}

/// The signals by which a process is told to end. Whoever waits for them twice keeps this: none is missed in between.
#[derive(Debug)]
pub(super) struct Interrupts {
    interrupt: Signal,
    terminate: Signal,
    /// Only where somebody has to be told of it before this process ends.
    hangup: Option<Signal>,
}

impl Interrupts {
    /// Listens from now on; to a hangup as well if asked to.
    pub(super) fn new(hangup: bool) -> Result<Self, Failed> {
        let hangup = hangup.then(|| signal(SignalKind::hangup())).transpose()?;
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup,
        })
    }

    /// The number of the next one.
    pub(super) async fn next(&mut self) -> u8 {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        let kind = tokio::select! {
            _ = self.interrupt.recv() => SignalKind::interrupt(),
            _ = self.terminate.recv() => SignalKind::terminate(),
            _ = hangup => SignalKind::hangup(),
        };
        u8::try_from(kind.as_raw_value()).unwrap_or_default()
    }
}

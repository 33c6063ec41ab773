//! Tells whoever has started the node how far it is: systemd, or whatever else listens at `NOTIFY_SOCKET`.
//!
//! # What "ready" means here
//! `READY=1` is said when the node becomes [ready](crate::runtime::LifeState::Ready) for the first time: it knows a leader and has
//! applied what that leader had committed. So `systemctl restart` returns when the next node may be stopped, and a rolling
//! restart is nothing but one command for each machine. Had it been said when the ports are open, the same loop would stop the
//! second node while the first one is still reading its log, and three nodes would be without a quorum. The price is that a
//! start waits for a quorum: the unit has no time limit for it, and a whole cluster is started with `--no-block`.
//!
//! # Why a thread
//! A datagram to a socket whose reader is stuck waits for it. The node must not, so it only hands over what happened, and
//! nobody waits for long for the thread at the end either.

use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

use holdfast_machine::{Machine as _, Numbered as _};
use sd_notify::NotifyState;

use crate::runtime::{LifeEdge, LifeMachine, LifeState, Observer};

/// Where systemd says that it listens.
const SOCKET: &str = "NOTIFY_SOCKET";

/// How long the end of the process waits for the last words to be taken.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What there is to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum News {
    Life(LifeEdge),
    Reloading,
    Reloaded,
}

/// Tells whoever has started this process, if they listen. Clones tell the same one.
#[derive(Clone, Debug, Default)]
pub(super) struct Notifier(Option<Sender<News>>);

/// The other end: gone when all is told.
#[derive(Debug)]
pub(super) struct Told(Option<Receiver<()>>);

/// Begins to tell of this node; does nothing if nobody listens.
///
/// # Errors
/// The system has no thread for it.
pub(super) fn start(node: u64) -> std::io::Result<(Notifier, Told)> {
    if std::env::var_os(SOCKET).is_none_or(|path| path.is_empty()) {
        return Ok((Notifier(None), Told(None)));
    }
    let (tell, news) = mpsc::channel();
    let (done, told) = mpsc::channel();
    let run = move || {
        // Dropped at the end of the thread, whatever ends it.
        let _done = done;
        tell_all(node, &news, &mut |states| sd_notify::notify(states));
    };
    std::thread::Builder::new().name("notify".to_owned()).spawn(run)?;
    Ok((Notifier(Some(tell)), Told(Some(told))))
}

impl Notifier {
    /// An observer of the node that hands each edge over.
    pub(super) fn observer(&self) -> Observer {
        let Some(tell) = self.0.clone() else { return Observer::default() };
        // Whoever is gone needs no news.
        Observer::new(move |edge| {
            let _ = tell.send(News::Life(edge));
        })
    }

    fn tell(&self, news: News) {
        if let Some(tell) = &self.0 {
            let _ = tell.send(news);
        }
    }

    /// Runs a reload, and says so before and after it.
    pub(super) fn reload(&self, reload: impl FnOnce()) {
        self.tell(News::Reloading);
        reload();
        self.tell(News::Reloaded);
    }
}

impl Told {
    /// Waits until the thread has told all of the life so far, and not for long.
    pub(super) fn wait(self) {
        if let Some(told) = self.0 {
            let _ = told.recv_timeout(LAST_WORDS);
        }
    }
}

/// Tells until the life is over or nobody has news any more. A message that cannot be sent is logged, once.
fn tell_all(
    node: u64,
    news: &Receiver<News>,
    send: &mut dyn FnMut(&[NotifyState<'_>]) -> std::io::Result<()>,
) {
    let (mut ready, mut complained) = (false, false);
    while let Ok(news) = news.recv() {
        let over =
            matches!(news, News::Life(edge) if LifeMachine::FINAL.contains(&LifeMachine::target(edge)));
        let status = match news {
            News::Life(edge) => status(node, LifeMachine::target(edge)),
            News::Reloading | News::Reloaded => String::new(),
        };
        let states = states(news, &status, &mut ready);
        if !states.is_empty()
            && let Err(error) = send(&states)
            && !std::mem::replace(&mut complained, true)
        {
            tracing::warn!(node, %error, "whoever started this node at {SOCKET} cannot be told how far it is");
        }
        if over {
            return;
        }
    }
}

/// A sentence for `systemctl status`.
fn status(node: u64, state: LifeState) -> String {
    format!("node {node} {}: {}", state.name(), state.caption().replace('\n', " "))
}

/// What one piece of news is in the words of systemd; `ready` is whether `READY=1` was said.
fn states<'a>(news: News, status: &'a str, ready: &mut bool) -> Vec<NotifyState<'a>> {
    let told = NotifyState::Status(status);
    match news {
        News::Life(LifeEdge::BecomeReady) if !std::mem::replace(ready, true) => {
            vec![NotifyState::Ready, told]
        }
        News::Life(LifeEdge::BeginStop | LifeEdge::StopEarly | LifeEdge::Fail) => {
            vec![NotifyState::Stopping, told]
        }
        News::Life(_) => vec![told],
        // `READY=1` ends a reload, and would end a start as well: nothing is said of a reload before.
        News::Reloading | News::Reloaded if !*ready => Vec::new(),
        // Without a time systemd would not know whether it answers this reload or the one before.
        News::Reloading => match NotifyState::monotonic_usec_now() {
            Ok(now) => vec![NotifyState::Reloading, now],
            Err(_) => vec![NotifyState::Reloading],
        },
        News::Reloaded => vec![NotifyState::Ready],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is told of this news, message by message.
    fn told(all: &[News]) -> Vec<String> {
        let (tell, news) = mpsc::channel();
        for one in all {
            tell.send(*one).expect("it is read below");
        }
        drop(tell);
        let mut said = Vec::new();
        tell_all(3, &news, &mut |states| {
            let words: Vec<String> = states.iter().map(ToString::to_string).collect();
            said.push(words.join(" "));
            Ok(())
        });
        said
    }

    #[test]
    fn ready_is_said_once_and_a_reload_before_it_is_not_told() {
        use LifeEdge as T;
        let said = told(&[
            News::Life(T::BeginRecovery),
            News::Reloading,
            News::Reloaded,
            News::Life(T::Open),
            News::Life(T::BecomeReady),
            News::Life(T::LoseLeader),
            News::Life(T::BecomeReady),
            News::Reloading,
            News::Reloaded,
        ]);
        let starts: Vec<&str> =
            said.iter().map(|line| line.split([' ', '=']).next().expect("a word")).collect();
        assert_eq!(
            starts,
            ["STATUS", "STATUS", "READY", "STATUS", "STATUS", "RELOADING", "READY"],
            "{said:#?}"
        );
        assert!(said[5].starts_with("RELOADING=1 MONOTONIC_USEC="), "{said:#?}");
    }

    #[test]
    fn a_node_that_fails_or_stops_says_so_with_its_state_and_nothing_is_told_of_it_afterwards() {
        use LifeEdge as T;
        let said = told(&[News::Life(T::BeginRecovery), News::Life(T::Fail), News::Reloading]);
        assert_eq!(said.len(), 2, "{said:#?}");
        assert!(said[1].starts_with("STOPPING=1 STATUS=node 3 Failed: It cannot go on"), "{said:#?}");
        let said = told(&[News::Life(T::BecomeReady), News::Life(T::BeginStop), News::Life(T::BeginClose)]);
        assert!(said[1].starts_with("STOPPING=1 STATUS=node 3 Draining"), "{said:#?}");
        assert!(said[2].starts_with("STATUS=node 3 Closing"), "{said:#?}");
    }
}

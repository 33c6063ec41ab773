//! `watch`.

use std::process::ExitCode;

use bytes::Bytes;
use clap::Args;
use holdfast_client::{Changes, Client, Notice};
use holdfast_command::WatchEvent;
use holdfast_command::keys::Span;

use super::ask::{Failed, Target, say, shown};

#[derive(Debug, Args)]
pub(super) struct Watch {
    #[command(flatten)]
    target: Target,
    /// The key, or the prefix
    key: String,
    /// Watch every key that begins with it; all keys if it is empty
    #[arg(long)]
    prefix: bool,
    /// From this revision on, history included, instead of from what comes next
    #[arg(long, default_value_t = 0, hide_default_value = true)]
    rev: u64,
    /// Also print what the key was before
    #[arg(long)]
    prev: bool,
    /// Leave writes out
    #[arg(long)]
    no_puts: bool,
    /// Leave deletions out
    #[arg(long)]
    no_deletes: bool,
    /// Also print how far the watch is while nothing happens
    #[arg(long)]
    progress: bool,
    /// End after so many changes, at the end of a revision; 0 for never
    #[arg(long, default_value_t = 0, hide_default_value = true)]
    count: u64,
}

impl Watch {
    pub(super) fn run(self) -> ExitCode {
        self.target.run(async |client| {
            // Said at once if nobody is there; later the watch waits for whoever comes back.
            client.connected().await?;
            tokio::select! {
                done = self.follow(client) => done,
                interrupted = tokio::signal::ctrl_c() => Ok(interrupted?),
            }
        })
    }

    async fn follow(&self, client: &Client) -> Result<(), Failed> {
        let key = Bytes::from(self.key.clone());
        let span = if self.prefix { Span::prefix(key) } else { Span::Key(key) };
        let mut options = client.watch(span).from(self.rev);
        if self.prev {
            options = options.with_previous();
        }
        if self.no_puts {
            options = options.without_puts();
        }
        if self.no_deletes {
            options = options.without_deletes();
        }
        if self.progress {
            options = options.with_progress();
        }
        let mut watch = options.start();
        let mut seen = 0;
        loop {
            match watch.next().await? {
                Notice::Progress(revision) => say(format_args!("{revision}\tprogress"))?,
                Notice::Changes(Changes { revision, events }) => {
                    for event in &events {
                        say(self.line(revision, event))?;
                    }
                    seen += events.len() as u64;
                }
            }
            if self.count > 0 && seen >= self.count {
                return Ok(());
            }
        }
    }

    /// Revision, what happened, key, value, and what was before if that was asked for: with a tab between each.
    fn line(&self, revision: u64, event: &WatchEvent) -> String {
        let key = shown(&event.entry.key);
        let mut line = if event.deleted {
            format!("{revision}\tdelete\t{key}")
        } else {
            format!("{revision}\tput\t{key}\t{}", shown(&event.entry.value))
        };
        if self.prev {
            let before = match &event.previous {
                Some(previous) => format!("was {}", shown(&previous.value)),
                None if event.previous_left_out => "was too long to be sent".to_owned(),
                None => "was not there".to_owned(),
            };
            line.push('\t');
            line.push_str(&before);
        }
        line
    }
}

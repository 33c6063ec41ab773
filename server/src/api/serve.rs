//! The thread of the API: connections, their bounds, and an ordered end.
//!
//! | bound | why |
//! |---|---|
//! | [`CONNECTIONS_MAX`] connections | each costs a descriptor and a buffer; the next ones wait in the backlog of the system |
//! | [`HEADER_BYTES_MAX`] bytes of header | a key of the longest kind, each byte of it written as `%ff`, and room for headers |
//! | [`HEADER_TIME`] for the header | whoever opens a connection and says nothing holds it no longer than that |
//!
//! Bodies are bounded where they are read.

use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use axum::response::IntoResponse as _;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tower::ServiceExt as _;

use super::ask::{App, From};
use super::origin;
use super::routes::router;
use crate::runtime::RunError;
use crate::runtime::desk::Desk;
use crate::runtime::examine::Looker;

/// Connections at once.
const CONNECTIONS_MAX: usize = 1_024;

/// Bytes of the first line and the headers of a request.
const HEADER_BYTES_MAX: usize = 128 * 1024;

/// How long they may take to come, from the first byte or the end of the request before.
const HEADER_TIME: Duration = Duration::from_secs(30);

/// How long connections may take to end in order. What the node had to say was said before.
const END_TIME: Duration = Duration::from_secs(2);

/// How long the thread rests when the system has no descriptor left.
const REST: Duration = Duration::from_millis(100);

/// The thread, to be closed.
#[derive(Debug)]
pub(crate) struct Running {
    ended: mpsc::Receiver<()>,
    end: tokio::sync::watch::Sender<bool>,
}

/// Serves HTTP at an address, on a thread of its own, from now on.
///
/// # Errors
/// The address cannot be listened on, or there is no thread.
///
/// `told` is where others are told that it is; empty if they are not told.
pub(crate) fn start(
    address: &str,
    told: String,
    desk: Desk,
    node: u64,
    looker: Looker,
) -> Result<Running, RunError> {
    let listen = |error| RunError::Listen { address: address.to_owned(), error };
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(RunError::System)?;
    let listener = std::net::TcpListener::bind(address).map_err(listen)?;
    listener.set_nonblocking(true).map_err(listen)?;
    let (tell, ended) = mpsc::channel();
    let (end, ends) = tokio::sync::watch::channel(false);
    let serve = move || {
        runtime.block_on(async {
            match TcpListener::from_std(listener) {
                Ok(listener) => serve(listener, App::new(desk, node, told, looker), ends).await,
                Err(error) => tracing::error!(node, %error, "serving HTTP"),
            }
        });
        runtime.shutdown_timeout(Duration::from_millis(100));
        // Nobody waits for it if the process is gone already.
        let _ = tell.send(());
    };
    thread::Builder::new().name(format!("api-{node}")).spawn(serve).map_err(RunError::System)?;
    Ok(Running { ended, end })
}

impl Running {
    /// Ends it, and waits for the end, but not for ever.
    pub(crate) fn close(self) {
        self.end.send_replace(true);
        let _ = self.ended.recv_timeout(2 * END_TIME);
    }
}

async fn serve(listener: TcpListener, app: App, mut ends: tokio::sync::watch::Receiver<bool>) {
    let (router, graceful) = (router(app.clone()), GracefulShutdown::new());
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let ending = app.desk.ending();
    tokio::pin!(ending);
    loop {
        let accepted = tokio::select! {
            permit = Arc::clone(&room).acquire_owned() => {
                let Ok(permit) = permit else { break };
                tokio::select! {
                    accepted = listener.accept() => accepted.map(|(stream, from)| (stream, from, permit)),
                    () = &mut ending => break,
                }
            }
            () = &mut ending => break,
        };
        match accepted {
            Ok((stream, from, permit)) => {
                // Answers are small and awaited.
                let _ = stream.set_nodelay(true);
                let router = router.clone();
                // A browser on this machine reaches what listens on loopback, whatever page it shows.
                let is_local =
                    stream.local_addr().is_ok_and(|address| address.ip().to_canonical().is_loopback());
                let service = service_fn(move |mut request: Request<Incoming>| {
                    request.extensions_mut().insert(From(from));
                    let refused = origin::refused(request.headers(), request.uri(), is_local);
                    let router = router.clone();
                    async move {
                        match refused {
                            Some(problem) => Ok(problem.into_response()),
                            None => router.oneshot(request.map(Body::new)).await,
                        }
                    }
                });
                let connection = http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(HEADER_TIME)
                    .max_buf_size(HEADER_BYTES_MAX)
                    .serve_connection(TokioIo::new(stream), service);
                let watched = graceful.watch(connection);
                tokio::spawn(async move {
                    if let Err(error) = watched.await {
                        tracing::debug!(%from, %error, "an HTTP connection ended");
                    }
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "accepting an HTTP connection");
                tokio::time::sleep(REST).await;
            }
        }
    }
    drop(listener);
    // Requests that are under way are answered by the node while it drains; new ones find nobody.
    tokio::select! {
        () = graceful.shutdown() => {}
        () = async {
            let _ = ends.wait_for(|end| *end).await;
            tokio::time::sleep(END_TIME).await;
        } => {}
    }
}

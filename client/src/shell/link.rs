//! One connection: dial, then read and write until it ends.

use std::io::{self, IoSlice};
use std::sync::Arc;

use bytes::Buf;
use tokio::net::TcpStream;
use tokio::sync::Notify;

use super::{Inner, Shared};
use crate::What;
use crate::core::LinkId;

/// Room that is made before each read.
const READ_BYTES: usize = 64 * 1024;

/// So many reads are made before what came is acted on, so that a fast node does not starve the callers.
const READS_MAX: usize = 4;

/// So many pieces of an outbox are written at once.
const SLICES_MAX: usize = 32;

/// Dials, and drives the connection until its end.
pub(super) async fn run(shared: Arc<Shared>, link: LinkId, address: Arc<str>) {
    let dialed = tokio::time::timeout(shared.connect, TcpStream::connect(&*address)).await;
    let writer = Arc::new(Notify::new());
    let stream = {
        let mut inner = shared.lock();
        let stream = match dialed {
            Ok(Ok(stream)) if !is_own_reflection(&stream) => Ok(stream),
            Ok(Ok(_)) => Err(What::ConnectRefused),
            Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => Err(What::ConnectRefused),
            Ok(Err(error)) => Err(What::ConnectFailed(error.to_string())),
            Err(_) => Err(What::ConnectTimedOut),
        };
        let now = shared.now();
        let stream = match stream {
            Ok(stream) => {
                inner.writers.insert(link, writer.clone());
                if inner.core.dialed(link, now) { Some(stream) } else { None }
            }
            Err(what) => {
                inner.core.dial_failed(link, &what, now);
                None
            }
        };
        shared.settle(&mut inner);
        stream
    };
    if let Some(stream) = stream {
        // Where it is not possible, small requests wait a little; nothing else depends on it.
        let _ = stream.set_nodelay(true);
        talk(&shared, link, &stream, &writer).await;
    }
    shared.lock().writers.remove(&link);
}

/// A dial to a port of the own machine where nobody listens can meet itself, if the system chose that port for it.
fn is_own_reflection(stream: &TcpStream) -> bool {
    matches!((stream.local_addr(), stream.peer_addr()), (Ok(own), Ok(other)) if own == other)
}

/// Reads and writes, once woken, all there is.
async fn talk(shared: &Arc<Shared>, link: LinkId, stream: &TcpStream, writer: &Notify) {
    let mut blocked = false;
    loop {
        tokio::select! {
            // A failure shows when it is read from.
            _ = stream.readable() => {}
            _ = stream.writable(), if blocked => {}
            () = writer.notified() => {}
        }
        let mut inner = shared.lock();
        let now = shared.now();
        let lost = read(&mut inner, link, stream, now).or_else(|| {
            let (left, lost) = write(&mut inner, link, stream, now);
            blocked = left;
            lost
        });
        if let Some(why) = lost {
            inner.core.lost(link, &why, now);
        }
        if inner.core.connection(link).is_some_and(|wire| wire.ended().is_some()) {
            // What could be said was said; whoever ended it does not wait for more.
            inner.core.finished(link, now);
        }
        let over = inner.core.connection(link).is_none();
        shared.settle(&mut inner);
        if over {
            return;
        }
    }
}

/// Reads what has come and acts on it. Why the transport ended, if it did.
fn read(inner: &mut Inner, link: LinkId, stream: &TcpStream, now: u64) -> Option<String> {
    let (mut came, mut lost) = (false, None);
    for _ in 0..READS_MAX {
        let wire = inner.core.connection(link)?;
        let buffer = wire.buffer();
        buffer.reserve(READ_BYTES);
        match stream.try_read_buf(buffer) {
            Ok(0) => lost = Some("closed by the other side".to_owned()),
            Ok(count) => {
                came = true;
                if count >= READ_BYTES {
                    continue;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => lost = Some(error.to_string()),
        }
        break;
    }
    if came {
        inner.core.received(link, now);
    }
    lost
}

/// Writes what waits. Whether some of it is left, and why the transport ended, if it did.
fn write(inner: &mut Inner, link: LinkId, stream: &TcpStream, now: u64) -> (bool, Option<String>) {
    let (mut total, mut left, mut lost) = (0, false, None);
    while let Some(wire) = inner.core.connection(link) {
        let outbox = wire.outbox();
        if !outbox.has_remaining() {
            break;
        }
        let mut slices = [IoSlice::new(&[]); SLICES_MAX];
        let filled = outbox.chunks_vectored(&mut slices);
        match stream.try_write_vectored(slices.get(..filled).unwrap_or_default()) {
            Ok(count) => {
                outbox.advance(count);
                total += count;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => left = true,
            Err(error) => lost = Some(error.to_string()),
        }
        if left || lost.is_some() {
            break;
        }
    }
    inner.core.wrote(link, total, now);
    (left, lost)
}

//! A line between two programs that is slow, or leads elsewhere after a while.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// What is read at once, so that two connections share a slow line in small pieces.
const PIECE: usize = 4 * 1024;

/// What the kernel may hold of each direction: a line has no large buffers in front of it.
const KERNEL_BYTES: usize = 32 * 1024;

/// A line. Both directions have the rate to themselves; connections share it.
#[derive(Debug)]
pub(crate) struct Proxy {
    /// Where it begins.
    pub(crate) address: String,
    line: Arc<Line>,
}

#[derive(Debug)]
struct Line {
    /// Where it ends.
    target: Mutex<String>,
    /// Bytes a second; `None` for as fast as it goes.
    rate: Option<u64>,
    /// When the next piece may go, each way.
    free: [Mutex<Instant>; 2],
    streams: Mutex<Vec<TcpStream>>,
}

impl Proxy {
    pub(crate) fn start(target: &str, rate: Option<u64>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let (target, streams) = (Mutex::new(target.to_owned()), Mutex::default());
        let now = Instant::now();
        let line = Arc::new(Line { target, rate, free: [Mutex::new(now), Mutex::new(now)], streams });
        let theirs = Arc::clone(&line);
        named(move || {
            for stream in listener.incoming().flatten() {
                if lock(&theirs.target).is_empty() {
                    return;
                }
                theirs.join(stream);
            }
        });
        Self { address, line }
    }

    /// Lets it end somewhere else from now on, and breaks what goes over it.
    pub(crate) fn lead_to(&self, target: &str) {
        target.clone_into(&mut lock(&self.line.target));
        for stream in lock(&self.line.streams).drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.lead_to("");
        // So that it notices.
        let _ = TcpStream::connect(&self.address);
    }
}

impl Line {
    fn join(self: &Arc<Self>, near: TcpStream) {
        let target = lock(&self.target).clone();
        let Ok(far) = TcpStream::connect(target) else { return };
        for stream in [&near, &far] {
            let _ = stream.set_nodelay(true);
            if self.rate.is_some() {
                let _ = socket2::SockRef::from(stream).set_recv_buffer_size(KERNEL_BYTES);
                let _ = socket2::SockRef::from(stream).set_send_buffer_size(KERNEL_BYTES);
            }
        }
        for (from, to, way) in [(&near, &far, 0), (&far, &near, 1)] {
            let (Ok(from), Ok(to), line) = (from.try_clone(), to.try_clone(), Arc::clone(self)) else {
                return;
            };
            named(move || line.pump(from, to, way));
        }
        lock(&self.streams).extend([near, far]);
    }

    fn pump(&self, mut from: TcpStream, mut to: TcpStream, way: usize) {
        let mut piece = [0; PIECE];
        while let Ok(count @ 1..) = from.read(&mut piece) {
            if let Some(rate) = self.rate {
                let takes = Duration::from_nanos(count as u64 * 1_000_000_000 / rate);
                let begins = {
                    let mut free = lock(&self.free[way]);
                    let begins = (*free).max(Instant::now());
                    *free = begins + takes;
                    begins
                };
                thread::sleep((begins + takes).saturating_duration_since(Instant::now()));
            }
            if to.write_all(&piece[..count]).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Write);
        let _ = from.shutdown(Shutdown::Read);
    }
}

fn named(run: impl FnOnce() + Send + 'static) {
    thread::Builder::new().name("abuse::proxy".to_owned()).spawn(run).expect("a thread");
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

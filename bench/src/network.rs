//! What a round trip over loopback TCP costs at least.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread;
use std::time::Instant;

use crate::failure::{Doing, Failure};
use crate::load::{Answers, Load, Recorder};

/// Sends as many bytes as `load` has in a value to another thread and reads them back, one trip at a time.
pub(crate) fn round_trips(load: &Load) -> Result<Answers, Failure> {
    let doing = || "measure round trips over loopback".to_owned();
    let mut recorder = Recorder::new(load, load.window())?;
    let mut bytes = vec![0; load.value_bytes as usize];
    let mut trip = || {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let mut here = TcpStream::connect(listener.local_addr()?)?;
        let (there, _) = listener.accept()?;
        here.set_nodelay(true)?;
        there.set_nodelay(true)?;
        let size = bytes.len();
        // Ends when this side is closed.
        let echo = thread::spawn(move || echo(there, size));
        let mut now = Instant::now();
        while !recorder.is_over(now) {
            let begin = now;
            here.write_all(&bytes)?;
            here.read_exact(&mut bytes)?;
            now = Instant::now();
            recorder.answer(begin, now);
        }
        drop(here);
        echo.join().map_err(|_| io::Error::other("the other side panicked"))?;
        Ok::<_, io::Error>(())
    };
    trip().doing(doing)?;
    Ok(recorder.finish())
}

fn echo(mut stream: TcpStream, size: usize) {
    let mut bytes = vec![0; size];
    while stream.read_exact(&mut bytes).is_ok() && stream.write_all(&bytes).is_ok() {}
}

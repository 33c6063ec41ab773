//! A follower: one thread, which reads all that is there, writes it once, syncs it once and acknowledges once.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::child::{Counters, attend};
use crate::disk::Ring;
use crate::failure::{Doing, Failure};

/// The most that is read at once.
const READ: usize = 1 << 20;

/// Runs until the leader or the parent is gone.
pub(crate) fn run(name: &str, dir: &Path) -> Result<(), Failure> {
    let ring = Ring::create(dir, name)?;
    let doing = || format!("run {name}");
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).doing(doing)?;
    let address = listener.local_addr().doing(doing)?;
    let syncs = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&syncs);
    attend(
        &address.to_string(),
        move || Counters { syncs: counted.load(Ordering::Relaxed) },
        || std::process::exit(0),
    )?;
    follow(&listener, ring, &syncs).doing(doing)
}

fn follow(listener: &TcpListener, mut ring: Ring, syncs: &AtomicU64) -> io::Result<()> {
    let (mut leader, _) = listener.accept()?;
    leader.set_nodelay(true)?;
    let mut buffer = vec![0; READ];
    let mut position = 0_u64;
    loop {
        // A leader that ends with acknowledgements unread resets the connection: that is its end as well.
        let Ok(read @ 1..) = leader.read(&mut buffer) else { return Ok(()) };
        ring.append(&buffer[..read])?;
        ring.sync()?;
        syncs.fetch_add(1, Ordering::Relaxed);
        position += read as u64;
        if leader.write_all(&position.to_le_bytes()).is_err() {
            return Ok(());
        }
    }
}

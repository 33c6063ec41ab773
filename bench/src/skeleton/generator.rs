//! The load: connections, each with its requests outstanding. A turn of a connection reads all answers that are there
//! and writes as many new requests at once, or those that are due.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::timeout;

use super::record;
use crate::failure::{Doing, Failure};
use crate::load::{Answers, Load, Recorder, Window};
use crate::pace::Slots;
use crate::timer::Timer;

/// A leader that answers nothing for so long has failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// Runs `load` against the leader at `address`; answers are counted in `told` as they come.
pub(crate) fn run(
    load: &Load,
    window: Window,
    address: SocketAddr,
    told: &Arc<AtomicU64>,
) -> Result<Answers, Failure> {
    let doing = || "run the load".to_owned();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().doing(doing)?;
    let recorder = Rc::new(RefCell::new(Recorder::new(load, window)?.telling(told)));
    LocalSet::new().block_on(&runtime, async {
        let mut connections = JoinSet::new();
        for number in 0..load.connections {
            let slots = Slots::new(load, number, window);
            connections.spawn_local(connection(*load, address, slots, Rc::clone(&recorder)));
        }
        while let Some(ended) = connections.join_next().await {
            ended.doing(doing)?.doing(doing)?;
        }
        Ok(())
    })?;
    let recorder = Rc::into_inner(recorder).ok_or_else(|| Failure::new(doing(), "a connection is left"))?;
    Ok(recorder.into_inner().finish())
}

async fn connection(
    load: Load,
    address: SocketAddr,
    mut slots: Slots,
    recorder: Rc<RefCell<Recorder>>,
) -> io::Result<()> {
    let timer = slots.is_open().then(Timer::new).transpose()?;
    let last = recorder.borrow().last();
    let mut socket = TcpStream::connect(address).await?;
    socket.set_nodelay(true)?;
    let value = vec![0xA5; load.value_bytes as usize];
    let (mut requests, mut answers) = (BytesMut::new(), BytesMut::new());
    let mut now = Instant::now();
    loop {
        {
            let mut recorder = recorder.borrow_mut();
            // A call is a place. All are written at once.
            while let Some((place, since)) = slots.take(now) {
                recorder.sent(since, now);
                record::request(&mut requests, place as u64, &value);
            }
            if recorder.is_over(now) || slots.is_done() {
                break;
            }
        }
        socket.write_all_buf(&mut requests).await?;
        answers.reserve(record::ANSWER * load.in_flight as usize);
        let read = match &timer {
            None => timeout(PATIENCE, socket.read_buf(&mut answers)).await?.map(Some),
            Some(timer) => tokio::select! {
                biased;
                read = socket.read_buf(&mut answers) => read.map(Some),
                ended = timer.until(slots.wake().unwrap_or(last)) => ended.map(|()| None),
            },
        };
        if read? == Some(0) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut recorder = recorder.borrow_mut();
        now = Instant::now();
        while let Some(call) = record::answered(&mut answers) {
            let Some(since) = usize::try_from(call).ok().and_then(|call| slots.answered(call)) else {
                return Err(io::Error::other(format!("an answer to call {call}, which there is not")));
            };
            recorder.answer(since, now);
        }
    }
    if slots.is_open() {
        let mut recorder = recorder.borrow_mut();
        for (_, since) in slots.reset() {
            recorder.lost(since, now, "no answer came until the end of the run");
        }
        while let Some(due) = slots.unsent() {
            recorder.unsent(due);
        }
    }
    Ok(())
}

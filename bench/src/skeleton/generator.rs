//! The load: connections, each with its requests outstanding. A turn of a connection reads all answers that are there
//! and writes as many new requests at once.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::timeout;

use super::record;
use crate::failure::{Doing, Failure};
use crate::load::{Answers, Load, Recorder, Window};

/// A leader that answers nothing for so long has failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// Runs `load` against the leader at `address`.
pub(crate) fn run(load: &Load, window: Window, address: SocketAddr) -> Result<Answers, Failure> {
    let doing = || "run the load".to_owned();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().doing(doing)?;
    let recorder = Rc::new(RefCell::new(Recorder::new(load, window)?));
    LocalSet::new().block_on(&runtime, async {
        let mut connections = JoinSet::new();
        for _ in 0..load.connections {
            connections.spawn_local(connection(*load, address, Rc::clone(&recorder)));
        }
        while let Some(ended) = connections.join_next().await {
            ended.doing(doing)?.doing(doing)?;
        }
        Ok(())
    })?;
    let recorder = Rc::into_inner(recorder).ok_or_else(|| Failure::new(doing(), "a connection is left"))?;
    Ok(recorder.into_inner().finish())
}

async fn connection(load: Load, address: SocketAddr, recorder: Rc<RefCell<Recorder>>) -> io::Result<()> {
    let mut socket = TcpStream::connect(address).await?;
    socket.set_nodelay(true)?;
    let value = vec![0xA5; load.value_bytes as usize];
    let (mut requests, mut answers) = (BytesMut::new(), BytesMut::new());
    let mut now = Instant::now();
    // A call is a place in here.
    let mut sent = vec![now; load.in_flight as usize];
    for call in 0..sent.len() {
        record::request(&mut requests, call as u64, &value);
    }
    while !recorder.borrow().is_over(now) {
        socket.write_all_buf(&mut requests).await?;
        answers.reserve(record::ANSWER * sent.len());
        let read = timeout(PATIENCE, socket.read_buf(&mut answers)).await?;
        if read? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut recorder = recorder.borrow_mut();
        now = Instant::now();
        while let Some(call) = record::answered(&mut answers) {
            let Some(sent) = usize::try_from(call).ok().and_then(|call| sent.get_mut(call)) else {
                return Err(io::Error::other(format!("an answer to call {call}, which there is not")));
            };
            recorder.answer(*sent, now);
            // Written next, as soon as all answers are read.
            *sent = now;
            record::request(&mut requests, call, &value);
        }
    }
    Ok(())
}

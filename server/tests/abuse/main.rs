//! Real clusters of three nodes in this process, attacked over real sockets by whoever can reach their ports.
//!
//! # Why
//! A node is reached by programs that are broken, old, slow, greedy or of another cluster. What each of them can spoil is
//! its own connection: the others are served, the leader stays, memory stays bounded, and nothing panics. That is claimed
//! all over the code; here it is tried from outside.
//!
//! # Shape
//! | file | what stands there |
//! |---|---|
//! | `cluster` | starts clusters, and says whether they are as they were: same term, same leader, no thread has panicked |
//! | `raw` | a socket that says whatever it is told to, and reads how the other side ends it |
//! | `neighbour` | a well-behaved client beside the attack, to which nothing may happen |
//! | `proxy` | a slow line, and one that leads elsewhere after a while |
//! | `measure` | seeds, sizes from the environment, memory, stalls of the machine |
//! | `malformed` | bytes that are no protocol, anywhere in a connection |
//! | `connections` | clients that are silent, slow, greedy, or of another version or cluster |
//! | `strangers` | peers that do not belong here |
//! | `flood`, `large` | much, long and slow at the default timeouts |
//!
//! # Sizes
//! By default everything is small. `SECONDS=60` makes the fuzzer and the flood run that long, `FLOOD=1024` is the number of
//! connections of the flood, `CLIENTS=8400` that of quiet ones (more than a node takes), `KEYS=1000000` that of the keys that
//! are deleted, `CALLS=4000` that of calls at once, `SEED=…` repeats a run. Large runs belong into a release build, one test
//! at a time, with `--nocapture`: each prints what it counted.

#![forbid(unsafe_code)]

mod cluster;
mod connections;
mod flood;
mod large;
mod malformed;
mod measure;
mod neighbour;
mod proxy;
mod raw;
mod strangers;

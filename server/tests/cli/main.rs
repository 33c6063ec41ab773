//! The command line as scripts see it: what each command prints, and with which number it ends, over real nodes. Needs real time,
//! as all tests with processes: it waits for what is to happen, and fails only when that takes too long.

mod alone;
mod bad;
#[path = "../processes/cluster.rs"]
#[allow(dead_code, reason = "shared with other tests, which use more of it")]
mod cluster;
mod interrupts;
mod script;
mod verbs;

fn block_on<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(work)
}

//! The runbooks, and the page about operating: each test breaks a real cluster of processes and then does nothing but what the page
//! says, with the page's own commands, until the cluster is well. Meanwhile writers note what was acknowledged, and at the end
//! all of it has to be there, or exactly that has to be missing which the page has announced.
//!
//! Needs real time: it waits for what is to happen, and fails only when that takes longer than [`machines::PATIENCE`].

mod ledger;
mod machines;
mod page;
#[path = "../terminal_common/mod.rs"]
mod terminal;
mod unit;

use ledger::Ledger;
use machines::Site;
use page::Page;

#[test]
fn replace() {
    let mut site = Site::formed("d");
    let mut ledger = Ledger::begin(&site);
    site.destroy('c');
    ledger.await_more();
    eprintln!("{}", site.shell('-', "holdfast status").text);
    assert_eq!(ledger.lost().len(), 0);
    let _ = Page::any("README.md");
}

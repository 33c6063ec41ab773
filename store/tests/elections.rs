//! Elections: the edges of machine 12, and what observers may rely on.

mod common;

use common::{Fed, campaign, guarded, proclaim, resign, revoke, succeeded};
use holdfast_command::keys::Against;
use holdfast_command::{Refusal, Reply, Request};
use holdfast_store::queues::election::Edge;
use holdfast_store::{QueueKind, Touch, Touched};

/// Who is in office, in which term, and what was proclaimed.
fn office(fed: &Fed) -> Option<(i64, u64, String)> {
    let queue = fed.store.queue(QueueKind::Election, b"e")?;
    let holder = queue.holder()?;
    Some((holder.lease(), queue.token(), String::from_utf8_lossy(holder.value()).into_owned()))
}

fn in_office(lease: i64, term: u64, value: &str) -> Option<(i64, u64, String)> {
    Some((lease, term, value.to_owned()))
}

/// Three candidates, of which the first is in office.
fn campaigning() -> (Fed, [i64; 3]) {
    let mut fed = Fed::new();
    let leases = [5_000, 60_000, 60_000].map(|ttl_ms| fed.grant(0, ttl_ms));
    for (lease, value) in leases.into_iter().zip(["one", "two", "three"]) {
        fed.command(campaign("e", lease, value)).expect("a candidacy");
    }
    (fed, leases)
}

#[test]
fn t1_elect_takes_whoever_campaigned_first_and_proclaims_what_it_campaigned_with() {
    let mut fed = Fed::new();
    let (one, other) = (fed.grant(0, 5_000), fed.grant(0, 5_000));
    assert_eq!(fed.command(campaign("e", one, "one")), Ok(Reply::Elected { token: 1 }));
    assert_eq!(fed.command(campaign("e", other, "other")), Ok(Reply::Campaigning { ahead: 1 }));
    assert_eq!(fed.command(campaign("e", one, "another")), Ok(Reply::Elected { token: 1 }));
    assert_eq!(office(&fed), in_office(one, 1, "one"), "campaigning again changes nothing");
    assert_eq!(fed.store.election_edges(Edge::Elect), 1);
}

#[test]
fn t2_resign_gives_the_office_to_the_next_in_a_new_term() {
    let (mut fed, [one, two, _]) = campaigning();
    assert_eq!(fed.command(resign("e", one)), Ok(Reply::Resigned { held: true }));
    assert_eq!(office(&fed), in_office(two, 2, "two"));
    assert_eq!(fed.store.election_edges(Edge::Resign), 1);
}

#[test]
fn t3_withdraw_a_candidacy_and_whoever_is_in_office_stays() {
    let (mut fed, [one, two, three]) = campaigning();
    assert_eq!(fed.command(resign("e", two)), Ok(Reply::Resigned { held: false }));
    assert_eq!(fed.command(resign("e", two)), Err(Refusal::NotInQueue { lease: two }));
    assert_eq!(office(&fed), in_office(one, 1, "one"));
    assert_eq!(fed.command(campaign("e", three, "")), Ok(Reply::Campaigning { ahead: 1 }));
    assert_eq!(fed.store.election_edges(Edge::Withdraw), 1);
}

#[test]
fn t4_depose_whose_lease_has_ended_and_elect_the_next_with_the_same_entry() {
    let (mut fed, [_, two, _]) = campaigning();
    fed.pass(5_000);
    fed.expire_due();
    assert_eq!(office(&fed), in_office(two, 2, "two"));
    assert_eq!(fed.store.election_edges(Edge::Depose), 1);
}

#[test]
fn t5_drop_a_candidate_whose_lease_has_ended() {
    let (mut fed, [one, two, three]) = campaigning();
    fed.command(revoke(two)).expect("its holder ends it");
    fed.command(resign("e", one)).expect("it is in office");
    assert_eq!(office(&fed), in_office(three, 2, "three"));
    assert_eq!(fed.store.election_edges(Edge::Drop), 1);
}

#[test]
fn t6_proclaim_only_in_office_and_only_in_that_term() {
    let (mut fed, [one, two, _]) = campaigning();
    assert_eq!(fed.command(proclaim("e", one, 1, "news")), Ok(Reply::Proclaimed));
    assert_eq!(office(&fed), in_office(one, 1, "news"));
    let refused = |asked, current| Err(Refusal::NotElected { asked, current });
    assert_eq!(fed.command(proclaim("e", one, 2, "no")), refused(2, 1), "another term");
    assert_eq!(fed.command(proclaim("e", two, 1, "no")), refused(1, 1), "a candidate");
    assert_eq!(fed.command(proclaim("f", one, 1, "no")), refused(1, 0), "an election that is not held");
    assert_eq!(office(&fed), in_office(one, 1, "news"));
    assert_eq!(fed.store.election_edges(Edge::Proclaim), 1);
}

#[test]
fn who_was_elected_again_proclaims_nothing_in_its_former_term() {
    let mut fed = Fed::new();
    let lease = fed.grant(0, 60_000);
    fed.command(campaign("e", lease, "first")).expect("it is free");
    fed.command(resign("e", lease)).expect("it is in office");
    assert_eq!(fed.command(campaign("e", lease, "second")), Ok(Reply::Elected { token: 2 }));
    let late = fed.command(proclaim("e", lease, 1, "late"));
    assert_eq!(late, Err(Refusal::NotElected { asked: 1, current: 2 }));
    assert_eq!(office(&fed), in_office(lease, 2, "second"));
}

#[test]
fn a_write_that_is_guarded_by_a_term_is_done_in_that_term_only() {
    let (mut fed, [one, _, _]) = campaigning();
    assert!(succeeded(fed.command(guarded("e", Against::Term(1), "k", "one"))));
    fed.command(resign("e", one)).expect("it is in office");
    assert!(!succeeded(fed.command(guarded("e", Against::Term(1), "k", "late"))));
    assert_eq!(fed.value("k").as_deref(), Some("one"));
}

#[test]
fn observers_are_told_of_each_change_of_office_or_proclamation_and_of_nothing_else() {
    let (mut fed, [one, two, three]) = campaigning();
    let is_changed = |touched: &Touched| touched.what == Touch::Changed;
    let mut told = Vec::new();
    for command in [
        campaign("e", one, "again"),
        proclaim("e", one, 1, "news"),
        proclaim("e", one, 9, "refused"),
        resign("e", three),
        resign("e", one),
        revoke(two),
    ] {
        let applied = fed.request(Request::from(command));
        let news = applied.touched.iter().filter(|touched| is_changed(touched)).count();
        let index = fed.store.applied().index;
        let changed = fed.store.queue(QueueKind::Election, b"e").map(|queue| queue.changed_at() == index);
        assert!(changed.is_none_or(|changed| changed == (news == 1)), "by index as well");
        told.push(news);
    }
    assert_eq!(told, [0, 1, 0, 0, 1, 1]);
    assert_eq!(office(&fed), None);
}

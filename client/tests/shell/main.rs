//! The client on real sockets, against a server in this process that misbehaves in every way it is told to. Each test
//! has to end: a call that hangs is what the outer time limit is for.

mod fake;

use std::time::Duration;

use fake::{Manner, Server, cluster};
use holdfast_client::command::keys::{Range, Span};
use holdfast_client::command::{Command, Reply};
use holdfast_client::{Builder, CallOptions, Client, Error, Kind, Outcome, ReadOptions, What};
use holdfast_wire::message::CloseReason;
use tokio::net::TcpListener;

/// The outer limit: nothing here takes a tenth of it.
async fn bounded<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), what).await.expect("nothing hangs")
}

fn builder(servers: &[&Server]) -> Builder {
    Client::builder(servers.iter().map(|server| server.address.clone()))
        .timeout(Duration::from_millis(600))
        .connect_timeout(Duration::from_millis(200))
        .silence_timeout(Duration::from_millis(200))
        .seed(1)
}

/// An address where nobody listens.
async fn nowhere() -> String {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string()
}

/// What a put to a server of this manner comes to, in a session or not.
async fn put_to(manner: Manner, exactly_once: bool) -> Error {
    let server = Server::start(manner).await;
    let client = builder(&[&server]).exactly_once(exactly_once).build().unwrap();
    bounded(client.put("1", "v")).await.unwrap_err()
}

#[tokio::test]
async fn answers_in_any_order_reach_those_who_asked() {
    let server = Server::start(Manner::Kind).await;
    let client = bounded(builder(&[&server]).connect()).await.unwrap();
    let calls = (1..=500_u64).map(|number| {
        let client = client.clone();
        tokio::spawn(async move { (number, client.put(number.to_string(), "v").await) })
    });
    for call in calls.collect::<Vec<_>>() {
        let (number, result) = bounded(call).await.unwrap();
        assert_eq!(result.unwrap().0, Reply::Put { revision: number, previous: None });
    }
    assert_eq!(server.asked.lock().unwrap().puts.len(), 500);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_on_several_threads_share_one_connection() {
    let server = Server::start(Manner::Kind).await;
    let client = bounded(builder(&[&server]).timeout(Duration::from_secs(20)).connect()).await.unwrap();
    let calls = (1..=2_000_u64).map(|number| {
        let client = client.clone();
        tokio::spawn(
            async move { client.put(number.to_string(), "v").await.map(|(reply, _)| (number, reply)) },
        )
    });
    for call in calls.collect::<Vec<_>>() {
        let (number, reply) = bounded(call).await.unwrap().unwrap();
        assert_eq!(reply, Reply::Put { revision: number, previous: None });
    }
    assert_eq!(server.asked.lock().unwrap().connections, 1);
}

#[tokio::test]
async fn a_read_gives_what_was_found() {
    let server = Server::start(Manner::Slow).await;
    let client = bounded(builder(&[&server]).connect()).await.unwrap();
    let found = bounded(client.get("k")).await.unwrap().unwrap();
    assert_eq!((&found.key[..], &found.value[..]), (&b"k"[..], &b"v"[..]));
    let page = bounded(client.read(Range::of(Span::all()), ReadOptions::stale(0))).await.unwrap();
    assert_eq!(page.position.to_string(), "1.0.1.7");
}

#[tokio::test]
async fn a_connection_that_ends_in_the_middle_of_an_answer_costs_a_session_nothing() {
    let server = Server::start(Manner::CutAnswer).await;
    let client = builder(&[&server]).build().unwrap();
    let (reply, _) = bounded(client.put("5", "v")).await.unwrap();
    assert_eq!(reply, Reply::Put { revision: 5, previous: None });
    let asked = server.asked.lock().unwrap();
    assert_eq!(asked.puts.values().max(), Some(&1), "the second copy was recognised");
    assert!(asked.copies > asked.puts.len() as u64, "there was one");
}

#[tokio::test]
async fn without_a_session_a_cut_answer_leaves_the_outcome_unknown() {
    let error = put_to(Manner::CutAnswer, false).await;
    assert_eq!((error.kind, error.outcome), (Kind::ConnectionLost, Outcome::Unknown), "{error}");
    assert!(matches!(error.tried[0].what, What::ConnectionLost(_)));
}

#[tokio::test]
async fn answers_that_are_cut_again_and_again_end_unknown_at_the_deadline() {
    let error = put_to(Manner::CutAnswers, true).await;
    assert_eq!((error.kind, error.outcome), (Kind::TimedOut, Outcome::Unknown), "{error}");
}

#[tokio::test]
async fn a_connection_refused_everywhere_fails_at_once() {
    let endpoints = [nowhere().await, nowhere().await];
    // For ever, if it were not told at once.
    let connect = Client::builder(endpoints).timeout(Duration::MAX).connect();
    let error = bounded(connect).await.unwrap_err();
    assert_eq!((error.kind, error.outcome), (Kind::NoEndpoint, Outcome::NotApplied));
    assert_eq!(error.tried.len(), 2);
    assert!(error.tried.iter().all(|attempt| attempt.what == What::ConnectRefused), "{error}");
}

#[tokio::test]
async fn a_name_that_does_not_exist_fails_at_once() {
    let connect = Client::builder(["host.invalid:7400"]).timeout(Duration::MAX).connect();
    let error = bounded(connect).await.unwrap_err();
    assert_eq!(error.kind, Kind::NoEndpoint, "{error}");
}

#[tokio::test]
async fn endpoints_that_are_none_are_refused_before_anything_is_dialed() {
    let many: Vec<String> = (1..=65).map(|port| format!("127.0.0.1:{port}")).collect();
    for endpoints in [vec![], vec!["127.0.0.1".to_owned()], vec![":7400".into()], vec!["a b:1".into()], many]
    {
        let error = Client::builder(endpoints.clone()).build().unwrap_err();
        assert_eq!(error.kind, Kind::Invalid, "{endpoints:?}");
    }
    let error = Client::builder(["a:1"]).name("x".repeat(300)).build().unwrap_err();
    assert_eq!(error.kind, Kind::Invalid);
}

#[tokio::test]
async fn a_server_that_welcomes_and_falls_silent_is_given_up() {
    let error = put_to(Manner::HalfOpen, true).await;
    assert_eq!(
        (error.kind, error.outcome),
        (Kind::TimedOut, Outcome::NotApplied),
        "no session was opened: {error}"
    );
    assert!(error.tried.iter().any(|attempt| attempt.what == What::Silent), "{error}");
}

#[tokio::test]
async fn a_bare_write_to_a_server_that_falls_silent_has_an_unknown_outcome() {
    let error = put_to(Manner::HalfOpen, false).await;
    assert_eq!((error.kind, error.outcome), (Kind::ConnectionLost, Outcome::Unknown), "{error}");
    assert_eq!(error.tried[0].what, What::Silent);
}

#[tokio::test]
async fn a_silent_server_beside_one_that_answers_costs_no_call() {
    for seed in 0..4 {
        let (silent, kind) = (Server::start(Manner::HalfOpen).await, Server::start(Manner::Kind).await);
        let client = builder(&[&silent, &kind]).timeout(Duration::from_secs(10)).seed(seed).build().unwrap();
        bounded(client.put("1", "v")).await.unwrap();
    }
}

#[tokio::test]
async fn a_server_that_never_greets_is_given_up() {
    let error = put_to(Manner::Mute, true).await;
    assert_eq!((error.kind, error.outcome), (Kind::TimedOut, Outcome::NotApplied));
    assert_eq!(error.tried[0].what, What::ConnectTimedOut, "{error}");
}

#[tokio::test]
async fn a_server_that_ends_every_connection_at_once_is_no_endpoint() {
    let error = put_to(Manner::Slam, true).await;
    assert_eq!((error.kind, error.outcome), (Kind::NoEndpoint, Outcome::NotApplied));
    assert!(matches!(error.tried[0].what, What::ConnectionLost(_)), "{error}");
}

#[tokio::test]
async fn another_protocol_is_called_incompatible() {
    let error = put_to(Manner::Http, true).await;
    assert_eq!((error.kind, error.outcome), (Kind::Incompatible, Outcome::NotApplied));
    let What::NotWelcome { reason, detail } = &error.tried[0].what else { panic!("{error}") };
    assert_eq!(*reason, Some(CloseReason::Violation));
    assert!(detail.contains("not the holdfast protocol"), "{detail}");
}

#[tokio::test]
async fn a_version_that_nobody_here_speaks_is_called_incompatible() {
    let error = put_to(Manner::Future, true).await;
    assert_eq!((error.kind, error.outcome), (Kind::Incompatible, Outcome::NotApplied));
    let What::NotWelcome { reason, .. } = &error.tried[0].what else { panic!("{error}") };
    assert_eq!(*reason, Some(CloseReason::NoCommonVersion), "{error}");
}

#[tokio::test]
async fn an_endpoint_of_another_cluster_is_not_asked() {
    let ours = Server::start(Manner::Kind).await;
    let client = bounded(builder(&[&ours]).connect()).await.unwrap();
    let foreign = Server::start(Manner::Foreign).await;
    let error = bounded(client.status(&foreign.address)).await.unwrap_err();
    assert_eq!(error.kind, Kind::Incompatible);
    let What::NotWelcome { reason, detail } = &error.tried[0].what else { panic!("{error}") };
    assert_eq!(*reason, Some(CloseReason::WrongCluster));
    assert!(
        detail.contains(&cluster(1).id.to_string()) && detail.contains(&cluster(2).id.to_string()),
        "{detail}"
    );
    bounded(client.put("1", "v")).await.unwrap();
    assert_eq!(foreign.asked.lock().unwrap().copies, 0);
}

#[tokio::test]
async fn of_two_clusters_among_the_endpoints_only_one_is_ever_asked() {
    for seed in 0..4 {
        let (one, two) = (Server::start(Manner::Kind).await, Server::start(Manner::Foreign).await);
        let client = builder(&[&one, &two]).seed(seed).build().unwrap();
        for _ in 0..20 {
            bounded(client.put("1", "v")).await.unwrap();
        }
        let asked = |server: &Server| server.asked.lock().unwrap().copies;
        assert!(asked(&one) == 0 || asked(&two) == 0, "seed {seed}");
        let turned_away = async {
            // Calls, so that whoever is not connected is dialed.
            while !client.endpoints().iter().any(|view| {
                let reason = match &view.last_failure {
                    Some(What::NotWelcome { reason, .. }) => *reason,
                    _ => None,
                };
                !view.connected && reason == Some(CloseReason::WrongCluster)
            }) {
                client.put("1", "v").await.unwrap();
            }
        };
        bounded(turned_away).await;
    }
}

#[tokio::test]
async fn what_is_not_the_protocol_in_place_of_an_answer_ends_the_connection_and_not_the_client() {
    for manner in [Manner::BadCheck, Manner::OtherKind, Manner::Invented] {
        let error = put_to(manner, false).await;
        assert_eq!(
            (error.kind, error.outcome),
            (Kind::ConnectionLost, Outcome::Unknown),
            "{manner:?}: {error}"
        );
        let What::ConnectionLost(why) = &error.tried[0].what else { panic!("{manner:?}: {error}") };
        assert!(why.contains("Violation"), "{manner:?}: {why}");
        let error = put_to(manner, true).await;
        assert_eq!((error.kind, error.outcome), (Kind::TimedOut, Outcome::Unknown), "{manner:?}: {error}");
    }
}

#[tokio::test]
async fn an_outcome_that_cannot_be_read_leaves_a_write_unknown() {
    let error = put_to(Manner::Unreadable, true).await;
    assert_eq!((error.kind, error.outcome), (Kind::Unreadable, Outcome::Unknown), "{error}");
}

#[tokio::test]
async fn a_request_longer_than_a_frame_is_not_sent() {
    let server = Server::start(Manner::Kind).await;
    let client = builder(&[&server]).build().unwrap();
    let error = bounded(client.put("1", vec![0; 2 << 20])).await.unwrap_err();
    assert_eq!((error.kind, error.outcome), (Kind::Invalid, Outcome::NotApplied), "{error}");
    bounded(client.put("2", vec![0; 1 << 19])).await.unwrap();
    assert!(!server.asked.lock().unwrap().puts.contains_key(&b"1"[..]));
}

#[tokio::test]
async fn status_and_stats_are_asked_of_one_endpoint_and_fail_at_once_where_nobody_listens() {
    let server = Server::start(Manner::Kind).await;
    let client = builder(&[&server]).build().unwrap();
    assert_eq!(bounded(client.status(&server.address)).await.unwrap(), fake::status());
    assert_eq!(bounded(client.stats(&server.address)).await.unwrap().log_bytes, 8);
    let nobody = nowhere().await;
    for _ in 0..5 {
        let error = bounded(client.status(&nobody)).await.unwrap_err();
        assert_eq!(error.kind, Kind::NoEndpoint, "{error}");
        assert_eq!(error.tried.len(), 1);
    }
    let error = bounded(client.status("no address")).await.unwrap_err();
    assert_eq!(error.kind, Kind::Invalid);
}

#[tokio::test]
async fn closing_ends_session_and_connection_and_so_does_dropping_the_last_clone() {
    for drops in [false, true] {
        let server = Server::start(Manner::Kind).await;
        let client = builder(&[&server]).build().unwrap();
        bounded(client.put("1", "v")).await.unwrap();
        let clone = client.clone();
        drop(client);
        bounded(clone.put("2", "v")).await.unwrap();
        if drops {
            drop(clone);
        } else {
            bounded(clone.close()).await;
            let error = bounded(clone.put("3", "v")).await.unwrap_err();
            assert_eq!((error.kind, error.outcome), (Kind::Closed, Outcome::NotApplied));
        }
        let ended = async {
            loop {
                let heard = server.heard.notified();
                let asked = server.asked.lock().map(|asked| (asked.closed_sessions, asked.goodbyes)).unwrap();
                if asked == (1, 1) {
                    return;
                }
                heard.await;
            }
        };
        bounded(ended).await;
    }
}

#[tokio::test]
async fn a_call_that_nobody_waits_for_any_more_harms_no_other() {
    let server = Server::start(Manner::Kind).await;
    let client = bounded(builder(&[&server]).connect()).await.unwrap();
    for number in 0..50 {
        let call = client.put(number.to_string(), "v");
        // Asked, and dropped before the answer.
        let _ = tokio::time::timeout(Duration::ZERO, call).await;
    }
    let (reply, _) = bounded(client.put("77", "v")).await.unwrap();
    assert_eq!(reply, Reply::Put { revision: 77, previous: None });
}

#[tokio::test]
async fn one_call_may_take_another_time_than_the_client() {
    let server = Server::start(Manner::Mute).await;
    let client = builder(&[&server]).timeout(Duration::MAX).build().unwrap();
    let options = CallOptions { timeout: Some(Duration::from_millis(50)), exactly_once: None };
    let put = Command::Put(Default::default());
    let error = bounded(client.submit_with(put, options)).await.unwrap_err();
    assert_eq!(error.kind, Kind::TimedOut);
    assert!(error.elapsed_ms >= 50);
}

#[test]
fn without_a_runtime_no_client_is_made() {
    let error = Client::builder(["127.0.0.1:1"]).build().unwrap_err();
    assert_eq!(error.kind, Kind::Invalid);
}

/// Which of the commands of a lock came, and the puts between them.
fn order(server: &Server) -> Vec<&'static str> {
    let name = |command: &Command| match command {
        Command::Acquire(_) => Some("acquire"),
        Command::Release(_) => Some("release"),
        Command::Put(_) => Some("put"),
        _ => None,
    };
    server.asked.lock().unwrap().commands.iter().filter_map(name).collect()
}

#[tokio::test]
async fn a_lock_that_is_given_up_is_not_released_before_the_request_for_it_was_answered() {
    let server = Server::start(Manner::LateLocks).await;
    let client = bounded(Client::builder([server.address.clone()]).seed(1).connect()).await.unwrap();
    let came = async |command| {
        while !order(&server).contains(&command) {
            server.heard.notified().await;
        }
    };
    let lease = bounded(client.lease(Duration::from_secs(60))).await.unwrap();
    let locking = tokio::spawn({
        let lease = lease.clone();
        async move { lease.lock("jobs", "", None).await.map(drop) }
    });
    bounded(came("acquire")).await;
    // Whoever waits for the lock learns at once that the lease is lost; what was asked for is still on its way.
    bounded(lease.revoke()).await.unwrap();
    let error = bounded(locking).await.unwrap().unwrap_err();
    assert_eq!(error.kind, Kind::Refused, "{error}");
    bounded(client.put("1", "v")).await.unwrap();
    bounded(came("release")).await;
    assert_eq!(order(&server), ["acquire", "put", "release"], "the request was answered with the put");
}

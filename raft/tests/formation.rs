//! Formation, edge by edge: what has to be durable first, what is refused, and what is said about it. Every order of events
//! is gone through in `formation_model.rs`.

use bytes::Bytes;
use holdfast_raft::NodeId;
use holdfast_raft::formation::{
    ASK_TICKS, Body, DropCause, Edge, Formation, FormationConfig, FormationError, FormationInput,
    FormationMessage, FormationOutput, IdentityState, Life, MemberList, Mint, Seed, State, StopReason,
};

fn list_of(ids: impl IntoIterator<Item = u64>) -> MemberList {
    MemberList::new(ids.into_iter().map(|id| (NodeId(id), Bytes::from(format!("node{id}:7001"))))).unwrap()
}

fn formation(id: u64, list: &MemberList, seed: u8, disk: &IdentityState) -> Formation {
    let config =
        FormationConfig { id: NodeId(id), members: list.clone(), seed: Seed([seed; 16]), ask_ticks: 1 };
    Formation::new(config, disk.clone()).unwrap()
}

/// A node whose disk is quick: what is to be persisted is, at once.
struct Node {
    id: u64,
    formation: Formation,
    disk: IdentityState,
}

/// A node as others address it: its id, and its present life.
type Who = (u64, Life);

impl Node {
    fn new(id: u64, list: &MemberList, seed: u8, disk: IdentityState) -> Self {
        Self { id, formation: formation(id, list, seed, &disk), disk }
    }

    fn blank(id: u64, list: &MemberList, seed: u8) -> Self {
        Self::new(id, list, seed, IdentityState::Blank)
    }

    /// One input, and what is said because of it.
    fn step(&mut self, input: FormationInput) -> Vec<FormationMessage> {
        let mut said = Vec::new();
        let mut input = Some(input);
        while let Some(next) = input.take() {
            let FormationOutput { send_now, persist, send_after_persist } = self.formation.step(next);
            said.extend(send_now);
            said.extend(send_after_persist);
            if let Some(identity) = persist {
                self.disk = identity;
                input = Some(FormationInput::Durable);
            }
        }
        said
    }

    fn tick(&mut self) -> Vec<FormationMessage> {
        self.step(FormationInput::Tick)
    }

    fn hear(&mut self, message: &FormationMessage) -> Vec<FormationMessage> {
        self.step(FormationInput::Message(message.clone()))
    }

    fn state(&self) -> State {
        self.formation.state()
    }

    fn count(&self, edge: Edge) -> u64 {
        self.formation.trace().count(edge)
    }

    fn who(&self) -> Who {
        (self.id, self.formation.life())
    }

    /// What this node answers somebody who asks.
    fn answers(&mut self, (id, life): Who, list: &MemberList) -> FormationMessage {
        self.hear(&message(id, life, self.id, list, Body::Ask)).remove(0)
    }

    /// The same process after the machine was cut off from its power.
    fn restart(&mut self, list: &MemberList, seed: u8) {
        *self = Self::new(self.id, list, seed, self.disk.clone());
    }
}

fn message(from: u64, life: Life, to: u64, list: &MemberList, body: Body) -> FormationMessage {
    FormationMessage { from: NodeId(from), life, to: NodeId(to), list: list.clone(), body }
}

/// Everybody ticks, and all that is said comes through, until nobody says anything new.
fn run(nodes: &mut [Node]) {
    for _ in 0..4 {
        let mut queue: Vec<FormationMessage> = nodes.iter_mut().flat_map(Node::tick).collect();
        while !queue.is_empty() {
            let message = queue.remove(0);
            if let Some(node) = nodes.iter_mut().find(|node| NodeId(node.id) == message.to) {
                queue.extend(node.hear(&message));
            }
        }
    }
}

fn three() -> (MemberList, Vec<Node>) {
    let list = list_of(1..=3);
    let nodes = (1..=3).map(|id| Node::blank(id, &list, id as u8)).collect();
    (list, nodes)
}

/// Three nodes that are formed.
fn formed() -> (MemberList, Vec<Node>, Mint) {
    let (list, mut nodes) = three();
    run(&mut nodes);
    let IdentityState::Formed(mint) = nodes[0].disk.clone() else { panic!("{:?}", nodes[0].formation) };
    (list, nodes, mint)
}

/// The mint of a process of the lowest id with this seed.
fn mint(list: &MemberList, seed: u8) -> Mint {
    Seed([seed; 16]).mint(list)
}

/// What the node at one place answers the node at another.
fn answer(nodes: &mut [Node], from: usize, to: usize, list: &MemberList) -> FormationMessage {
    let who = nodes[to].who();
    nodes[from].answers(who, list)
}

#[test]
fn blank_nodes_become_one_cluster_of_any_size() {
    for count in [1, 2, 3, 5, 15] {
        let list = list_of(1..=count);
        let mut nodes: Vec<Node> = (1..=count).map(|id| Node::blank(id, &list, id as u8)).collect();
        run(&mut nodes);
        let all: Vec<_> = nodes.iter().map(|node| node.formation.formed().unwrap()).collect();
        for (node, formed) in nodes.iter().zip(&all) {
            assert_eq!((&formed.cluster, &formed.members), (&all[0].cluster, &all[0].members));
            let own = formed.members.iter().find(|(id, ..)| id.0 == node.id).unwrap();
            assert_eq!((own.1, own.2.clone()), (formed.uuid, Bytes::from(format!("node{}:7001", node.id))));
            assert_eq!(node.disk.state(), State::Formed);
        }
        assert_eq!(all[0].members.len() as u64, count);
    }
}

#[test]
fn peers_are_asked_at_once_and_then_every_so_often_until_formed() {
    let list = list_of(1..=2);
    let config =
        FormationConfig { id: NodeId(2), members: list.clone(), seed: Seed([2; 16]), ask_ticks: ASK_TICKS };
    let mut node = Formation::new(config, IdentityState::Blank).unwrap();
    let asked: Vec<usize> = (0..=ASK_TICKS).map(|_| node.step(FormationInput::Tick).send_now.len()).collect();
    assert_eq!((asked[0], asked[1..ASK_TICKS as usize].iter().sum(), asked[ASK_TICKS as usize]), (1, 0, 1));
    let mut done = formation(2, &list, 2, &IdentityState::Formed(mint(&list, 1)));
    assert_eq!(done.step(FormationInput::Tick), FormationOutput::default(), "who is formed asks nobody");
}

#[test]
fn t1_mint_only_when_every_other_node_has_answered() {
    let (list, mut nodes) = three();
    let answers = [answer(&mut nodes, 1, 0, &list), answer(&mut nodes, 2, 0, &list)];
    nodes[0].hear(&answers[0]);
    nodes[0].hear(&answers[0]);
    nodes[0].tick();
    assert_eq!(nodes[0].state(), State::Blank, "node 3 may be formed");
    assert_eq!(nodes[0].formation.waiting_for().collect::<Vec<_>>(), [NodeId(3)]);
    let demands = nodes[0].hear(&answers[1]);
    assert_eq!((nodes[0].state(), nodes[0].count(Edge::Mint), demands.len()), (State::Minted, 1, 2));
    assert_eq!(nodes[0].disk, IdentityState::Minted(mint(&list, 1)));
    // The others never mint, whoever answers them.
    let to_2 = [answer(&mut nodes, 0, 1, &list), answer(&mut nodes, 2, 1, &list)];
    for message in to_2 {
        nodes[1].hear(&message);
    }
    assert_eq!(nodes[1].state(), State::Blank);
}

#[test]
fn t1_nobody_is_told_of_a_mint_before_it_is_durable() {
    let list = list_of(1..=2);
    let mut lowest = formation(1, &list, 1, &IdentityState::Blank);
    let mut other = Node::blank(2, &list, 2);
    let blank = other.answers((1, lowest.life()), &list);
    let out = lowest.step(FormationInput::Message(blank));
    assert_eq!(out.persist, Some(IdentityState::Minted(mint(&list, 1))));
    assert_eq!((out.send_now.len(), out.send_after_persist.len()), (0, 1));
    // While the disk works nothing is said, not even to those who ask.
    let ask = message(2, other.formation.life(), 1, &list, Body::Ask);
    assert_eq!(lowest.step(FormationInput::Message(ask.clone())), FormationOutput::default());
    assert_eq!(lowest.step(FormationInput::Tick), FormationOutput::default());
    assert_eq!(lowest.dropped(DropCause::Syncing), 1);
    lowest.step(FormationInput::Durable);
    assert_eq!(lowest.step(FormationInput::Message(ask)).send_now.len(), 1);
    assert_eq!(lowest.step(FormationInput::Durable), FormationOutput::default(), "told twice");
}

#[test]
fn t1_a_mint_is_repeated_unchanged_after_a_crash() {
    let (list, mut nodes) = three();
    for from in [1, 2] {
        let blank = answer(&mut nodes, from, 0, &list);
        nodes[0].hear(&blank);
    }
    nodes[0].restart(&list, 99);
    assert_eq!(nodes[0].state(), State::Minted);
    run(&mut nodes);
    for node in &nodes {
        assert_eq!(node.disk, IdentityState::Formed(mint(&list, 1)), "the names of the first process");
    }
}

/// Node 1 has minted and node 2 is asked to prepare: the demand.
fn demand(list: &MemberList, lowest: &mut Node, other: &mut Node) -> FormationMessage {
    let blank = other.answers(lowest.who(), list);
    let said = lowest.hear(&blank);
    said.into_iter().find(|message| message.to == NodeId(other.id)).expect("a demand")
}

#[test]
fn t2_prepare_is_durable_before_it_is_answered() {
    let list = list_of(1..=2);
    let (mut one, mut two) = (Node::blank(1, &list, 1), Node::blank(2, &list, 2));
    let prepare = demand(&list, &mut one, &mut two);
    let out = two.formation.step(FormationInput::Message(prepare.clone()));
    assert_eq!(out.persist, Some(IdentityState::Prepared(mint(&list, 1))));
    assert_eq!((out.send_now.len(), out.send_after_persist.len(), two.count(Edge::Prepare)), (0, 1, 1));
    two.formation.step(FormationInput::Durable);
    // The answer was lost: the demand comes again, and is answered again.
    assert_eq!(two.formation.step(FormationInput::Message(prepare)).send_now, out.send_after_persist);
    assert_eq!(two.formation.formed(), None, "and that is all it may do");
}

#[test]
fn t2_a_preparation_meant_for_an_earlier_process_is_dropped() {
    let list = list_of(1..=2);
    let (mut one, mut two) = (Node::blank(1, &list, 1), Node::blank(2, &list, 2));
    let prepare = demand(&list, &mut one, &mut two);
    two.hear(&prepare);
    let formed = one.hear(&two.answers(one.who(), &list));
    two.hear(&formed[0]);
    assert!(two.formation.formed().is_some(), "and may have voted");
    // Its directory is lost, and the network has kept copies of both messages.
    let mut again = Node::blank(2, &list, 3);
    assert!(again.hear(&prepare).is_empty() && again.hear(&formed[0]).is_empty());
    assert_eq!((again.state(), again.formation.dropped(DropCause::OtherLife)), (State::Blank, 2));
}

#[test]
fn t3_reprepare_for_a_lowest_id_that_lost_its_directory_before_anybody_was_formed() {
    let (list, mut nodes) = three();
    for from in [1, 2] {
        let blank = answer(&mut nodes, from, 0, &list);
        for prepare in nodes[0].hear(&blank) {
            let to = prepare.to.0 as usize - 1;
            nodes[to].hear(&prepare);
        }
    }
    assert_eq!([nodes[1].state(), nodes[2].state()], [State::Prepared; 2]);
    nodes[0] = Node::blank(1, &list, 9);
    run(&mut nodes);
    for node in &nodes {
        assert_eq!(node.disk, IdentityState::Formed(mint(&list, 9)));
    }
    assert_eq!([nodes[1].count(Edge::Reprepare), nodes[2].count(Edge::Reprepare)], [1, 1]);
}

#[test]
fn t3_a_late_demand_of_an_earlier_mint_changes_nothing() {
    let list = list_of(1..=2);
    let (mut one, mut two) = (Node::blank(1, &list, 1), Node::blank(2, &list, 2));
    let late = demand(&list, &mut one, &mut two);
    let mut one = Node::blank(1, &list, 9);
    let prepare = demand(&list, &mut one, &mut two);
    two.hear(&prepare);
    assert!(two.hear(&late).is_empty());
    assert_eq!(two.disk, IdentityState::Prepared(mint(&list, 9)), "the process that said so was gone before");
    assert_eq!(two.formation.dropped(DropCause::OtherLife), 1);
    // Nor is it taken before the newer one, once the newer process has asked.
    let (mut one, mut two) = (Node::blank(1, &list, 1), Node::blank(2, &list, 2));
    let late = demand(&list, &mut one, &mut two);
    let mut one = Node::blank(1, &list, 9);
    let prepare = demand(&list, &mut one, &mut two);
    two.hear(&late);
    assert_eq!(two.state(), State::Blank);
    two.hear(&prepare);
    assert_eq!(two.disk, IdentityState::Prepared(mint(&list, 9)));
}

#[test]
fn t4_form_first_only_when_everybody_holds_the_names() {
    let (list, mut nodes) = three();
    let (blank_2, blank_3) = (answer(&mut nodes, 1, 0, &list), answer(&mut nodes, 2, 0, &list));
    nodes[0].hear(&blank_2);
    let demands = nodes[0].hear(&blank_3);
    let prepared: Vec<FormationMessage> =
        demands.iter().flat_map(|demand| nodes[demand.to.0 as usize - 1].hear(demand)).collect();
    nodes[0].hear(&prepared[0]);
    assert_eq!(nodes[0].formation.waiting_for().collect::<Vec<_>>(), [NodeId(3)]);
    // Node 2 is blank again: what counts is what was heard last.
    nodes[0].hear(&blank_2);
    nodes[0].hear(&prepared[1]);
    assert_eq!(nodes[0].state(), State::Minted);
    let out = nodes[0].formation.step(FormationInput::Message(prepared[0].clone()));
    assert_eq!(out.persist, Some(IdentityState::Formed(mint(&list, 1))));
    assert_eq!(
        (out.send_now.len(), out.send_after_persist.len(), nodes[0].count(Edge::FormFirst)),
        (0, 2, 1)
    );
    assert_eq!(nodes[0].formation.formed(), None, "not before it is durable");
    nodes[0].formation.step(FormationInput::Durable);
    assert!(nodes[0].formation.formed().is_some());
}

#[test]
fn t5_follow_whoever_is_formed_and_act_only_when_it_is_durable() {
    let (list, mut nodes, mint) = formed();
    // Node 3 crashed before it heard, and node 1 is gone: node 2 will do.
    let mut three = formation(3, &list, 7, &IdentityState::Prepared(mint.clone()));
    let word = nodes[1].answers((3, three.life()), &list);
    let out = three.step(FormationInput::Message(word.clone()));
    assert_eq!(
        (out.persist, out.send_now, three.formed()),
        (Some(IdentityState::Formed(mint)), vec![], None)
    );
    three.step(FormationInput::Durable);
    assert!(three.formed().is_some());
    assert_eq!(three.trace().count(Edge::Follow), 1);
    three.step(FormationInput::Message(word));
    assert_eq!(three.dropped(DropCause::Late), 1, "known already");
}

#[test]
fn t5_a_word_that_was_under_way_when_a_new_lowest_process_asked_is_not_followed() {
    let (list, mut nodes, first) = formed();
    let mut two = Node::new(2, &list, 7, IdentityState::Prepared(first.clone()));
    let word = nodes[0].answers(two.who(), &list);
    // Node 1 loses its directory and asks. It is told `prepared`, and will mint anew.
    let mut one = Node::blank(1, &list, 9);
    for ask in one.tick().iter().filter(|ask| ask.to == NodeId(2)) {
        two.hear(ask);
    }
    two.hear(&word);
    assert_eq!((two.state(), two.formation.dropped(DropCause::OtherLife)), (State::Prepared, 1));
    // Who really is formed is asked again, and believed.
    let word = nodes[2].answers(two.who(), &list);
    two.hear(&word);
    assert_eq!(two.disk, IdentityState::Formed(first));
}

#[test]
fn t6_stop_wiped_when_an_empty_directory_meets_its_formed_cluster() {
    for id in 1..=3_u64 {
        let (list, mut nodes, mint) = formed();
        nodes[id as usize - 1] = Node::blank(id, &list, 9);
        run(&mut nodes);
        let wiped = &nodes[id as usize - 1];
        let uuid = mint.uuid(NodeId(id)).unwrap();
        let Some(reason @ StopReason::WipedDirectory { node, cluster, uuid: known, .. }) =
            wiped.formation.stopped()
        else {
            panic!("{:?}", wiped.formation)
        };
        assert_eq!((*node, *cluster, *known), (NodeId(id), mint.cluster(), uuid));
        assert!(reason.to_string().contains(&format!("`member replace {id}`")), "{reason}");
        assert!(reason.to_string().contains(&uuid.to_string()), "{reason}");
        assert_eq!((wiped.count(Edge::StopWiped), &wiped.disk), (1, &IdentityState::Blank));
    }
}

#[test]
fn t6_one_formed_answer_stops_a_new_mint_before_and_after_it_is_made() {
    let (list, mut nodes, first) = formed();
    let mut one = Node::blank(1, &list, 9);
    let mut prepared = Node::new(2, &list, 2, IdentityState::Prepared(first));
    let (unformed, word) = (prepared.answers(one.who(), &list), nodes[2].answers(one.who(), &list));
    one.hear(&unformed);
    one.hear(&word);
    assert_eq!((one.state(), one.count(Edge::Mint)), (State::Stopped, 0));
    let mut one = Node::new(1, &list, 9, IdentityState::Minted(mint(&list, 9)));
    let word = nodes[2].answers(one.who(), &list);
    one.hear(&word);
    assert!(matches!(one.formation.stopped(), Some(StopReason::WipedDirectory { .. })));
}

#[test]
fn t7_stop_superseded_when_the_others_are_formed_under_names_that_were_given_up() {
    let (list, mut nodes, first) = formed();
    let mut two = Node::new(2, &list, 7, IdentityState::Prepared(mint(&list, 9)));
    let word = nodes[2].answers(two.who(), &list);
    two.hear(&word);
    let Some(reason @ StopReason::Superseded { cluster, prepared, .. }) = two.formation.stopped() else {
        panic!("{:?}", two.formation)
    };
    assert_eq!((*cluster, *prepared), (first.cluster(), mint(&list, 9).cluster()));
    assert!(reason.to_string().contains("`member replace 2`"), "{reason}");
    assert_eq!(two.count(Edge::StopSuperseded), 1);
}

#[test]
fn t8_stop_an_old_copy_of_the_directory_that_formed_the_cluster() {
    let (list, mut nodes, first) = formed();
    let mut one = Node::new(1, &list, 7, IdentityState::Minted(first.clone()));
    let word = nodes[1].answers(one.who(), &list);
    one.hear(&word);
    let Some(reason @ StopReason::OldCopy { cluster, .. }) = one.formation.stopped() else {
        panic!("{:?}", one.formation)
    };
    assert_eq!((*cluster, one.count(Edge::StopOldCopy)), (first.cluster(), 1));
    assert!(reason.to_string().contains("is an old copy"), "{reason}");
}

#[test]
fn t9_stop_both_nodes_with_different_lists_and_show_both_lists_to_both() {
    let (ours, theirs) = (list_of([1, 2, 3]), list_of([1, 2, 4]));
    let mut nodes = [Node::blank(1, &ours, 1), Node::blank(2, &theirs, 2)];
    // One question is enough, and neither list names the mistake of the other.
    let ask = nodes[0].tick().remove(0);
    let told = nodes[1].hear(&ask).remove(0);
    let told_back = nodes[0].hear(&told).remove(0);
    nodes[1].hear(&told_back);
    for (node, own, other) in [(&nodes[0], &ours, &theirs), (&nodes[1], &theirs, &ours)] {
        let Some(reason @ StopReason::ListMismatch { ours, theirs, formed: None, .. }) =
            node.formation.stopped()
        else {
            panic!("{:?}", node.formation)
        };
        assert_eq!((ours, theirs, node.count(Edge::StopMismatch)), (own, other, 1));
        for part in ["1=node1:7001,2=node2:7001,3=node3:7001", "1=node1:7001,2=node2:7001,4=node4:7001"] {
            assert!(reason.to_string().contains(part), "{reason}");
        }
        assert!(reason.to_string().contains(&own.hash().to_string()), "{reason}");
    }
}

#[test]
fn t9_a_stranger_stops_at_a_formed_cluster_and_does_not_stop_it() {
    let (_, mut nodes, first) = formed();
    let other = list_of([1, 4]);
    let mut four = Node::blank(4, &other, 4);
    let ask = four.tick().remove(0);
    let told = nodes[0].hear(&ask).remove(0);
    let told_back = four.hear(&told).remove(0);
    assert!(matches!(four.formation.stopped(), Some(StopReason::ListMismatch { formed: Some(cluster), .. })
        if *cluster == first.cluster()));
    assert!(nodes[0].hear(&told_back).is_empty());
    assert_eq!((nodes[0].state(), nodes[0].formation.dropped(DropCause::Late)), (State::Formed, 1));
}

#[test]
fn a_formed_node_is_stopped_and_changed_by_nothing() {
    let (list, mut nodes, first) = formed();
    let other = mint(&list, 9);
    let life = nodes[1].formation.life();
    for identity in
        [IdentityState::Blank, IdentityState::Minted(other.clone()), IdentityState::Formed(other.clone())]
    {
        let body = Body::Answer { to_life: life, identity };
        nodes[1].hear(&message(1, Life(1), 2, &list, body));
    }
    // It answered `prepared` before it was formed, and the lowest id lost its directory in between.
    let body = Body::Prepare { to_life: life, mint: other };
    assert!(nodes[1].hear(&message(1, Life(1), 2, &list, body)).is_empty());
    assert_eq!(nodes[1].disk, IdentityState::Formed(first));
    let drops = [DropCause::Late, DropCause::TwoClusters, DropCause::Impossible];
    assert_eq!(drops.map(|cause| nodes[1].formation.dropped(cause)), [3, 1, 0]);
}

#[test]
fn a_stopped_node_says_nothing_more_and_begins_anew_after_a_restart() {
    let (list, mut nodes, _) = formed();
    let mut one = Node::blank(1, &list, 9);
    let word = nodes[1].answers(one.who(), &list);
    one.hear(&word);
    assert!(one.tick().is_empty());
    assert!(one.hear(&word).is_empty());
    assert_eq!(one.formation.dropped(DropCause::Stopped), 1);
    one.restart(&list, 10);
    assert_eq!((one.state(), one.tick().len()), (State::Blank, 2));
}

#[test]
fn what_cannot_be_is_dropped_and_counted() {
    let list = list_of(1..=3);
    let first = mint(&list, 1);
    let mut two = Node::new(2, &list, 2, IdentityState::Prepared(first.clone()));
    let life = two.formation.life();
    let uuids = first.uuids().iter().rev().copied();
    let forged = Mint::new(first.cluster(), list.clone(), uuids).unwrap();
    let answer = |identity| Body::Answer { to_life: life, identity };
    let prepare = |mint: &Mint| Body::Prepare { to_life: life, mint: mint.clone() };
    let other = list_of([1, 2]);
    for (cause, from, to, with, body) in [
        (DropCause::WrongAddressee, 1, 3, &list, Body::Ask),
        (DropCause::WrongAddressee, 2, 2, &list, Body::Ask),
        (DropCause::Malformed, 4, 2, &list, Body::Ask),
        (DropCause::Malformed, 1, 2, &list, prepare(&mint(&other, 9))),
        (DropCause::Malformed, 1, 2, &list, answer(IdentityState::Formed(mint(&other, 9)))),
        (DropCause::Impossible, 3, 2, &list, answer(IdentityState::Minted(first.clone()))),
        (DropCause::Impossible, 1, 2, &list, answer(IdentityState::Prepared(first.clone()))),
        (DropCause::Impossible, 1, 2, &list, answer(IdentityState::Formed(forged.clone()))),
        (DropCause::Impossible, 3, 2, &list, prepare(&mint(&list, 9))),
        (DropCause::Impossible, 1, 2, &list, prepare(&forged)),
    ] {
        let before = two.formation.dropped(cause);
        assert!(two.hear(&message(from, Life(7), to, with, body)).is_empty());
        assert_eq!(two.formation.dropped(cause), before + 1, "{cause}");
    }
    assert_eq!(two.disk, IdentityState::Prepared(first));
}

#[test]
fn no_message_in_no_state_panics() {
    let (list, other) = (list_of(1..=3), list_of([1, 2]));
    let mints = [mint(&list, 1), mint(&list, 9), mint(&other, 1)];
    let identities = || {
        let of = |mint: &Mint| {
            [
                IdentityState::Minted(mint.clone()),
                IdentityState::Prepared(mint.clone()),
                IdentityState::Formed(mint.clone()),
            ]
        };
        std::iter::once(IdentityState::Blank).chain(mints.iter().flat_map(of))
    };
    let mut tried = 0_u64;
    for id in 1..=3 {
        let config = |disk: &IdentityState| {
            let config =
                FormationConfig { id: NodeId(id), members: list.clone(), seed: Seed([9; 16]), ask_ticks: 1 };
            Formation::new(config, disk.clone()).ok()
        };
        for formation in identities().filter_map(|disk| config(&disk)) {
            let life = formation.life();
            let prepares = mints.iter().map(|mint| Body::Prepare { to_life: life, mint: mint.clone() });
            let answers = identities().map(|identity| Body::Answer { to_life: life, identity });
            let bodies: Vec<Body> = prepares.chain(answers).chain([Body::Ask]).collect();
            for (from, with) in (0..=4).flat_map(|from| [(from, &list), (from, &other)]) {
                for first in &bodies {
                    let mut one = formation.clone();
                    one.step(FormationInput::Message(message(from, Life(7), id, with, first.clone())));
                    // Two in a row, with the disk in between or not.
                    for second in &bodies {
                        let mut two = one.clone();
                        if tried.is_multiple_of(2) {
                            two.step(FormationInput::Durable);
                        }
                        two.step(FormationInput::Message(message(1, Life(8), id, &list, second.clone())));
                        two.step(FormationInput::Tick);
                        tried += 1;
                    }
                }
            }
        }
    }
    assert!(tried > 30_000, "{tried}");
}

#[test]
fn a_formation_does_not_begin_with_a_file_of_another_node_or_list() {
    let (list, other) = (list_of(1..=3), list_of(1..=2));
    let new = |id: u64, ask_ticks: u32, disk: IdentityState| {
        let config =
            FormationConfig { id: NodeId(id), members: list.clone(), seed: Seed([1; 16]), ask_ticks };
        Formation::new(config, disk).map(|formation| formation.state())
    };
    let ours = || mint(&list, 9);
    assert_eq!(new(1, 1, IdentityState::Minted(ours())), Ok(State::Minted));
    assert_eq!(new(2, 1, IdentityState::Prepared(ours())), Ok(State::Prepared));
    assert_eq!(new(2, 1, IdentityState::Formed(mint(&other, 9))), Ok(State::Formed), "members change later");
    let changed = FormationError::ListChanged { recorded: other.clone(), configured: list.clone() };
    assert!(changed.to_string().contains("1=node1:7001,2=node2:7001 ("), "{changed}");
    assert_eq!(new(2, 1, IdentityState::Prepared(mint(&other, 9))), Err(changed));
    assert_eq!(
        new(4, 1, IdentityState::Blank),
        Err(FormationError::NotListed { node: NodeId(4), list: list.clone() })
    );
    assert_eq!(new(3, 1, IdentityState::Minted(ours())), Err(FormationError::WrongRole { node: NodeId(3) }));
    assert_eq!(
        new(1, 1, IdentityState::Prepared(ours())),
        Err(FormationError::WrongRole { node: NodeId(1) })
    );
    assert_eq!(new(1, 0, IdentityState::Blank), Err(FormationError::NeverAsks));
}

//! Every machine and every numbered enum of the workspace. `tidy/tests/numbers.rs` scans the sources and fails if
//! one is declared and not listed here.

use holdfast_client::core::breaker::{BreakerEdge, BreakerEvent, BreakerMachine, BreakerState};
use holdfast_command::audit::TouchedKind;
use holdfast_command::keys::{Content, OperationNumber, Relation, SortBy, Subject};
use holdfast_command::query::{MissingReason, QueryNumber, QueueKind};
use holdfast_command::{Code, CommandNumber, Extension, ReplyNumber, Setting};
use holdfast_machine::{Machine, Numbered, audit, golden, render};
use holdfast_raft::formation::{self, FormationMachine};
use holdfast_raft::{
    Alarm, Bug, DropCause, MembershipEdge, MembershipEvent, MembershipMachine, MembershipState, ProgressEdge,
    ProgressEvent, ProgressMachine, ProgressState, Refusal, RoleEdge, RoleEvent, RoleMachine, RoleState,
    TransferEdge, TransferEvent, TransferMachine, TransferState,
};
use holdfast_server::cli::Exit;
use holdfast_server::doctor::Check;
use holdfast_server::node::{leadership, path};
use holdfast_server::runtime::{LifeEdge, LifeEvent, LifeMachine, LifeState};
use holdfast_server::stage::Stage;
use holdfast_server::watch::machine as watch;
use holdfast_store::leases::{LeaseEdge, LeaseEvent, LeaseMachine, LeaseState};
use holdfast_store::queues::{election, lock};
use holdfast_store::sessions::{self, SessionMachine};
use holdfast_wal::{Row as RecoveryRow, SegmentEdge, SegmentEvent, SegmentMachine, SegmentState, format};
use holdfast_wire::connection::{self, ConnectionMachine};
use holdfast_wire::message::{CloseReason, Consistency, Figure, Lane, MemberChange};
use holdfast_wire::{Flag, MessageType};

/// A machine, with its types erased.
#[derive(Clone, Debug)]
pub struct MachineEntry {
    /// Number of its page.
    pub number: u8,
    /// Name of its page.
    pub name: &'static str,
    /// Name of the type that implements it.
    pub type_name: &'static str,
    /// States, events and edges.
    pub sizes: [usize; 3],
    /// `T4 WinElection` for each edge.
    pub edges: Vec<String>,
    /// What [`audit`] finds.
    pub faults: Vec<String>,
    /// The generated block of its page.
    pub page: String,
}

impl MachineEntry {
    fn of<M: Machine>() -> Self {
        Self {
            number: M::NUMBER,
            name: M::NAME,
            type_name: std::any::type_name::<M>().rsplit("::").next().unwrap_or_default(),
            sizes: [M::State::ALL.len(), M::Event::ALL.len(), M::Edge::ALL.len()],
            edges: M::Edge::ALL.iter().map(|edge| edge.label()).collect(),
            faults: audit::faults::<M>(),
            page: render::page::<M>(),
        }
    }

    /// The path of its page from the root.
    #[must_use]
    pub fn path(&self) -> String {
        format!("docs/state-machines/{:02}-{}.md", self.number, self.name)
    }
}

/// A numbered enum, with its type erased.
#[derive(Clone, Debug)]
pub struct NumbersEntry {
    /// `crate::Type`; machines' enums carry the name of the machine's module in between.
    pub name: &'static str,
    /// `number name` for each live and retired number.
    pub lines: fn() -> Vec<String>,
    /// Compares a golden list with the code.
    pub drift: fn(&str) -> golden::Drift,
}

impl NumbersEntry {
    fn of<N: Numbered>(name: &'static str) -> Self {
        Self { name, lines: golden::lines::<N>, drift: golden::drift::<N> }
    }
}

/// All machines, by number.
#[must_use]
pub fn machines() -> Vec<MachineEntry> {
    vec![
        MachineEntry::of::<path::PathMachine>(),
        MachineEntry::of::<RoleMachine>(),
        MachineEntry::of::<ProgressMachine>(),
        MachineEntry::of::<MembershipMachine>(),
        MachineEntry::of::<TransferMachine>(),
        MachineEntry::of::<SegmentMachine>(),
        MachineEntry::of::<ConnectionMachine>(),
        MachineEntry::of::<SessionMachine>(),
        MachineEntry::of::<LeaseMachine>(),
        MachineEntry::of::<lock::LockMachine>(),
        MachineEntry::of::<election::ElectionMachine>(),
        MachineEntry::of::<watch::WatchMachine>(),
        MachineEntry::of::<LifeMachine>(),
        MachineEntry::of::<leadership::LeadershipMachine>(),
        MachineEntry::of::<FormationMachine>(),
        MachineEntry::of::<BreakerMachine>(),
    ]
}

/// Decision tables that are no life cycle, and so no machine: number, name and how many rows. Each has a page like a
/// machine's.
pub const TABLES: [(u8, &str, usize); 1] = [(7, "wal-recovery", RecoveryRow::ALL.len())];

/// All numbered enums.
#[must_use]
pub fn numbers() -> Vec<NumbersEntry> {
    vec![
        NumbersEntry::of::<MessageType>("wire::MessageType"),
        NumbersEntry::of::<Flag>("wire::Flag"),
        NumbersEntry::of::<Lane>("wire::Lane"),
        NumbersEntry::of::<CloseReason>("wire::CloseReason"),
        NumbersEntry::of::<Consistency>("wire::Consistency"),
        NumbersEntry::of::<Figure>("wire::Figure"),
        NumbersEntry::of::<MemberChange>("wire::MemberChange"),
        NumbersEntry::of::<connection::State>("wire::connection::State"),
        NumbersEntry::of::<connection::Event>("wire::connection::Event"),
        NumbersEntry::of::<connection::Edge>("wire::connection::Edge"),
        NumbersEntry::of::<connection::Row>("wire::connection::Row"),
        NumbersEntry::of::<CommandNumber>("command::CommandNumber"),
        NumbersEntry::of::<ReplyNumber>("command::ReplyNumber"),
        NumbersEntry::of::<OperationNumber>("command::OperationNumber"),
        NumbersEntry::of::<Relation>("command::Relation"),
        NumbersEntry::of::<Subject>("command::Subject"),
        NumbersEntry::of::<SortBy>("command::SortBy"),
        NumbersEntry::of::<Content>("command::Content"),
        NumbersEntry::of::<Extension>("command::Extension"),
        NumbersEntry::of::<Setting>("command::Setting"),
        NumbersEntry::of::<Code>("command::Code"),
        NumbersEntry::of::<QueryNumber>("command::QueryNumber"),
        NumbersEntry::of::<QueueKind>("command::QueueKind"),
        NumbersEntry::of::<MissingReason>("command::MissingReason"),
        NumbersEntry::of::<TouchedKind>("command::TouchedKind"),
        NumbersEntry::of::<format::Kind>("wal::Kind"),
        NumbersEntry::of::<SegmentState>("wal::segment::State"),
        NumbersEntry::of::<SegmentEvent>("wal::segment::Event"),
        NumbersEntry::of::<SegmentEdge>("wal::segment::Edge"),
        NumbersEntry::of::<RecoveryRow>("wal::recovery::Row"),
        NumbersEntry::of::<RoleState>("raft::role::RoleState"),
        NumbersEntry::of::<RoleEvent>("raft::role::RoleEvent"),
        NumbersEntry::of::<RoleEdge>("raft::role::RoleEdge"),
        NumbersEntry::of::<ProgressState>("raft::progress::ProgressState"),
        NumbersEntry::of::<ProgressEvent>("raft::progress::ProgressEvent"),
        NumbersEntry::of::<ProgressEdge>("raft::progress::ProgressEdge"),
        NumbersEntry::of::<MembershipState>("raft::membership::MembershipState"),
        NumbersEntry::of::<MembershipEvent>("raft::membership::MembershipEvent"),
        NumbersEntry::of::<MembershipEdge>("raft::membership::MembershipEdge"),
        NumbersEntry::of::<TransferState>("raft::transfer::TransferState"),
        NumbersEntry::of::<TransferEvent>("raft::transfer::TransferEvent"),
        NumbersEntry::of::<TransferEdge>("raft::transfer::TransferEdge"),
        NumbersEntry::of::<DropCause>("raft::DropCause"),
        NumbersEntry::of::<Alarm>("raft::Alarm"),
        NumbersEntry::of::<Refusal>("raft::Refusal"),
        NumbersEntry::of::<Bug>("raft::Bug"),
        NumbersEntry::of::<sessions::SessionState>("store::session::State"),
        NumbersEntry::of::<sessions::Event>("store::session::Event"),
        NumbersEntry::of::<sessions::Edge>("store::session::Edge"),
        NumbersEntry::of::<sessions::Row>("store::session::Row"),
        NumbersEntry::of::<LeaseState>("store::lease::State"),
        NumbersEntry::of::<LeaseEvent>("store::lease::Event"),
        NumbersEntry::of::<LeaseEdge>("store::lease::Edge"),
        NumbersEntry::of::<lock::State>("store::lock::State"),
        NumbersEntry::of::<lock::Event>("store::lock::Event"),
        NumbersEntry::of::<lock::Edge>("store::lock::Edge"),
        NumbersEntry::of::<election::State>("store::election::State"),
        NumbersEntry::of::<election::Event>("store::election::Event"),
        NumbersEntry::of::<election::Edge>("store::election::Edge"),
        NumbersEntry::of::<holdfast_store::snapshot::Section>("store::snapshot::Section"),
        NumbersEntry::of::<holdfast_store::trail::Effect>("store::Effect"),
        NumbersEntry::of::<holdfast_store::Bug>("store::Bug"),
        NumbersEntry::of::<formation::State>("raft::formation::State"),
        NumbersEntry::of::<formation::Event>("raft::formation::Event"),
        NumbersEntry::of::<formation::Edge>("raft::formation::Edge"),
        NumbersEntry::of::<formation::DropCause>("raft::formation::DropCause"),
        NumbersEntry::of::<BreakerState>("client::breaker::BreakerState"),
        NumbersEntry::of::<BreakerEvent>("client::breaker::BreakerEvent"),
        NumbersEntry::of::<BreakerEdge>("client::breaker::BreakerEdge"),
        NumbersEntry::of::<Stage>("server::Stage"),
        NumbersEntry::of::<Exit>("server::Exit"),
        NumbersEntry::of::<Check>("server::Check"),
        NumbersEntry::of::<path::State>("server::path::State"),
        NumbersEntry::of::<path::Event>("server::path::Event"),
        NumbersEntry::of::<path::Edge>("server::path::Edge"),
        NumbersEntry::of::<holdfast_server::node::plant::Bug>("server::node::Bug"),
        NumbersEntry::of::<watch::State>("server::watch::State"),
        NumbersEntry::of::<watch::Event>("server::watch::Event"),
        NumbersEntry::of::<watch::Edge>("server::watch::Edge"),
        NumbersEntry::of::<holdfast_server::watch::plant::Bug>("server::watch::Bug"),
        NumbersEntry::of::<holdfast_server::audit::FrameKind>("server::audit::FrameKind"),
        NumbersEntry::of::<LifeState>("server::life::State"),
        NumbersEntry::of::<LifeEvent>("server::life::Event"),
        NumbersEntry::of::<LifeEdge>("server::life::Edge"),
        NumbersEntry::of::<leadership::State>("server::leadership::State"),
        NumbersEntry::of::<leadership::Event>("server::leadership::Event"),
        NumbersEntry::of::<leadership::Edge>("server::leadership::Edge"),
    ]
}

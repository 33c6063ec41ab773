//! Before there is a cluster: the formation with its sockets and its file.

use bytestring::ByteString;
use holdfast_raft::formation::{Formation, FormationInput, FormationMessage};
use holdfast_wire::message::Lane;
use std::rc::Rc;

use super::hub::{Event, Hub};
use super::live::Live;
use super::turn::Tasks;
use super::{RunError, Stop, TICK, peers};
use crate::node::Input;
use crate::storage::{DataDir, Identity};
use crate::translate;

/// Introductions kept while a cluster is formed: more than a list has members, who may connect anew.
const INTRODUCTIONS_MAX: usize = 64;

/// A formation, and what it needs to act.
pub(super) struct Forming<'a> {
    pub(super) hub: &'a Rc<Hub>,
    pub(super) formation: &'a mut Formation,
    pub(super) data_dir: &'a DataDir,
    pub(super) identity: &'a mut Identity,
    pub(super) name: &'a ByteString,
}

impl Forming<'_> {
    /// Talks to the other members until all belong to one cluster. False if it was told to stop before.
    pub(super) async fn run(
        &mut self,
        stop: &Stop,
        tasks: &mut Tasks,
        live: &Live,
    ) -> Result<bool, RunError> {
        for (id, address) in
            self.formation.members().clone().members().iter().filter(|(id, _)| *id != self.identity.node)
        {
            let address = ByteString::try_from(address.clone()).unwrap_or_default();
            tasks.dial(*id, peers::dial(Rc::clone(self.hub), *id, address, Lane::Control));
        }
        let bell = self.hub.bell();
        let mut ticks = tokio::time::interval(TICK);
        let mut said = None;
        // Peers that are formed already introduce themselves once, and perhaps now.
        let mut introductions = Vec::new();
        loop {
            tokio::select! {
                () = bell.rung() => {}
                _ = ticks.tick() => {
                    if let Some(cut) = live.wanted_cut() {
                        self.hub.set_cut(cut);
                    }
                    self.hub.tick_links();
                    self.step(FormationInput::Tick)?;
                }
                () = stop.wanted() => return Ok(false),
            }
            for event in self.hub.reports.take() {
                match event {
                    Event::Formation(name, message) => self.hear(&name, message)?,
                    Event::Node(Input::Introduced { .. }) if introductions.len() < INTRODUCTIONS_MAX => {
                        introductions.push(event);
                    }
                    // There is no core yet; peers say everything again.
                    Event::Node(_)
                    | Event::Status(_)
                    | Event::Stats(_)
                    | Event::Trace(..)
                    | Event::Examine(_)
                    | Event::Answer(..)
                    | Event::Figures(_) => {}
                }
            }
            if let Some(reason) = self.formation.stopped() {
                return Err(RunError::Stopped(reason.clone()));
            }
            if self.formation.formed().is_some() {
                self.hub.reports.borrow_mut().append(&mut introductions);
                return Ok(true);
            }
            let waiting: Vec<u64> = self.formation.waiting_for().map(|id| id.0).collect();
            if !waiting.is_empty() && said.as_ref() != Some(&waiting) {
                tracing::info!(node = self.identity.node.0, for_nodes = ?waiting, "forming a cluster: waiting");
                said = Some(waiting);
            }
        }
    }

    /// A peer said something about the formation.
    pub(super) fn hear(&mut self, name: &ByteString, message: FormationMessage) -> Result<(), RunError> {
        if name != self.name {
            tracing::error!(
                peer = message.from.0,
                ours = %self.name,
                theirs = %name,
                "the peer was started for another cluster; give both the same --cluster, or other addresses"
            );
            return Ok(());
        }
        self.step(FormationInput::Message(message))
    }

    /// Takes a step, and does what it calls for, in the order that its laws demand.
    fn step(&mut self, input: FormationInput) -> Result<(), RunError> {
        let mut out = self.formation.step(input);
        loop {
            for message in &out.send_now {
                self.send(message);
            }
            let Some(identity) = out.persist else { return Ok(()) };
            let mut next = self.identity.clone();
            next.formation = identity;
            self.data_dir.store(&next)?;
            *self.identity = next;
            for message in &out.send_after_persist {
                self.send(message);
            }
            out = self.formation.step(FormationInput::Durable);
        }
    }

    fn send(&self, message: &FormationMessage) {
        let lanes = self.hub.lanes.borrow();
        let Some(link) = lanes.get(&message.to.0).and_then(|lanes| lanes.get(Lane::Control)) else { return };
        match translate::formation_to_wire(self.name, message) {
            Ok(message) => {
                // What a full lane does not take is asked again.
                let _ = link.send(message.header(), &message);
                link.push(self.hub.clock.millis());
            }
            Err(error) => tracing::error!(%error, "a message of formation"),
        }
    }
}

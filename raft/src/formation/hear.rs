//! What a formation makes of a message: every guard that stands before a fact.

use super::{
    Body, DropCause, Event, Formation, FormationMessage, FormationOutput, Heard, IdentityState, Mint, Stage,
    State, StopReason,
};
use crate::ClusterId;

impl Formation {
    /// Judges a message, and acts on it or says why not. Nothing of it is used before it has passed all that is compared
    /// here.
    pub(super) fn receive(
        &mut self,
        message: &FormationMessage,
        out: &mut FormationOutput,
    ) -> Result<(), DropCause> {
        let FormationMessage { from, life, to, list, body } = message;
        if self.state() == State::Stopped {
            return Err(DropCause::Stopped);
        }
        if *to != self.id || *from == self.id {
            return Err(DropCause::WrongAddressee);
        }
        let (to_life, mint) = match body {
            Body::Ask => (None, None),
            Body::Answer { to_life, identity } => (Some(to_life), identity.mint()),
            Body::Prepare { to_life, mint, .. } => (Some(to_life), Some(mint)),
        };
        if list.position(*from).is_none() || mint.is_some_and(|mint| mint.list() != list) {
            return Err(DropCause::Malformed);
        }
        // Of all guards this is the one that keeps an empty directory from the names of a lost one.
        if to_life.is_some_and(|to_life| *to_life != self.life()) {
            return Err(DropCause::OtherLife);
        }
        if self.memory.syncing {
            return Err(DropCause::Syncing);
        }
        match body {
            Body::Ask => {
                self.hear_ask(message);
                let identity = self.memory.stage.identity();
                out.send_now.push(self.say(*from, Body::Answer { to_life: *life, identity }));
                Ok(())
            }
            Body::Answer { identity: IdentityState::Formed(theirs), .. } => {
                self.hear_formed(message, theirs, out)
            }
            Body::Answer { .. } | Body::Prepare { .. } if *list != self.list => {
                self.refuse_list(message, None, out)
            }
            Body::Answer { identity, .. } => self.hear_unformed(message, identity, out),
            Body::Prepare { mint, .. } => self.hear_prepare(message, mint, out),
        }
    }

    /// A new process of the lowest id asks, so it was not formed when it asked; and what it is answered may make it mint
    /// anew. What its earlier process, or anybody before this moment, said of being formed is therefore void: who still
    /// stands by it is asked again.
    fn hear_ask(&mut self, message: &FormationMessage) {
        let lowest = message.from == self.list.lowest() && message.list == self.list;
        if lowest && self.memory.asked_by != Some(message.life) {
            self.memory.asked_by = Some(message.life);
            self.memory.turn = self.memory.turn.wrapping_add(1);
        }
    }

    /// A peer is formed: in our cluster, in another that knows our id, or in one that never heard of us.
    fn hear_formed(
        &mut self,
        message: &FormationMessage,
        theirs: &Mint,
        out: &mut FormationOutput,
    ) -> Result<(), DropCause> {
        let (node, peer, cluster) = (self.id, message.from, theirs.cluster());
        let held = self.memory.stage.identity();
        match (held.mint(), theirs.uuid(node)) {
            (Some(ours), _) if ours == theirs && self.state() == State::Minted => {
                self.refuse(Event::FormedHeard, StopReason::OldCopy { node, peer, cluster }, DropCause::Late)
            }
            (Some(ours), _) if ours == theirs => {
                let mint = theirs.clone();
                let edge = self.shift_durably(Event::FormedHeard, out, |_| Stage::Formed { mint });
                edge.map(drop).ok_or(DropCause::Late)
            }
            (Some(ours), _) if ours.cluster() == cluster => Err(DropCause::Impossible),
            (Some(ours), Some(_)) if self.state() == State::Prepared => {
                let reason = StopReason::Superseded { node, peer, cluster, prepared: ours.cluster() };
                self.refuse(Event::ClusterElsewhere, reason, DropCause::TwoClusters)
            }
            (Some(_) | None, Some(uuid)) => {
                let reason = StopReason::WipedDirectory { node, peer, cluster, uuid };
                self.refuse(Event::ClusterElsewhere, reason, DropCause::TwoClusters)
            }
            (Some(_) | None, None) => self.refuse_list(message, Some(cluster), out),
        }
    }

    /// Stops, unless this node is formed: nothing stops that, and the message is counted instead.
    fn refuse(&mut self, event: Event, reason: StopReason, otherwise: DropCause) -> Result<(), DropCause> {
        let identity = self.memory.stage.identity();
        self.shift(event, |_| Stage::Stopped { reason, identity }).map(drop).ok_or(otherwise)
    }

    /// Stops because the lists differ, and lets the other side know ours, so that it stops too: whoever looks at either log
    /// finds the mistake.
    fn refuse_list(
        &mut self,
        message: &FormationMessage,
        formed: Option<ClusterId>,
        out: &mut FormationOutput,
    ) -> Result<(), DropCause> {
        let (ours, theirs) = (self.list.clone(), message.list.clone());
        let reason = StopReason::ListMismatch { node: self.id, peer: message.from, ours, theirs, formed };
        let identity = self.memory.stage.identity();
        self.refuse(Event::ListsDiffer, reason, DropCause::Late)?;
        out.send_now.push(self.say(message.from, Body::Answer { to_life: message.life, identity }));
        Ok(())
    }

    /// A peer with our list is not formed. Of use to the lowest id only.
    fn hear_unformed(
        &mut self,
        message: &FormationMessage,
        identity: &IdentityState,
        out: &mut FormationOutput,
    ) -> Result<(), DropCause> {
        let (from, by_lowest) = (message.from, message.from == self.list.lowest());
        let possible = match identity {
            IdentityState::Blank => true,
            IdentityState::Minted(_) => by_lowest,
            IdentityState::Prepared(_) => !by_lowest,
            IdentityState::Formed(_) => false,
        };
        if !possible {
            return Err(DropCause::Impossible);
        }
        let heard = Heard { life: message.life, holds: identity.mint().map(Mint::cluster) };
        let lacking = match &mut self.memory.stage {
            Stage::Blank { .. } if self.list.lowest() != self.id => None,
            Stage::Blank { answers } => {
                answers.insert(from, heard);
                None
            }
            Stage::Minted { mint, answers } => {
                answers.insert(from, heard);
                (heard.holds != Some(mint.cluster())).then(|| mint.clone())
            }
            Stage::Prepared { .. } => None,
            Stage::Formed { .. } | Stage::Stopped { .. } => return Err(DropCause::Late),
        };
        out.send_now.extend(lacking.map(|mint| self.prepare(from, heard.life, &mint)));
        self.count(out);
        Ok(())
    }

    /// The lowest id wants us to hold these names.
    fn hear_prepare(
        &mut self,
        message: &FormationMessage,
        theirs: &Mint,
        out: &mut FormationOutput,
    ) -> Result<(), DropCause> {
        if message.from != self.list.lowest() {
            return Err(DropCause::Impossible);
        }
        let held = self.memory.stage.identity();
        let answer = |identity| self.say(message.from, Body::Answer { to_life: message.life, identity });
        match held.mint() {
            Some(ours) if ours == theirs => {
                // Said before, and perhaps lost. It is durable, so it can be said again at once.
                out.send_now.push(answer(held));
                Ok(())
            }
            Some(ours) if ours.cluster() == theirs.cluster() => Err(DropCause::Impossible),
            Some(_) | None => {
                let answer = answer(IdentityState::Prepared(theirs.clone()));
                self.shift_durably(Event::PrepareAsked, out, |_| Stage::Prepared { mint: theirs.clone() })
                    .ok_or(DropCause::Late)?;
                out.send_after_persist.push(answer);
                Ok(())
            }
        }
    }
}

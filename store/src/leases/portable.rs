//! Leases in a snapshot. Which keys hang on them, the keys say.

use std::ops::Bound;

use bytes::{BufMut, Bytes};
use holdfast_command::Actor;
use holdfast_command::layout::Reader;
use triomphe::Arc;

use super::{Lease, Leases};
use crate::keys::Keys;
use crate::snapshot::{COUNT_END, Records, Refused, Section, own_actor};

impl Leases {
    /// The last number that was chosen.
    pub(crate) fn last(&self) -> i64 {
        self.last
    }

    /// Writes leases, from behind `behind` on, until there is enough. Says behind which to go on; none if there are no more.
    pub(crate) fn write(&self, behind: Option<i64>, records: &mut Records) -> Option<i64> {
        let bounds = (behind.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded);
        for (id, lease) in self.all.range(bounds) {
            records.put(Section::Leases, |out| {
                out.put_i64_le(*id);
                lease.actor.write(out);
                for field in [lease.ttl_ms, lease.deadline, lease.counter, lease.granted_at] {
                    out.put_u64_le(field);
                }
            });
            if records.is_full() {
                return Some(*id);
            }
        }
        None
    }

    pub(crate) fn read_number(&mut self, fields: &mut Reader) -> Result<(), Refused> {
        self.last = fields.i64()?;
        Refused::unless((0..COUNT_END.cast_signed()).contains(&self.last), "numbers of leases are below 2^62")
    }

    pub(crate) fn read(&mut self, fields: &mut Reader) -> Result<(), Refused> {
        let id = fields.i64()?;
        let actor = own_actor(Actor::read_from(fields)?);
        let (ttl_ms, deadline) = (fields.u64()?, fields.u64()?);
        let (counter, granted_at) = (fields.u64()?, fields.u64()?);
        let ascends = self.all.get_max().is_none_or(|(last, _)| *last < id) && id >= 1;
        Refused::unless(ascends, "leases ascend, from 1")?;
        Refused::unless(granted_at <= counter, "a lease is granted before it is renewed")?;
        // Those that are over are put aside when the clock comes by, as on every other node.
        let lease = Lease { actor, ttl_ms, deadline, counter, granted_at, keys: 0, due: Some(deadline) };
        self.due.insert((deadline, id));
        self.all.insert(id, Arc::new(lease));
        Ok(())
    }

    /// Hangs the keys on their leases, when all are there.
    pub(crate) fn attach(&mut self, keys: &Keys) -> Result<(), Refused> {
        for version in keys.all().filter(|version| version.lease() != 0) {
            let lease = self.all.get_mut(&version.lease()).map(Arc::make_mut);
            let Some(lease) = lease else {
                return Refused::unless(false, "a key hangs on a lease that is there");
            };
            lease.keys += 1;
            self.keys.insert((version.lease(), Bytes::copy_from_slice(version.key())));
        }
        Ok(())
    }
}

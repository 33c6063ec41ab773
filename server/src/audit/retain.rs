//! For how long records are kept: whole files go, the oldest first.

use std::io;

use holdfast_hlc::Stamp;
use holdfast_wal::disk::Disk;

use super::error::AuditError;
use super::files::AuditFiles;

impl<D: Disk> AuditFiles<D> {
    /// Removes the files that the policy does not keep, and says which. `now_ms` is the time of day in milliseconds since
    /// 1970. Each removal is durable before the next: a crash leaves the newest ones, without a hole.
    ///
    /// # Errors
    /// [`AuditError::Io`]. What is left is to be tried again.
    pub fn retain(&mut self, now_ms: u64) -> Result<Vec<String>, AuditError> {
        let mut removed = Vec::new();
        for _ in 0..self.beyond(now_ms) {
            let Some(oldest) = self.files.first() else { break };
            match self.disk.unlink(&oldest.name) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(self.io("removing an old file")(error));
                }
                Ok(()) | Err(_) => {}
            }
            removed.push(self.files.remove(0).name);
            let oldest = self.files.iter().find_map(|kept| kept.header);
            self.begins_at(oldest.map_or(0, |header| header.first));
            self.disk.sync_directory().map_err(self.io("removing an old file"))?;
        }
        Ok(removed)
    }

    /// How many of the oldest files are not kept.
    fn beyond(&self, now_ms: u64) -> usize {
        // Not the newest, and nothing that is not older than it.
        let most = self.files.len().saturating_sub(1);
        let mut bytes: u64 = self.files.iter().map(|kept| kept.bytes).sum();
        let mut count = 0;
        for (at, kept) in self.files.iter().enumerate().take(most) {
            let next = self.files.get(at + 1).and_then(|next| next.header);
            // The highest stamp up to the end of this file.
            let stamp = next.map_or(0, |next| next.stamp);
            let until = Stamp::from_bits(stamp).millis().get().saturating_add(self.policy.age_ms);
            if bytes > self.policy.total_bytes || (stamp != 0 && until < now_ms) {
                count = at + 1;
            }
            bytes = bytes.saturating_sub(kept.bytes);
        }
        count
    }
}

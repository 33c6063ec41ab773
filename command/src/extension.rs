//! Fields that a later version adds to a request.
//!
//! On a connection a reader may skip an odd tag that it does not know. Inside a replicated command nobody may: two
//! members that skip different tags would differ from then on. So each tag has a [feature level](FeatureLevel), and a
//! request that carries a tag above the level of the *state* is refused by every build alike.

use bytes::{BufMut, Bytes};
use holdfast_machine::{Numbered, numbered};

use crate::layout::{DecodeError, Fault, Reader, put_section};
use crate::number::FeatureLevel;
use crate::refusal::Refusal;

/// A request has at most so many extensions.
pub const EXTENSIONS_MAX: usize = 16;

numbered! {
    /// The tags that mean something.
    pub enum Extension: u16, "X" {
        /// A u64 of the cluster clock in milliseconds: later than this the request is not executed any more.
        NotAfter = 1,
    }
}

impl Extension {
    /// The lowest feature level at which it may stand in the log.
    #[must_use]
    pub const fn since(self) -> FeatureLevel {
        match self {
            Self::NotAfter => FeatureLevel(2),
        }
    }
}

/// The extensions of a request as they came: tags in ascending order, whether known or not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extensions(Vec<(u16, Bytes)>);

/// What the extensions of a request ask for, at some feature level.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// See [`Extension::NotAfter`].
    pub not_after: Option<u64>,
}

impl Extensions {
    /// With a deadline on the cluster clock.
    #[must_use]
    pub fn not_after(clock: u64) -> Self {
        Self::raw(Extension::NotAfter.number(), clock.to_le_bytes().to_vec().into())
    }

    /// One extension of any tag, known or not.
    #[must_use]
    pub fn raw(tag: u16, value: Bytes) -> Self {
        Self(vec![(tag, value)])
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What they ask for in a cluster at `level`.
    ///
    /// # Errors
    /// [`Refusal::UnsupportedFeature`] if one of the tags is unknown or above the level; [`Refusal::Malformed`] if a
    /// value is not of the shape that its tag has.
    pub fn interpret(&self, level: FeatureLevel) -> Result<Asked, Refusal> {
        let mut asked = Asked::default();
        for (tag, value) in &self.0 {
            let known = Extension::from_number(*tag).filter(|extension| extension.since() <= level);
            match known {
                None => return Err(Refusal::UnsupportedFeature { tag: *tag, level }),
                Some(Extension::NotAfter) => {
                    let value = value.as_ref().try_into().map_err(|_| Refusal::Malformed { offset: 0 })?;
                    asked.not_after = Some(u64::from_le_bytes(value));
                }
            }
        }
        Ok(asked)
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        for (tag, value) in &self.0 {
            out.put_u16_le(*tag);
            put_section(out, value);
        }
    }

    /// Reads all that is left.
    pub(crate) fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        let mut list: Vec<(u16, Bytes)> = Vec::new();
        while reader.left() > 0 {
            let tag = reader.u16()?;
            if let Some((before, _)) = list.last().filter(|(before, _)| *before >= tag) {
                return reader.fault(Fault::ExtensionOrder { tag, before: *before });
            }
            if list.len() == EXTENSIONS_MAX {
                return reader.fault(Fault::TooMany { what: "extensions", limit: EXTENSIONS_MAX as u64 });
            }
            list.push((tag, reader.section()?));
        }
        Ok(Self(list))
    }
}

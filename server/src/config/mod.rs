//! The configuration of a node: five layers, and who said what.
//!
//! # Why layers with origins
//! A node is configured by a unit file, by what a fleet's tooling drops into a directory, by an environment and by a person
//! in a hurry; each of them is right to expect that it is heard, and one of them always wonders why it was not. So each value
//! remembers where it came from, and nothing that was said is dropped without a word: a key that nobody knows, a value that
//! does not fit and a file that is cut off end the start with the place where they stand.
//!
//! # Shape
//! ```text
//!   defaults < files < directory < environment < flags
//!      table    file     file        layers       flags        each a Layer: key → value and Origin
//!                      └──────────── merge ────────────┘
//!                                 Config ──► Options          rules between options, plaintext
//!                                    └─────► Live             what changes while the node runs
//! ```
//! | file | what stands there |
//! |---|---|
//! | `table` | every option: key, kind, range, default, caption; the old names; the reserved ones |
//! | `value`, `units` | how a value is read and shown, the same from every layer |
//! | `file` | TOML with lines |
//! | `flags` | the table as flags |
//! | `layers` | reading and merging |
//! | `server` | what a node makes of it |
//! | `reload` | what changes at SIGHUP |

mod file;
mod flags;
mod layers;
mod origin;
mod reload;
mod server;
mod table;
#[cfg(test)]
mod tests;
pub mod units;
mod value;

pub use flags::Flags;
pub use layers::{Config, Setting, Sources, load};
pub use origin::{ConfigError, Origin};
pub(crate) use reload::Reloader;
pub use reload::{Change, changes};
pub use table::{DEPRECATED, Deprecated, OPTIONS, Opt, RESERVED, flag, variable};
pub(crate) use units::duration;
pub use value::{Kind, Value};

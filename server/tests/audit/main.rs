//! The files of the audit log: what was durable is read again after every crash, nothing is ever made up, and what is missing
//! is said.

#[path = "../storage_common/mod.rs"]
mod storage_common;

mod common;
mod crashes;
mod golden;
mod random;
mod reading;
mod refused;

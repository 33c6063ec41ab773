//! Tests that compare docs, numbers and layers with the code.
//!
//! # Why
//! Prose about code is wrong a week after it is written unless something fails when it is. Whatever a page
//! can show from the code is generated ([`blocks`]), and whatever only a person can write names the code it is
//! about by symbol, so that a renamed function fails a test ([`symbols`], [`pages`]).
//!
//! # Shape
//! - [`registry`]: every machine and every numbered enum of the workspace, in one list each. A scan of the sources
//!   fails if one is missing from it.
//! - [`blocks`]: `<!-- generated: NAME -->` … `<!-- end generated -->` in a page, compared with what the code says.
//! - [`pages`]: the headings, `Code:` and `Test:` lines of a page; links and paths in any page.
//! - [`symbols`]: functions, tests, constants and structs, read from the sources.
//! - [`fields`], [`shapes`]: the bytes of commands and outcomes, as tables that walk over real bytes.
//! - [`layout`]: the bytes of message bodies, read from the structs that are encoded.
//! - [`transcript`]: what real cores of the Raft core say to each other, for its pages.
//! - [`workspace`]: files and manifests.
//!
//! The tests in `tidy/tests/` run these over the repository; the tests beside each module run them over small
//! texts with a planted fault. `UPDATE_DOCS=1 cargo test -p holdfast-tidy --no-fail-fast` rewrites generated blocks and then
//! fails, so that no run is green by rewriting. This crate is only ever a test: nothing depends on it, and it may
//! panic where a check cannot even be made.

#![forbid(unsafe_code)]

pub mod blocks;
pub mod fields;
pub mod layout;
pub mod pages;
pub mod registry;
pub mod shapes;
pub mod symbols;
pub mod transcript;
pub mod workspace;

//! Tests that compare docs, numbers and layers with the code.

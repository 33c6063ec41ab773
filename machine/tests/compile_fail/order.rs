//~ E0080 numbers leave a gap
use holdfast_machine::numbered;

numbered! {
    /// The list is in the order of its numbers.
    pub enum Kind: u8, "K" {
        /// Second.
        Two = 2,
        /// First.
        One = 1,
    }
}

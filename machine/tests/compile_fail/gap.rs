//~ E0080 numbers leave a gap
use holdfast_machine::numbered;

numbered! {
    /// Nothing is 2.
    pub enum Kind: u8, "K" {
        /// First.
        One = 1,
        /// Third.
        Three = 3,
    }
}

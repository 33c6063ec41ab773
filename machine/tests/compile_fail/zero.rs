//~ E0080 a number belongs to no family
use holdfast_machine::numbered;

numbered! {
    /// Zeroed memory must not decode.
    pub enum Kind: u8, "K" {
        /// Nothing.
        Zero = 0,
        /// First.
        One = 1,
    }
}

//~ E0080 numbers leave a gap
use holdfast_machine::numbered;

numbered! {
    /// The second family does not start at its start.
    pub enum Code: u16, "C" {
        /// First.
        One = 100,
        /// Later.
        Two = 201,
    }
    families { "a" = 100..=199, "b" = 200..=299 }
}

//~ E0080 a number belongs to no family
use holdfast_machine::numbered;

numbered! {
    /// A family may not be named past the numbers it holds.
    pub enum Code: u16, "C" {
        /// First.
        One = 1,
        /// Second.
        Two = 2,
    }
    families { "a" = 1..=1 }
}

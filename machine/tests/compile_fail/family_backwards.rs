//~ E0080 a family of numbers ends before it starts
use holdfast_machine::numbered;

numbered! {
    /// No number fits.
    pub enum Code: u16, "C" {
        /// First.
        One = 100,
    }
    families { "a" = 199..=100 }
}

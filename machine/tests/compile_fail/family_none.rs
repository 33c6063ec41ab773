//~ E0080 a number belongs to no family
use holdfast_machine::numbered;

numbered! {
    /// 300 is nobody's.
    pub enum Code: u16, "C" {
        /// First.
        One = 100,
        /// Stray.
        Stray = 300,
    }
    families { "a" = 100..=199, "b" = 200..=299 }
}

//~ E0080 families of numbers overlap
use holdfast_machine::numbered;

numbered! {
    /// 150 would belong to both.
    pub enum Code: u16, "C" {
        /// First.
        One = 100,
        /// Second.
        Two = 200,
    }
    families { "a" = 100..=150, "b" = 150..=299 }
}

//~ E0080 a number is used twice, or stands out of order
use holdfast_machine::numbered;

numbered! {
    /// 2 once meant something else, and old bytes still say it.
    pub enum Kind: u8, "K" {
        /// First.
        One = 1,
        /// Second.
        Two = 2,
    }
    retired { 2 = OldTwo }
}

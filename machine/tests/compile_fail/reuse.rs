//~ E0080,E0081 discriminant value `1` assigned more than once
use holdfast_machine::numbered;

numbered! {
    /// Two names for 1.
    pub enum Kind: u8, "K" {
        /// First.
        One = 1,
        /// Also first.
        Uno = 1,
    }
}

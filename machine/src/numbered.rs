//! Enums whose numbers are a promise: printed in logs, drawn in diagrams, sent to peers, never reused.
//!
//! A plain Rust enum numbers its variants by position, so that moving a line changes what is on disk.
//! [`numbered!`](crate::numbered!) makes the number part of the line, and the compiler refuses a number
//! that is missing, used twice or taken from the dead.

use std::fmt;

/// An enum declared by [`numbered!`](crate::numbered!): a closed list of (number, name, caption).
pub trait Numbered: Copy + Eq + fmt::Debug + 'static {
    /// The width the number has on the wire, on disk and in logs: `u8`, `u16` or `u32`.
    type Number: Copy + Eq + Into<u64> + fmt::Display;

    /// The letter or letters before the number in a [label](Self::label): `S`, `E`, `T`, `HF`.
    const PREFIX: &'static str;

    /// Every live variant, in the order declared, which is the order of the numbers in each family.
    const ALL: &'static [Self];

    /// Numbers that once had a meaning, with the name they had. They stay taken for ever.
    const RETIRED: &'static [(Self::Number, &'static str)];

    /// The ranges that numbers are drawn from: (name, first, last). Each is filled from its first number
    /// without a gap. One unnamed family from 1 where the declaration names none.
    const FAMILIES: &'static [(&'static str, u64, u64)];

    /// The number itself.
    fn number(self) -> Self::Number;

    /// The variant with this number; `None` if the number is unknown or retired.
    fn from_number(number: Self::Number) -> Option<Self>;

    /// The name of the variant as written in the code.
    fn name(self) -> &'static str;

    /// The documentation of the variant: one paragraph, whose line breaks are as in the source.
    fn caption(self) -> &'static str;

    /// Number and name as people see them, `T4 WinElection`.
    fn label(self) -> String {
        format!("{}{} {}", Self::PREFIX, self.number(), self.name())
    }

    /// Number alone, `T4`.
    fn tag(self) -> String {
        format!("{}{}", Self::PREFIX, self.number())
    }

    /// Position in [`ALL`](Self::ALL), for arrays with one place per variant. Linear in the number of
    /// variants, which is small by design.
    fn position(self) -> usize {
        let mut position = 0;
        while Self::ALL.get(position).is_some_and(|other| *other != self) {
            position += 1;
        }
        position
    }
}

/// Refuses, at compile time, a family of numbers with a gap, a number used twice or a number that belongs
/// to no family. [`numbered!`](crate::numbered!) calls it; nothing else needs to.
///
/// # Panics
/// With the reason, which the compiler reports as `E0080` since it is called in a constant.
pub const fn assert_dense(live: &[u64], retired: &[u64], families: &[(&str, u64, u64)]) {
    let total = live.len() + retired.len();
    let mut placed = 0;
    let mut family = 0;
    while family < families.len() {
        let (_, first, last) = families[family];
        assert!(first <= last, "a family of numbers ends before it starts");
        if family > 0 {
            assert!(families[family - 1].2 < first, "families of numbers overlap or are out of order");
        }
        let mut here = 0;
        let mut i = 0;
        while i < total {
            let number = nth(live, retired, i);
            if first <= number && number <= last {
                here += 1;
            }
            i += 1;
        }
        let mut want = first;
        while want < first + here {
            let mut hits = 0;
            i = 0;
            while i < total {
                if nth(live, retired, i) == want {
                    hits += 1;
                }
                i += 1;
            }
            assert!(hits <= 1, "a number is used twice");
            assert!(hits == 1, "numbers leave a gap");
            want += 1;
        }
        placed += here;
        family += 1;
    }
    assert!(placed == total as u64, "a number belongs to no family");
}

/// The live numbers followed by the retired ones, as one list.
const fn nth(live: &[u64], retired: &[u64], i: usize) -> u64 {
    if i < live.len() { live[i] } else { retired[i - live.len()] }
}

/// Declares an enum with explicit, permanent numbers; see [`Numbered`] for what it provides.
///
/// Every variant carries a doc comment, which becomes its caption in generated pages, and a number.
/// `retired` lists numbers that had a meaning once; `families` splits the range into named blocks, each
/// dense from its first number. Without `families` the numbers are dense from 1, so 0 never decodes.
///
/// ```
/// use holdfast_machine::{Numbered, numbered};
///
/// numbered! {
///     /// What a traffic light shows.
///     pub enum Light: u8, "L" {
///         /// Stop.
///         Red = 1,
///         /// Go.
///         Green = 3,
///     }
///     retired { 2 = Amber }
/// }
///
/// assert_eq!(Light::Green.label(), "L3 Green");
/// assert_eq!(Light::from_number(3), Some(Light::Green));
/// assert_eq!(Light::from_number(2), None, "retired, and never to be used again");
/// ```
#[macro_export]
macro_rules! numbered {
    (
        $( #[$meta:meta] )*
        $vis:vis enum $name:ident: $width:ident, $prefix:literal {
            $( $( #[doc = $doc:literal] )+ $variant:ident = $number:literal, )+
        }
        $( retired { $( $gone_number:literal = $gone:ident ),* $(,)? } )?
        $( families { $( $family:literal = $first:literal ..= $last:literal ),+ $(,)? } )?
    ) => {
        $( #[$meta] )*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr($width)]
        $vis enum $name {
            $( $( #[doc = $doc] )+ $variant = $number, )+
        }

        impl $crate::Numbered for $name {
            type Number = $width;
            const PREFIX: &'static str = $prefix;
            const ALL: &'static [Self] = &[$( Self::$variant ),+];
            const RETIRED: &'static [($width, &'static str)] =
                &[$( $( ($gone_number, stringify!($gone)) ),* )?];
            const FAMILIES: &'static [(&'static str, u64, u64)] =
                $crate::numbered!(@families $width $( $( ($family, $first, $last) )+ )?);

            fn number(self) -> $width {
                self as $width
            }

            fn from_number(number: $width) -> Option<Self> {
                match number {
                    $( $number => Some(Self::$variant), )+
                    _ => None,
                }
            }

            fn name(self) -> &'static str {
                match self { $( Self::$variant => stringify!($variant), )+ }
            }

            fn caption(self) -> &'static str {
                match self { $( Self::$variant => concat!($( $doc, "\n" ),+).trim_ascii(), )+ }
            }
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.pad(&$crate::Numbered::label(*self))
            }
        }

        const _: () = $crate::assert_dense(
            &[$( $number ),+],
            &[$( $( $gone_number ),* )?],
            <$name as $crate::Numbered>::FAMILIES,
        );
    };
    (@families $width:ident) => { &[("", 1, $width::MAX as u64)] };
    (@families $width:ident $( ($family:literal, $first:literal, $last:literal) )+) => {
        &[$( ($family, $first, $last) ),+]
    };
}

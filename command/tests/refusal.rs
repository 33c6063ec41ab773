//! Codes, refusals and their particulars.

mod common;

use common::{samples, strategies};
use holdfast_command::{Code, Effect, FeatureLevel, Refusal};
use holdfast_machine::Numbered;
use proptest::prelude::*;

#[test]
fn every_refusal_is_the_one_of_its_code_and_particulars() {
    for &code in Code::ALL {
        let refusal = samples::refusal(code);
        assert_eq!(refusal.code(), code);
        assert_eq!(Refusal::from_parts(code, refusal.particulars()), Some(refusal), "{code}");
    }
}

proptest! {
    #[test]
    fn particulars_are_a_refusal_that_has_just_these_or_none(
        code in prop::sample::select(Code::ALL),
        wide in any::<[u64; 2]>(),
        narrow in any::<[u16; 2]>(),
        refusal in strategies::refusal(),
    ) {
        let (one, two) = (u64::from(narrow[0]), u64::from(narrow[1]));
        for particulars in [wide, [wide[0], 0], [0, wide[1]], [one, two], [one, 0], [0, 0]] {
            if let Some(refusal) = Refusal::from_parts(code, particulars) {
                prop_assert_eq!((refusal.code(), refusal.particulars()), (code, particulars));
            }
        }
        prop_assert_eq!(Refusal::from_parts(refusal.code(), refusal.particulars()), Some(refusal));
    }
}

#[test]
fn particulars_that_a_code_does_not_have_are_refused() {
    assert_eq!(Refusal::from_parts(Code::EmptyKey, [1, 0]), None, "it has none");
    assert_eq!(Refusal::from_parts(Code::EmptyKey, [0, 1]), None);
    assert_eq!(Refusal::from_parts(Code::Malformed, [1, 1]), None, "it has one");
    assert_eq!(Refusal::from_parts(Code::UnknownCommand, [65_536, 1]), None, "a number of 16 bits");
    assert_eq!(Refusal::from_parts(Code::UnknownCommand, [1, 65_536]), None, "a level of 16 bits");
    let asked = FeatureLevel(u16::MAX);
    let highest = Refusal::from_parts(Code::LevelNotNext, [1, 65_535]);
    assert_eq!(highest, Some(Refusal::LevelNotNext { level: FeatureLevel(1), asked }));
}

#[test]
fn the_text_of_a_refusal_names_its_particulars_and_fits_a_line() {
    for &code in Code::ALL {
        let refusal = samples::refusal(code);
        let text = refusal.to_string();
        assert!((10..120).contains(&text.len()) && !text.contains('\n'), "{code}: {text}");
        for particular in refusal.particulars().into_iter().filter(|number| *number > 0) {
            let signed = particular.cast_signed().to_string();
            assert!(text.contains(&particular.to_string()) || text.contains(&signed), "{code}: {text}");
        }
    }
}

#[test]
fn a_code_is_shown_as_people_look_it_up() {
    assert_eq!(Code::Compacted.tag(), "HF1302");
    assert_eq!(Code::Compacted.to_string(), "HF1302 Compacted");
}

#[test]
fn whatever_leaves_it_unknown_whether_an_earlier_copy_was_applied_speaks_of_the_copy_alone() {
    for code in Code::ALL {
        match code.effect() {
            Effect::Unknown => assert!(code.is_of_copy(), "{code}"),
            Effect::Applied => assert!(!code.is_of_copy(), "{code} speaks of the first copy"),
            Effect::NotApplied => {}
        }
    }
}

#[test]
fn whatever_may_succeed_later_was_not_applied_unless_nobody_knows_what_became_of_this_copy() {
    for code in Code::ALL.iter().filter(|code| code.is_retryable()) {
        // These end the waiting and not the request: only under a request key may it be sent again.
        let under_way = matches!(code, Code::LeadershipLost | Code::TimedOut | Code::ForwardFailed);
        let wanted = if under_way { Effect::Unknown } else { Effect::NotApplied };
        assert_eq!(code.effect(), wanted, "{code}: who waits and repeats must not write twice");
    }
}

#[test]
fn no_code_of_availability_says_that_a_request_was_applied_or_speaks_of_more_than_its_copy() {
    let availability = Code::ALL.iter().filter(|code| (1201..=1299).contains(&code.number()));
    let unknown: Vec<Code> = availability
        .inspect(|code| {
            assert!(code.is_of_copy(), "{code}: it never stood in the log, so nothing keeps it under a key");
            assert_ne!(code.effect(), Effect::Applied, "{code}");
        })
        .copied()
        .filter(|code| code.effect() == Effect::Unknown)
        .collect();
    assert_eq!(unknown, [Code::LeadershipLost, Code::TimedOut]);
}

#[test]
fn waiting_does_not_help_where_a_position_is_of_another_life_or_group_or_a_snapshot_is_not_to_be_had() {
    let hopeless: Vec<Code> = Code::ALL
        .iter()
        .copied()
        .filter(|code| (1201..=1299).contains(&code.number()) && !code.is_retryable())
        .collect();
    assert_eq!(hopeless, [Code::OtherEpoch, Code::OtherGroup, Code::NoSnapshot, Code::SnapshotFailed]);
}

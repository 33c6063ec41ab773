//! Settings, feature levels, and what extensions ask for.

use holdfast_command::extension::Asked;
use holdfast_command::keys::OPERATIONS_MAX;
use holdfast_command::{
    CommandNumber, Extension, Extensions, FeatureLevel, Limits, Refusal, Setting, Settings,
};
use holdfast_machine::Numbered;

#[test]
fn every_default_lies_within_its_bounds() {
    for setting in Setting::ALL {
        let scope = setting.scope();
        assert!((scope.min..=scope.max).contains(&scope.default), "{setting}: {scope:?}");
        assert_eq!(Settings::default().get(*setting), scope.default, "{setting}");
    }
}

#[test]
fn a_setting_that_is_set_changes_no_other() {
    for changed in Setting::ALL {
        let mut settings = Settings::default();
        settings.set(*changed, 77);
        for setting in Setting::ALL {
            let expected = if setting == changed { 77 } else { setting.scope().default };
            assert_eq!(settings.get(*setting), expected, "{setting} after {changed}");
        }
    }
}

#[test]
fn the_times_of_a_session_or_a_lease_cannot_exclude_each_other_by_default() {
    for times in
        [[Setting::SessionTtlMin, Setting::SessionTtlMax], [Setting::LeaseTtlMin, Setting::LeaseTtlMax]]
    {
        let [min, max] = times.map(Setting::scope);
        assert!(min.default <= max.default);
        // Whatever the shortest is set to, some longest is left, and the other way round.
        assert!(min.max <= max.max && min.min <= max.min);
    }
}

#[test]
fn the_longest_key_fits_a_request_and_the_most_operations_are_those_that_decode() {
    let max = |setting: Setting| setting.scope().max;
    assert!(max(Setting::KeyBytes) < Setting::RequestBytes.scope().min);
    assert!(max(Setting::ValueBytes) <= max(Setting::RequestBytes));
    assert_eq!(max(Setting::Operations), OPERATIONS_MAX as u64);
    // A request stands in one entry of the log, of 12 MiB at most, with its envelope.
    assert!(max(Setting::RequestBytes) + 1024 < 12 << 20);
}

#[test]
fn limits_are_the_settings_of_the_same_name() {
    let mut settings = Settings::default();
    let four = [Setting::RequestBytes, Setting::Operations, Setting::KeyBytes, Setting::ValueBytes];
    for (value, setting) in (1..).zip(four) {
        settings.set(setting, value);
    }
    let expected = Limits { request_bytes: 1, operations: 2, key_bytes: 3, value_bytes: 4 };
    assert_eq!(Limits::from(&settings), expected);
}

#[test]
fn nothing_is_of_a_level_that_this_build_does_not_understand() {
    for number in CommandNumber::ALL {
        assert!((FeatureLevel::FIRST..=FeatureLevel::LATEST).contains(&number.since()), "{number}");
    }
    for setting in Setting::ALL {
        assert!((FeatureLevel::FIRST..=FeatureLevel::LATEST).contains(&setting.since()), "{setting}");
    }
    for extension in Extension::ALL {
        assert!((FeatureLevel::FIRST..=FeatureLevel::LATEST).contains(&extension.since()), "{extension}");
    }
}

#[test]
fn an_extension_is_understood_from_its_level_on_and_refused_below() {
    let asked = Asked { not_after: Some(9) };
    for extension in Extension::ALL {
        let extensions = match extension {
            Extension::NotAfter => Extensions::not_after(9),
        };
        let (tag, below) = (extension.number(), FeatureLevel(extension.since().0 - 1));
        assert_eq!(extensions.interpret(extension.since()), Ok(asked));
        assert_eq!(extensions.interpret(below), Err(Refusal::UnsupportedFeature { tag, level: below }));
    }
    assert_eq!(Extensions::default().interpret(FeatureLevel::FIRST), Ok(Asked::default()));
}

#[test]
fn an_unknown_extension_is_refused_at_every_level() {
    let unknown = Extensions::raw(500, "x".into());
    for level in [FeatureLevel::FIRST, FeatureLevel::LATEST, FeatureLevel(u16::MAX)] {
        assert_eq!(unknown.interpret(level), Err(Refusal::UnsupportedFeature { tag: 500, level }));
    }
}

#[test]
fn a_deadline_of_another_length_is_malformed() {
    for length in [0, 7, 9] {
        let extensions = Extensions::raw(Extension::NotAfter.number(), vec![0; length].into());
        assert_eq!(extensions.interpret(FeatureLevel::LATEST), Err(Refusal::Malformed { offset: 0 }));
        assert!(!extensions.is_empty());
    }
}

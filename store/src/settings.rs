//! The replicated settings and the feature level.

use holdfast_command::audit::TouchedKind;
use holdfast_command::settings::{ChangeSettings, RaiseFeatureLevel};
use holdfast_command::{FeatureLevel, Refusal, Reply, Setting};
use holdfast_machine::Numbered;

use crate::plant::Plant;
use crate::state::{Execute, State};
use crate::trail::Effect;
use crate::version::Origin;

impl Execute for ChangeSettings {
    fn execute<P: Plant>(&self, state: &mut State, _: Origin<'_>) -> Result<Reply, Refusal> {
        let mut settings = state.settings;
        for &(number, value) in &self.changes {
            let setting = Setting::from_number(number).filter(|setting| setting.since() <= state.level);
            let setting = setting.ok_or(Refusal::UnknownSetting { number })?;
            let scope = setting.scope();
            if !(scope.min..=scope.max).contains(&value) {
                return Err(Refusal::SettingOutOfRange { number, value });
            }
            settings.set(setting, value);
        }
        for (least, most) in
            [(Setting::SessionTtlMin, Setting::SessionTtlMax), (Setting::LeaseTtlMin, Setting::LeaseTtlMax)]
        {
            let (number, value) = (least.number(), settings.get(least));
            if value > settings.get(most) {
                return Err(Refusal::SettingOutOfRange { number, value });
            }
        }
        for &(number, value) in &self.changes {
            let before = Setting::from_number(number).map_or(0, |setting| state.settings.get(setting));
            state.trail.note(Effect::Setting, &[number.into(), value]);
            state.trail.touch_number(TouchedKind::Setting, number.into(), before, false);
        }
        state.settings = settings;
        Ok(Reply::SettingsChanged)
    }
}

impl Execute for RaiseFeatureLevel {
    fn execute<P: Plant>(&self, state: &mut State, _: Origin<'_>) -> Result<Reply, Refusal> {
        let level = state.level;
        if level.0.checked_add(1) != Some(self.level.0) {
            return Err(Refusal::LevelNotNext { level, asked: self.level });
        }
        state.level = self.level;
        state.trail.note(Effect::Level, &[self.level.0.into()]);
        state.trail.touch(TouchedKind::Level, &[], level.0.into(), false);
        Ok(Reply::LevelRaised { level: FeatureLevel(self.level.0) })
    }
}

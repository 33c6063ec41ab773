//! The replicated settings and the feature level.

use holdfast_command::settings::{ChangeSettings, RaiseFeatureLevel};
use holdfast_command::{FeatureLevel, Refusal, Reply, Setting};
use holdfast_machine::Numbered;

use crate::plant::Plant;
use crate::state::{Execute, State};
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
        Ok(Reply::LevelRaised { level: FeatureLevel(self.level.0) })
    }
}

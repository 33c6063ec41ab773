//! The layers, and how they become one configuration.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use toml::de::DeValue;

use super::file;
use super::origin::{ConfigError, Origin};
use super::table::{self, DEPRECATED, Deprecated, OPTIONS, Opt, PREFIX, RESERVED};
use super::value::Value;

/// What is less alike than this is no guess at what was meant.
const ALIKE: f64 = 0.8;

/// Variables that mean something to nobody here: a command that `lock` or `elect` runs finds them in its environment, and that
/// command may be a node.
const TOLD_TO_OTHERS: [&str; 5] =
    ["HOLDFAST_LOCK", "HOLDFAST_OFFICE", "HOLDFAST_TOKEN", "HOLDFAST_LEASE", "HOLDFAST_REVISION"];

/// Where a configuration is read from.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// Files, in this order.
    pub files: Vec<PathBuf>,
    /// Directories of files, behind all of those.
    pub directories: Vec<PathBuf>,
    /// What flags say, by the key.
    pub flags: Vec<(&'static str, OsString)>,
    /// Variables of the environment that other commands of this program know.
    pub other_variables: Vec<String>,
}

/// An effective value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// What it is.
    pub value: Value,
    /// Who says so.
    pub origin: Origin,
}

/// Everything that was said, made one.
#[derive(Clone, Debug, Default)]
pub struct Config {
    pub(super) settings: BTreeMap<&'static str, Setting>,
    /// What is not wrong, and should be known.
    pub warnings: Vec<String>,
}

/// What one source says: options by their keys, those with old names too.
#[derive(Clone, Debug, Default)]
pub(super) struct Layer(BTreeMap<&'static str, Setting>);

/// A value before it is understood.
pub(super) enum Said<'a> {
    Text(&'a OsStr),
    Toml(&'a DeValue<'a>),
}

impl Layer {
    /// Takes in what was said of a key.
    pub(super) fn say(&mut self, key: &str, origin: Origin, said: &Said<'_>, wrong: &mut Vec<ConfigError>) {
        let read = if let Some(option) = table::option(key) {
            Some((option.key, understand(option, said)))
        } else {
            table::deprecated(key).map(|old| (old.key, understand_old(old, said)))
        };
        match read {
            Some((key, Ok(value))) => {
                self.0.insert(key, Setting { value, origin });
            }
            Some((key, Err(why))) => wrong.push(ConfigError::Value { origin, key, why }),
            None => wrong.push(match RESERVED.iter().find(|reserved| **reserved == key) {
                Some(key) => ConfigError::Reserved { origin, key },
                None => ConfigError::Unknown { origin, key: key.to_owned(), guess: guess(key) },
            }),
        }
    }
}

fn understand(option: &Opt, said: &Said<'_>) -> Result<Value, String> {
    match said {
        Said::Text(text) => option.kind.parse(text),
        Said::Toml(value) => option.kind.from_toml(value),
    }
}

/// A bare number, as an option of the past had it, as the value of the option that took its place.
fn understand_old(old: &Deprecated, said: &Said<'_>) -> Result<Value, String> {
    let Deprecated { now, unit, .. } = old;
    let text = match said {
        Said::Text(text) => text.to_string_lossy().into_owned(),
        Said::Toml(DeValue::Integer(number)) if number.radix() == 10 => number.as_str().replace('_', ""),
        Said::Toml(_) => String::new(),
    };
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!("expected a whole number; it is called `{now}` now, and carries its unit"));
    }
    let option = table::option(now).ok_or_else(|| format!("there is no `{now}`"))?;
    option.kind.parse(format!("{text}{unit}").as_ref())
}

/// The key that was probably meant.
pub(super) fn guess(key: &str) -> Option<&'static str> {
    let key = key.to_ascii_lowercase().replace('-', "_");
    let keys = OPTIONS.iter().map(|option| option.key);
    let alike = keys.map(|known| (strsim::jaro_winkler(&key, known), known));
    let nearest = alike.max_by(|one, other| one.0.total_cmp(&other.0));
    nearest.filter(|(alike, _)| *alike >= ALIKE).map(|(_, known)| known)
}

/// Reads all layers. Everything that is wrong is found, not only the first of it.
///
/// # Errors
/// All that is wrong.
pub fn load(
    sources: &Sources,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Config, Vec<ConfigError>> {
    let mut wrong = Vec::new();
    let mut warnings = Vec::new();
    let mut files = sources.files.clone();
    for directory in &sources.directories {
        files.extend(file::of_directory(directory, &mut wrong));
    }
    let mut layers: Vec<Layer> = files.iter().map(|path| file::read(path, &mut wrong)).collect();
    layers.push(from_environment(environment, &sources.other_variables, &mut wrong, &mut warnings));
    let mut flags = Layer::default();
    for (key, text) in &sources.flags {
        flags.say(key, Origin::Flag(table::flag(key)), &Said::Text(text), &mut wrong);
    }
    layers.push(flags);
    if !wrong.is_empty() {
        return Err(wrong);
    }
    Ok(merge(layers, warnings))
}

/// The variables that begin with `HOLDFAST_`. One that nobody knows is no error: it may be meant for another version.
fn from_environment(
    environment: impl IntoIterator<Item = (OsString, OsString)>,
    others: &[String],
    wrong: &mut Vec<ConfigError>,
    warnings: &mut Vec<String>,
) -> Layer {
    let mut layer = Layer::default();
    let mut variables: Vec<(OsString, OsString)> = environment.into_iter().collect();
    variables.sort();
    for (name, value) in variables {
        let Some(name) = name.to_str().filter(|name| name.starts_with(PREFIX)) else { continue };
        let key = name.trim_start_matches(PREFIX).to_ascii_lowercase();
        let known = table::option(&key).is_some()
            || table::deprecated(&key).is_some()
            || RESERVED.contains(&key.as_str());
        // A variable in small letters would be another one.
        if known && name == table::variable(&key) {
            layer.say(&key, Origin::Environment(name.to_owned()), &Said::Text(&value), wrong);
        } else if !TOLD_TO_OTHERS.contains(&name) && !others.iter().any(|other| other == name) {
            let meant =
                guess(&key).map_or(String::new(), |key| format!("; did you mean {}?", table::variable(key)));
            warnings.push(format!("{name}: no option has this name, so it does nothing{meant}"));
        }
    }
    layer
}

/// The later layer wins; an option with its old name loses against the new one, wherever that stands.
fn merge(layers: Vec<Layer>, mut warnings: Vec<String>) -> Config {
    let mut said: BTreeMap<&'static str, Setting> = BTreeMap::new();
    for Layer(layer) in layers {
        said.extend(layer);
    }
    let mut settings = BTreeMap::new();
    for option in &OPTIONS {
        let mut setting = said.remove(option.key);
        for old in DEPRECATED.iter().filter(|old| old.now == option.key) {
            let Some(former) = said.remove(old.key) else { continue };
            let Deprecated { key, now, .. } = old;
            match &setting {
                Some(Setting { value, origin }) => warnings.push(format!(
                    "{}: `{key}` is called `{now}` now, and is not looked at, since {origin} says `{now}` is {value}",
                    former.origin
                )),
                None => {
                    let Setting { value, origin } = &former;
                    let write = written(origin, now, value);
                    warnings.push(format!("{origin}: `{key}` is called `{now}` now: write {write}"));
                    setting = Some(former);
                }
            }
        }
        let default = || {
            let value = option.kind.parse(option.default?.as_ref()).ok()?;
            Some(Setting { value, origin: Origin::Default })
        };
        if let Some(setting) = setting.or_else(default) {
            settings.insert(option.key, setting);
        }
    }
    Config { settings, warnings }
}

/// How this is said where something else was said.
fn written(place: &Origin, key: &str, value: &Value) -> String {
    match place {
        Origin::File(..) | Origin::Default => format!("`{key} = \"{value}\"`"),
        Origin::Environment(_) => format!("`{}={value}`", table::variable(key)),
        Origin::Flag(_) => format!("`{}={value}`", table::flag(key)),
    }
}

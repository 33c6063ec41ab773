//! A configuration file: TOML with one key for each option, and no tables. What stands on which line is kept.

use std::fs;
use std::path::{Path, PathBuf};

use toml::de::DeTable;

use super::layers::{Layer, Said};
use super::origin::{ConfigError, Origin};

/// What a file may have at most: a hundred times what all options together need.
const BYTES_MAX: u64 = 1 << 20;

/// Reads one file, and adds what is wrong with it to `wrong`.
pub(super) fn read(path: &Path, wrong: &mut Vec<ConfigError>) -> Layer {
    let text = match text_of(path) {
        Ok(text) => text,
        Err(error) => {
            wrong.push(error);
            return Layer::default();
        }
    };
    let line_of = |at: usize| 1 + text.as_bytes().iter().take(at).filter(|byte| **byte == b'\n').count();
    let table = match DeTable::parse(&text) {
        Ok(table) => table.into_inner(),
        Err(error) => {
            let line = line_of(error.span().map_or(0, |span| span.start));
            wrong.push(ConfigError::Syntax { path: path.to_owned(), line, why: error.message().to_owned() });
            return Layer::default();
        }
    };
    let mut layer = Layer::default();
    for (key, value) in &table {
        let origin = Origin::File(path.to_owned(), line_of(key.span().start));
        layer.say(key.get_ref(), origin, &Said::Toml(value.get_ref()), wrong);
    }
    layer
}

fn text_of(path: &Path) -> Result<String, ConfigError> {
    let failed = |error| ConfigError::Read { path: path.to_owned(), error };
    let length = fs::metadata(path).map_err(failed)?.len();
    if length > BYTES_MAX {
        return Err(failed(std::io::Error::other("longer than 1MiB, which no configuration is")));
    }
    let bytes = fs::read(path).map_err(failed)?;
    String::from_utf8(bytes).map_err(|error| {
        let text = error.as_bytes().iter().take(error.utf8_error().valid_up_to());
        let line = 1 + text.filter(|byte| **byte == b'\n').count();
        ConfigError::NotText { path: path.to_owned(), line }
    })
}

/// The files of a directory that are read, in the order of their names: those that end in `.toml` and do not begin with a dot.
pub(super) fn of_directory(directory: &Path, wrong: &mut Vec<ConfigError>) -> Vec<PathBuf> {
    let list = || -> std::io::Result<Vec<PathBuf>> {
        fs::read_dir(directory)?.map(|entry| entry.map(|entry| entry.path())).collect()
    };
    match list() {
        Ok(mut files) => {
            let is_meant = |path: &PathBuf| {
                let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
                !hidden && path.extension().is_some_and(|extension| extension == "toml")
            };
            files.retain(is_meant);
            files.sort();
            files
        }
        Err(error) => {
            wrong.push(ConfigError::Read { path: directory.to_owned(), error });
            Vec::new()
        }
    }
}

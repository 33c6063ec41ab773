//! The files of the repository, and what its manifests say.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The folder that holds the workspace's `Cargo.toml`.
#[must_use]
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().expect("tidy stands in the workspace's folder").to_owned()
}

/// The text of a file, by its path from the root.
///
/// # Panics
/// If it cannot be read: a check over nothing would always pass.
#[must_use]
pub fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every file below the root whose name ends in `ending`, as paths from the root, sorted. Leaves out build
/// output and hidden folders.
#[must_use]
pub fn files(ending: &str) -> Vec<String> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).expect("a folder of the repository can be listed") {
            let path = entry.expect("an entry of the repository can be read").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if path.is_dir() && name != "target" && !name.starts_with('.') {
                walk(&path, found);
            } else if path.is_file() {
                found.push(path.clone());
            }
        }
    }
    let (root, mut found) = (root(), Vec::new());
    walk(&root, &mut found);
    let mut paths: Vec<String> = found
        .iter()
        .filter_map(|path| path.strip_prefix(&root).ok()?.to_str())
        .filter(|path| path.ends_with(ending))
        .map(ToOwned::to_owned)
        .collect();
    paths.sort();
    paths
}

/// One crate of the workspace.
#[derive(Clone, Debug)]
pub struct Member {
    /// Its folder, which is its package name without `holdfast-`.
    pub folder: String,
    /// Its manifest.
    pub manifest: toml::Table,
}

/// Every member of the workspace, by folder.
#[must_use]
pub fn members() -> BTreeMap<String, Member> {
    let workspace = manifest("Cargo.toml");
    let folders = workspace["workspace"]["members"].as_array().expect("a list of members").clone();
    folders
        .into_iter()
        .map(|folder| {
            let folder = folder.as_str().expect("a member is a folder").to_owned();
            let manifest = manifest(&format!("{folder}/Cargo.toml"));
            (folder.clone(), Member { folder, manifest })
        })
        .collect()
}

/// A manifest, parsed.
///
/// # Panics
/// If it is not TOML.
#[must_use]
pub fn manifest(path: &str) -> toml::Table {
    read(path).parse().unwrap_or_else(|error| panic!("{path}: {error}"))
}

impl Member {
    /// The crates in `table` of its manifest (`dependencies`, `dev-dependencies`): name and version requirement,
    /// which is empty for a crate of this workspace.
    #[must_use]
    pub fn uses(&self, table: &str) -> BTreeMap<String, String> {
        let Some(table) = self.manifest.get(table).and_then(toml::Value::as_table) else {
            return BTreeMap::new();
        };
        table
            .iter()
            .map(|(name, wanted)| {
                let version = wanted.as_str().or_else(|| wanted.get("version")?.as_str());
                (name.clone(), version.unwrap_or_default().to_owned())
            })
            .collect()
    }

    /// The crates of this workspace that it depends on outside of tests, by folder.
    #[must_use]
    pub fn layers_below(&self) -> Vec<String> {
        let uses = self.uses("dependencies");
        uses.keys().filter_map(|name| name.strip_prefix("holdfast-")).map(ToOwned::to_owned).collect()
    }

    /// The text of its crate root.
    #[must_use]
    pub fn crate_root(&self) -> String {
        let library = format!("{}/src/lib.rs", self.folder);
        if root().join(&library).exists() {
            read(&library)
        } else {
            read(&format!("{}/src/main.rs", self.folder))
        }
    }
}

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

/// Every file of the project whose name ends in `ending`, as paths from the root, sorted: those at the root itself, and
/// all below the members, `docs` and `fuzz`. What else lies in a checkout (notes, build output) is nobody's business.
///
/// # Panics
/// If there is none: a check over nothing would always pass.
#[must_use]
pub fn files(ending: &str) -> Vec<String> {
    fn walk(folder: &Path, deep: bool, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).expect("a folder of the repository can be listed") {
            let path = entry.expect("an entry of the repository can be read").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if path.is_file() {
                found.push(path);
            } else if deep && name != "target" && name != "corpus" {
                walk(&path, true, found);
            }
        }
    }
    let (root, mut found) = (root(), Vec::new());
    walk(&root, false, &mut found);
    for folder in members().keys().map(String::as_str).chain(["docs", "fuzz"]) {
        walk(&root.join(folder), true, &mut found);
    }
    let mut paths: Vec<String> = found
        .iter()
        .filter_map(|path| path.strip_prefix(&root).ok()?.to_str())
        .filter(|path| path.ends_with(ending))
        .map(ToOwned::to_owned)
        .collect();
    paths.sort();
    assert!(!paths.is_empty(), "no file ends in {ending}");
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
    assert!(!folders.is_empty(), "a workspace has members");
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
    /// What it depends on outside of tests, whatever the table (`dependencies`, `build-dependencies`, those of one
    /// target): package and version requirement, which is empty for a crate of this workspace.
    #[must_use]
    pub fn uses(&self) -> BTreeMap<String, String> {
        let mut found = BTreeMap::new();
        let targets = self.manifest.get("target").and_then(toml::Value::as_table);
        let targets = targets.into_iter().flat_map(toml::Table::values).filter_map(toml::Value::as_table);
        for place in targets.chain([&self.manifest]) {
            for table in ["dependencies", "build-dependencies"] {
                let Some(table) = place.get(table).and_then(toml::Value::as_table) else { continue };
                for (name, wanted) in table {
                    let of = |key: &str| wanted.get(key).and_then(toml::Value::as_str);
                    let package = of("package").unwrap_or(name).to_owned();
                    let version = wanted.as_str().or(of("version")).unwrap_or_default();
                    found.insert(package, version.to_owned());
                }
            }
        }
        found
    }

    /// The crates of this workspace that it depends on outside of tests, by folder.
    #[must_use]
    pub fn layers_below(&self) -> Vec<String> {
        let uses = self.uses();
        uses.keys().filter_map(|name| name.strip_prefix("holdfast-")).map(ToOwned::to_owned).collect()
    }

    /// Whether each of its crate roots (library, program, further programs) says `#![LEVEL(LINT)]`.
    ///
    /// # Panics
    /// If it has no crate root, or one that is not Rust.
    #[must_use]
    pub fn every_root_says(&self, level: &str, lint: &str) -> bool {
        let (main, library) = (format!("{}/src/main.rs", self.folder), format!("{}/src/lib.rs", self.folder));
        let further = format!("{}/src/bin/", self.folder);
        let all = files(".rs");
        let mut roots =
            all.iter().filter(|path| **path == main || **path == library || path.starts_with(&further));
        let mut seen = 0;
        let all_say = roots.all(|path| {
            seen += 1;
            let file = syn::parse_file(&read(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
            file.attrs.iter().any(|attribute| says(attribute, level, lint))
        });
        assert!(seen > 0, "{} has no crate root", self.folder);
        all_say
    }
}

fn says(attribute: &syn::Attribute, level: &str, lint: &str) -> bool {
    let syn::Meta::List(list) = &attribute.meta else { return false };
    let lints = list.tokens.to_string().replace(' ', "");
    list.path.is_ident(level) && lints.split(',').any(|named| named == lint)
}

//! Links, paths and symbols in prose.

use std::collections::{BTreeMap, BTreeSet};

use holdfast_tidy::symbols::{self, Symbols};
use holdfast_tidy::{pages, workspace};

fn all_symbols() -> BTreeMap<String, Symbols> {
    let sources = workspace::files(".rs");
    // Cases that must not compile are not sources.
    let sources = sources.into_iter().filter(|path| !path.contains("/compile_fail/"));
    sources.map(|path| (path.clone(), symbols::of(&workspace::read(&path)))).collect()
}

#[test]
fn every_function_and_test_named_in_a_page_exists() {
    let symbols = all_symbols();
    let tests: BTreeSet<&str> =
        symbols.values().flat_map(|file| file.tests.iter().map(String::as_str)).collect();
    let function = |path: &str, name: &str| symbols.get(path).map(|file| file.functions.contains(name));
    for page in workspace::files(".md") {
        let faults =
            pages::reference_faults(&workspace::read(&page), &function, &|name| tests.contains(name));
        assert_eq!(faults, [""; 0], "{page}");
    }
}

#[test]
fn every_link_within_the_repository_leads_somewhere() {
    for page in workspace::files(".md") {
        let text = workspace::read(&page);
        for (path, anchor) in pages::local_links(&text) {
            let folder = page.rsplit_once('/').map_or("", |(folder, _)| folder);
            let target = if path.is_empty() { page.clone() } else { resolve(folder, path) };
            assert!(workspace::root().join(&target).exists(), "{page} links to {path}, which does not exist");
            if !anchor.is_empty() {
                let anchors = pages::anchors(&workspace::read(&target));
                assert!(
                    anchors.iter().any(|there| there == anchor),
                    "{page}: {target} has no heading #{anchor}"
                );
            }
        }
    }
}

/// `path` as seen from `folder`, with `..` taken.
fn resolve(folder: &str, path: &str) -> String {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            ".." => drop(parts.pop()),
            "." => {}
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[test]
fn every_file_named_in_a_page_exists() {
    for page in workspace::files(".md") {
        let text = workspace::read(&page);
        for path in pages::named_paths(&text) {
            assert!(workspace::root().join(path).exists(), "{page} names {path}, which does not exist");
        }
    }
}

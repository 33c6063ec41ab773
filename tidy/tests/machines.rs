//! Each machine against its page in `docs/state-machines/`.

use std::collections::BTreeSet;

use holdfast_tidy::blocks::Wanted;
use holdfast_tidy::registry::{self, MachineEntry};
use holdfast_tidy::{blocks, pages, symbols, workspace};

#[test]
fn every_machine_of_the_workspace_is_registered() {
    let sources = workspace::files(".rs");
    let of_crates = sources.iter().filter(|path| path.contains("/src/") && !path.starts_with("fuzz/"));
    let declared: BTreeSet<String> =
        of_crates.flat_map(|path| symbols::of(&workspace::read(path)).machines).collect();
    let registered = registry::machines();
    let registered: BTreeSet<String> =
        registered.iter().map(|machine| machine.type_name.to_owned()).collect();
    assert_eq!(declared, registered, "add the machine to tidy/src/registry.rs");
}

#[test]
fn every_table_is_alive() {
    for machine in registry::machines() {
        assert_eq!(machine.faults, [""; 0], "machine {:02} {}", machine.number, machine.name);
    }
}

#[test]
fn every_page_shows_the_table_that_runs() {
    let machines = registry::machines();
    let pages: Vec<Wanted> = machines.iter().map(|machine| (machine.path(), page_blocks(machine))).collect();
    blocks::check(&pages);
}

/// The blocks of a machine's page: its table, and those of the decision tables that belong to it.
fn page_blocks(machine: &MachineEntry) -> Vec<(&'static str, String)> {
    let mut wanted = vec![("machine", machine.page.clone())];
    if machine.name == "connection" {
        wanted
            .push(("greeting rows", holdfast_machine::render::list::<holdfast_wire::connection::Row>("row")));
    }
    wanted
}

#[test]
fn every_edge_has_a_section_that_says_why_and_names_code_and_test() {
    for machine in registry::machines() {
        let edges: Vec<String> = machine.edges.iter().map(|(label, _)| label.clone()).collect();
        let faults = pages::edge_faults(&workspace::read(&machine.path()), &edges);
        assert_eq!(faults, [""; 0], "{}", machine.path());
    }
}

#[test]
fn the_list_of_machines_is_current() {
    let mut list = String::from("| machine | states | events | edges | page |\n|---|---|---|---|---|\n");
    for machine in registry::machines() {
        let MachineEntry { number, name, sizes: [states, events, edges], .. } = &machine;
        list += &format!(
            "| {number:02} {name} | {states} | {events} | {edges} | [{number:02}-{name}.md]({number:02}-{name}.md) |\n"
        );
    }
    blocks::check(&[("docs/state-machines/README.md".into(), vec![("machines", list)])]);
}

#[test]
fn no_page_describes_a_machine_that_does_not_exist() {
    let known: BTreeSet<String> = registry::machines().iter().map(MachineEntry::path).collect();
    for page in workspace::files(".md") {
        if page.starts_with("docs/state-machines/") && !page.ends_with("README.md") {
            assert!(known.contains(&page), "{page} is the page of no machine");
        }
    }
}

//! Each machine against its page in `docs/state-machines/`.

use std::collections::BTreeSet;

use holdfast_machine::Numbered;
use holdfast_tidy::blocks::Wanted;
use holdfast_tidy::registry::{self, MachineEntry};
use holdfast_tidy::{blocks, pages, symbols, transcript, workspace};
use holdfast_wal::{Facts, Row, Sight, Verdict};

#[test]
fn every_machine_of_the_workspace_is_registered() {
    let sources = workspace::files(".rs");
    let of_crates = sources.iter().filter(|path| path.contains("/src/"));
    let mut declared: Vec<String> = of_crates.flat_map(|path| symbols::of_file(path).machines).collect();
    let mut registered: Vec<String> =
        registry::machines().iter().map(|machine| machine.type_name.to_owned()).collect();
    // As lists: two machines of one name are two machines.
    declared.sort();
    registered.sort();
    assert_eq!(declared, registered, "add the machine to tidy/src/registry.rs");
}

#[test]
fn no_table_answers_for_what_nobody_thought_of() {
    for path in workspace::files(".rs").iter().filter(|path| path.contains("/src/")) {
        assert_eq!(
            symbols::of_file(path).open_arms,
            [""; 0],
            "{path}: a table's match needs every cell by name"
        );
    }
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
    let mut pages: Vec<Wanted> =
        machines.iter().map(|machine| (machine.path(), page_blocks(machine))).collect();
    pages.push(("docs/state-machines/07-wal-recovery.md".into(), vec![("rows", recovery_rows())]));
    blocks::check(&pages);
}

/// The blocks of a machine's page: its table, and those of the decision tables that belong to it.
fn page_blocks(machine: &MachineEntry) -> Vec<(&'static str, String)> {
    let mut wanted = vec![("machine", machine.page.clone())];
    match machine.name {
        "connection" => {
            let rows = holdfast_machine::render::list::<holdfast_wire::connection::Row>("row");
            wanted.push(("greeting rows", rows));
        }
        "session" => {
            let rows = holdfast_machine::render::list::<holdfast_store::sessions::Row>("row");
            wanted.push(("request rows", rows));
        }
        "raft-role" => wanted.push(("election", transcript::election())),
        "follower-progress" => wanted.push(("round", transcript::round())),
        "formation" => {
            let causes = holdfast_machine::render::list::<holdfast_raft::formation::DropCause>("cause");
            wanted.push(("drop causes", causes));
        }
        _ => {}
    }
    wanted
}

/// The table of recovery: each row with the facts that lead to it, found by going through all of them.
fn recovery_rows() -> String {
    const ANY: &str = "any";
    let say = |values: &[bool], yes: &'static str, no: &'static str| match (
        values.contains(&true),
        values.contains(&false),
    ) {
        (true, false) => yes,
        (false, true) => no,
        _ => ANY,
    };
    let mut out = String::from(
        "| row | what stands there | below S | inside an entry's fragments | everything behind it | verdict | meaning |\n|---|---|---|---|---|---|---|\n",
    );
    for row in Row::ALL {
        let sights = [Sight::Unwritten, Sight::SomeZero, Sight::SomeWrong, Sight::WrongHead];
        let combinations = sights.into_iter().flat_map(|sight| {
            (0..8).map(move |bits| Facts {
                sight,
                covered: bits & 1 != 0,
                in_run: bits & 2 != 0,
                rest_is_zero: bits & 4 != 0,
            })
        });
        let own: Vec<Facts> = combinations.filter(|facts| facts.row() == *row).collect();
        let seen: Vec<String> = sights
            .iter()
            .filter(|sight| own.iter().any(|facts| facts.sight == **sight))
            .map(|sight| match sight {
                Sight::Unwritten => "nothing".to_owned(),
                Sight::SomeZero => "a record, partly zero".to_owned(),
                Sight::SomeWrong => "a record, partly wrong".to_owned(),
                Sight::WrongHead => "neither a head nor zero".to_owned(),
            })
            .collect();
        let of = |fact: fn(&Facts) -> bool| own.iter().map(fact).collect::<Vec<bool>>();
        out += &format!(
            "| W{} {} | {} | {} | {} | {} | {} | {} |\n",
            row.number(),
            row.name(),
            seen.join(", or "),
            say(&of(|facts| facts.covered), "yes", "no"),
            say(&of(|facts| facts.in_run), "yes", "no"),
            say(&of(|facts| facts.rest_is_zero), "zero", "not zero"),
            match row.verdict() {
                Verdict::End => "the log ends here",
                Verdict::Cut => "**cut**",
                Verdict::Damage => "**damage**",
            },
            row.caption(),
        );
    }
    out
}

#[test]
fn every_edge_has_a_section_that_says_why_and_names_code_and_test() {
    for machine in registry::machines() {
        let faults = pages::edge_faults(&workspace::read(&machine.path()), &machine.edges);
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
    for (number, name, rows) in registry::TABLES {
        list += &format!(
            "| {number:02} {name} | a table of {rows} rows | | | [{number:02}-{name}.md]({number:02}-{name}.md) |\n"
        );
    }
    blocks::check(&[("docs/state-machines/README.md".into(), vec![("machines", list)])]);
}

#[test]
fn no_page_describes_a_machine_that_does_not_exist() {
    let tables = registry::TABLES.iter();
    let tables = tables.map(|(number, name, _)| format!("docs/state-machines/{number:02}-{name}.md"));
    let known: BTreeSet<String> = registry::machines().iter().map(MachineEntry::path).chain(tables).collect();
    for page in workspace::files(".md") {
        if page.starts_with("docs/state-machines/") && !page.ends_with("README.md") {
            assert!(known.contains(&page), "{page} is the page of no machine");
        }
    }
}

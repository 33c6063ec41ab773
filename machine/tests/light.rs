//! The mechanism, on a machine small enough to check by eye.

use holdfast_machine::{Machine, Numbered, Trace, Verdict, audit, decide, golden, numbered, render};

numbered! {
    /// States.
    pub enum Lamp: u8, "S" {
        /// Dark.
        Off = 1,
        /// Bright | loud,
        /// over two lines.
        On = 2,
        /// Gone for good.
        Broken = 4,
    }
    retired { 3 = Dimmed }
}

numbered! {
    /// Events.
    pub enum Fact: u8, "E" {
        /// Somebody pressed the switch.
        Pressed = 1,
        /// The wire parted.
        WireParted = 2,
    }
}

numbered! {
    /// Edges.
    pub enum Edge: u8, "T" {
        /// Let current flow.
        LightUp = 1,
        /// Cut the current.
        GoDark = 2,
        /// Never again.
        Burn = 3,
    }
}

struct LampMachine;

impl Machine for LampMachine {
    const NUMBER: u8 = 99;
    const NAME: &'static str = "lamp";
    const INITIAL: Lamp = Lamp::Off;
    const FINAL: &'static [Lamp] = &[Lamp::Broken];
    type State = Lamp;
    type Event = Fact;
    type Edge = Edge;

    fn next(state: Lamp, event: Fact) -> Verdict<Edge> {
        match (state, event) {
            (Lamp::Off, Fact::Pressed) => Verdict::Take(Edge::LightUp),
            (Lamp::On, Fact::Pressed) => Verdict::Take(Edge::GoDark),
            (Lamp::On, Fact::WireParted) => Verdict::Take(Edge::Burn),
            (Lamp::Off, Fact::WireParted) => Verdict::Never("no current, no arc"),
            (Lamp::Broken, Fact::Pressed | Fact::WireParted) => Verdict::Stay("nothing left to do"),
        }
    }

    fn target(edge: Edge) -> Lamp {
        match edge {
            Edge::LightUp => Lamp::On,
            Edge::GoDark => Lamp::Off,
            Edge::Burn => Lamp::Broken,
        }
    }
}

#[test]
fn every_number_decodes_to_itself_and_no_other_number_decodes() {
    for number in 0..=u8::MAX {
        let live = Lamp::ALL.iter().copied().find(|lamp| lamp.number() == number);
        assert_eq!(Lamp::from_number(number), live, "number {number}");
    }
    assert_eq!(Lamp::from_number(0), None);
    assert_eq!(Lamp::from_number(3), None, "retired");
    assert_eq!(Lamp::RETIRED, [(3, "Dimmed")]);
}

#[test]
fn positions_count_variants_and_not_numbers() {
    let positions: Vec<usize> = Lamp::ALL.iter().map(|lamp| lamp.position()).collect();
    assert_eq!(positions, [0, 1, 2]);
}

#[test]
fn captions_join_the_lines_of_a_doc_comment() {
    assert_eq!(Lamp::On.caption(), "Bright | loud,\n over two lines.");
    assert_eq!(format!("{:>8}|", Lamp::On), "   S2 On|");
}

#[test]
fn widths_up_to_thirty_two_bits_and_families_with_room_between_them() {
    numbered! {
        /// Codes.
        pub enum Code: u32, "HF" {
            /// a
            NoLeader = 1200,
            /// b
            NoQuorum = 1201,
            /// c
            Torn = 70_000,
        }
        retired { 1202 = NoLuck }
        families { "cluster" = 1200..=1299, "disk" = 70_000..=70_099 }
    }
    assert_eq!(Code::from_number(70_000), Some(Code::Torn));
    assert_eq!(Code::NoQuorum.label(), "HF1201 NoQuorum");
    assert_eq!(Code::FAMILIES, [("cluster", 1200, 1299), ("disk", 70_000, 70_099)]);
}

#[test]
fn the_drawing_shows_exactly_the_edges_of_the_table() {
    assert_eq!(
        render::mermaid::<LampMachine>(),
        "stateDiagram-v2\n    [*] --> Off\n    Off --> On: T1 Pressed\n    On --> Off: T2 Pressed\n    \
         On --> Broken: T3 WireParted\n    Broken --> [*]\n"
    );
}

#[test]
fn the_grid_has_every_cell_with_its_reason() {
    assert_eq!(
        render::grid::<LampMachine>(),
        "| event | S1 Off | S2 On | S4 Broken |\n|---|---|---|---|\n\
         | E1 Pressed | **T1** → On | **T2** → Off | stay: nothing left to do |\n\
         | E2 WireParted | never: no current, no arc | **T3** → Broken | stay: nothing left to do |\n"
    );
}

#[test]
fn lists_keep_retired_numbers_in_their_place() {
    assert_eq!(
        render::list::<Lamp>("state"),
        "| number | state | meaning |\n|---|---|---|\n| S1 | Off | Dark. |\n\
         | S2 | On | Bright \\| loud, over two lines. |\n| S3 | ~~Dimmed~~ | retired |\n\
         | S4 | Broken | Gone for good. |\n"
    );
}

#[test]
fn lists_are_in_the_order_of_numbers_and_not_of_digits() {
    numbered! {
        /// Ten and more.
        pub enum Many: u8, "M" {
            /// .
            A = 1,
            /// .
            B = 2,
            /// .
            C = 3,
            /// .
            D = 4,
            /// .
            E = 5,
            /// .
            F = 6,
            /// .
            G = 7,
            /// .
            H = 8,
            /// .
            I = 9,
            /// .
            J = 10,
        }
    }
    let list = render::list::<Many>("x");
    let (two, ten) = (list.find("| M2 "), list.find("| M10 "));
    assert!(two < ten, "{list}");
}

#[test]
fn a_trace_keeps_the_newest_steps_and_counts_all_of_them() {
    let mut trace = Trace::<LampMachine, 2>::new();
    assert_eq!(trace.steps().count(), 0);
    let mut lamp = LampMachine::INITIAL;
    for at in 0..5 {
        let edge = decide::<LampMachine>(lamp, Fact::Pressed).expect("pressing always switches");
        trace.record(at, lamp, Fact::Pressed, edge);
        lamp = LampMachine::target(edge);
        assert_eq!(trace.steps().count() as u64, 2.min(at + 1));
    }
    let steps: Vec<String> = trace.steps().map(|step| format!("{step:?}")).collect();
    assert_eq!(steps, ["3: T2 GoDark On → Off (E1 Pressed)", "4: T1 LightUp Off → On (E1 Pressed)"]);
    assert_eq!((trace.count(Edge::LightUp), trace.count(Edge::GoDark), trace.total()), (3, 2, 5));
    assert!(format!("{trace:?}").starts_with("lamp after 3 older ["), "{trace:?}");
}

#[test]
#[cfg(debug_assertions)]
#[should_panic(expected = "T3 Burn is not in the table")]
fn a_trace_refuses_a_step_the_table_does_not_have() {
    Trace::<LampMachine, 2>::new().record(0, Lamp::Off, Fact::Pressed, Edge::Burn);
}

#[test]
fn staying_is_no_edge() {
    assert_eq!(decide::<LampMachine>(Lamp::Broken, Fact::Pressed), None);
}

#[test]
#[should_panic(expected = "lamp: S1 Off met E2 WireParted: no current, no arc")]
fn a_never_cell_panics_with_state_event_and_reason() {
    let _ = decide::<LampMachine>(Lamp::Off, Fact::WireParted);
}

#[test]
fn the_audit_finds_nothing_wrong_with_a_living_table() {
    assert_eq!(audit::faults::<LampMachine>(), [""; 0]);
}

#[test]
fn the_audit_names_dead_states_dead_edges_traps_leaks_and_missing_reasons() {
    struct Ill;
    impl Machine for Ill {
        const NUMBER: u8 = 98;
        const NAME: &'static str = "ill";
        const INITIAL: Lamp = Lamp::Off;
        const FINAL: &'static [Lamp] = &[Lamp::Off];
        type State = Lamp;
        type Event = Fact;
        type Edge = Edge;

        fn next(state: Lamp, event: Fact) -> Verdict<Edge> {
            match (state, event) {
                (Lamp::Off, Fact::Pressed) => Verdict::Take(Edge::LightUp),
                (Lamp::Off, Fact::WireParted) => Verdict::Stay(" "),
                (Lamp::On | Lamp::Broken, Fact::Pressed | Fact::WireParted) => Verdict::Never("!"),
            }
        }

        fn target(edge: Edge) -> Lamp {
            LampMachine::target(edge)
        }
    }
    assert_eq!(
        audit::faults::<Ill>(),
        [
            "S1 Off × E2 WireParted gives no reason",
            "S1 Off is final but has a way out",
            "S2 On is a trap: no way out, and not final",
            "S4 Broken is never reached",
            "T2 GoDark is never taken",
            "T3 Burn is never taken",
        ]
    );
}

#[test]
fn a_golden_list_keeps_retired_numbers_and_sees_swaps_removals_and_additions() {
    assert_eq!(golden::lines::<Lamp>(), ["1 Off", "2 On", "3 Dimmed", "4 Broken"]);
    assert_eq!(
        golden::drift::<Lamp>("# seen\n\n1 Off\n2 On\n3 Dimmed\n4 Broken\n"),
        golden::Drift::default()
    );

    let swapped = golden::drift::<Lamp>("1 On\n2 Off\n3 Dimmed\n4 Broken\n");
    assert_eq!(swapped.broken, ["1 On", "2 Off"]);
    let removed = golden::drift::<Lamp>("1 Off\n2 On\n3 Dimmed\n4 Broken\n5 Stolen\n");
    assert_eq!((removed.broken, removed.added), (vec!["5 Stolen".to_owned()], vec![]));
    let added = golden::drift::<Lamp>("1 Off\n2 On\n3 Dimmed\n");
    assert_eq!((added.broken, added.added), (vec![], vec!["4 Broken".to_owned()]));
}

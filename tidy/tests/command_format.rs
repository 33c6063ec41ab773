//! `docs/command-format.md`, `docs/errors.md` and the table of settings in `docs/store.md` against the crate `command`.

use std::collections::BTreeMap;
use std::fmt::Write;

use holdfast_command::keys::{Content, OperationNumber, Put, Relation, SortBy, Subject};
use holdfast_command::number::Origin;
use holdfast_command::query::{self, MissingReason, QueryNumber};
use holdfast_command::settings::Unit;
use holdfast_command::{
    Actor, Code, Command, CommandNumber, Effect, Entry, Envelope, Extension, Extensions, ReplyNumber,
    Request, RequestKey, SessionId, Setting, audit, envelope, extension, keys, leases, locks, namespaces,
    request, sessions, settings,
};
use holdfast_machine::{Numbered, render};
use holdfast_tidy::fields::{self, shape, take_apart};
use holdfast_tidy::shapes::SHAPES;
use holdfast_tidy::symbols::{self, Symbols};
use holdfast_tidy::{blocks, layout, workspace};

/// The documentation of every field of the crate, by struct, or `Reply::` and variant.
fn documentation() -> BTreeMap<String, Vec<(String, String)>> {
    let sources = workspace::files(".rs");
    let of_command = sources.iter().filter(|path| path.starts_with("command/src/"));
    let all: Vec<Symbols> = of_command.map(|path| symbols::of_file(path)).collect();
    let mut docs = BTreeMap::new();
    for item in all.iter().flat_map(|file| &file.structs) {
        let fields = item.fields.iter().map(|field| (field.name.clone(), layout::plain(&field.doc)));
        docs.insert(item.name.clone(), fields.collect());
    }
    let file = syn::parse_file(&workspace::read("command/src/outcome.rs")).expect("the module is Rust");
    for item in file.items {
        if let syn::Item::Enum(item) = item
            && item.ident == "Reply"
        {
            for variant in item.variants {
                let named =
                    |field: &syn::Field| Some((field.ident.as_ref()?.to_string(), field.attrs.clone()));
                let fields = variant.fields.iter().filter_map(named);
                let fields = fields.map(|(name, attrs)| (name, layout::plain(&symbols::doc(&attrs))));
                docs.insert(format!("Reply::{}", variant.ident), fields.collect());
            }
        }
    }
    docs
}

/// Where the fields of a table are documented.
fn struct_of<'a>(shape: &'a str, field: &'a str) -> (&'a str, &'a str) {
    match (shape, field.strip_prefix("rules.")) {
        (_, Some(field)) => ("Rules", field),
        ("Entry", None) => ("Envelope", field),
        (shape, None) => (shape, field),
    }
}

fn tables<S: AsRef<str>>(names: impl IntoIterator<Item = (String, S)>) -> String {
    let docs = documentation();
    let meaning = |shape: &str, field: &str| {
        let (owner, field) = struct_of(shape, field);
        docs.get(owner)?.iter().find(|(name, _)| name == field).map(|(_, doc)| doc.clone())
    };
    let one = |(label, name): (String, S)| {
        format!("**{label}**\n\n{}", fields::table(shape(name.as_ref()), &meaning))
    };
    names.into_iter().map(one).collect::<Vec<_>>().join("\n")
}

fn named<const N: usize>(names: [&'static str; N]) -> [(String, &'static str); N] {
    names.map(|name| (name.to_owned(), name))
}

#[test]
fn the_page_of_the_command_format_is_current() {
    let bodies = CommandNumber::ALL.iter().map(|&number| (number.label(), fields::body_of(number)));
    let replies = ReplyNumber::ALL.iter().map(|&number| (number.label(), fields::reply_of(number)));
    let wanted = vec![
        ("entry", tables(named(["Entry"]))),
        ("request", tables(named(["Request", "Extension"]))),
        ("extensions", extensions()),
        ("commands", commands()),
        ("bodies", tables(bodies)),
        (
            "parts of bodies",
            tables(named(["Span", "Compare", "Operation", "Range", "Owner", "Change", "Kept", "Renewed"])),
        ),
        ("operations", render::list::<OperationNumber>("operation")),
        ("relations", render::list::<Relation>("relation")),
        ("subjects", render::list::<Subject>("subject")),
        ("sorts", render::list::<SortBy>("sort")),
        ("contents", render::list::<Content>("content")),
        ("outcome", tables(named(["Outcome", "Refusal"]))),
        ("replies", render::list::<ReplyNumber>("reply")),
        ("reply bodies", tables(replies)),
        ("parts of replies", tables(named(["KeyValue", "Result", "Session", "Lease"]))),
        ("queries", render::list::<QueryNumber>("query")),
        ("query bodies", tables(named(["Query", "When", "AuditQuery", "Name", "Answer"]))),
        (
            "parts of answers",
            tables(named([
                "LeaseInfo",
                "QueueInfo",
                "PlaceInfo",
                "VersionInfo",
                "AuditPage",
                "Record",
                "MissingRecords",
                "By",
                "Named",
                "NamedQueue",
                "NamespaceInfo",
                "Holding",
                "SettingValue",
                "SessionInfo",
            ])),
        ),
        ("missing reasons", render::list::<MissingReason>("reason")),
        ("limits", limits()),
        ("hexdump", hexdump()),
    ];
    blocks::check(&[("docs/command-format.md".into(), wanted)]);
}

#[test]
fn the_page_of_errors_is_current() {
    let messages = messages();
    let families = Code::FAMILIES.iter().map(|&(family, first, last)| {
        let codes = Code::ALL.iter().filter(|code| (first..=last).contains(&u64::from(code.number())));
        let rows: String = codes.map(|code| error(*code, &messages)).collect();
        let head = "| code | name | the request was | speaks of | waiting helps | message | explanation |\n|---|---|---|---|---|---|---|\n";
        (family, if rows.is_empty() { "None yet.".to_owned() } else { format!("{head}{rows}") })
    });
    blocks::check(&[("docs/errors.md".into(), families.collect())]);
}

#[test]
fn every_family_of_codes_has_its_heading_and_its_range() {
    let page = workspace::read("docs/errors.md");
    for (family, first, last) in Code::FAMILIES {
        let heading = format!("## {family}, {first} to {last}\n").to_lowercase();
        assert!(page.to_lowercase().contains(&heading), "docs/errors.md has no heading {heading:?}");
    }
}

#[test]
fn the_tables_of_settings_and_effects_are_current() {
    let mut table = String::from(
        "| number | setting | since level | unit | default | from | to | meaning |\n|---|---|---|---|---|---|---|\n",
    );
    for setting in Setting::ALL {
        let scope = setting.scope();
        let unit = match scope.unit {
            Unit::Bytes => "bytes",
            Unit::Milliseconds => "ms",
            Unit::Count => "count",
        };
        let [default, min, max] = [scope.default, scope.min, scope.max].map(grouped);
        let (tag, name, since) = (setting.tag(), setting.name(), setting.since().0);
        let meaning = layout::plain(setting.caption());
        let _ = writeln!(
            table,
            "| {tag} | `{name}` | {since} | {unit} | {default} | {min} | {max} | {meaning} |"
        );
    }
    let effects = render::list::<holdfast_store::trail::Effect>("effect");
    blocks::check(&[("docs/store.md".into(), vec![("settings", table), ("effects", effects)])]);
}

/// Every sample of the golden bytes is accounted for to the last byte by the tables of the page.
#[test]
fn the_tables_account_for_every_golden_byte() {
    let golden = workspace::read("command/tests/golden/bytes.txt");
    let mut samples = 0;
    for (name, hex) in
        golden.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once(": "))
    {
        let kind = name.split(' ').next().unwrap_or_default();
        let table = kind[..1].to_uppercase() + &kind[1..];
        let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal");
        let bytes: Vec<u8> = (0..hex.len()).step_by(2).map(byte).collect();
        assert_eq!(take_apart(&table, &bytes).map(drop), Ok(()), "{name}");
        samples += 1;
    }
    assert!(samples >= 100, "the golden file was read");
}

#[test]
fn every_field_of_a_command_and_of_a_reply_stands_in_its_table() {
    let docs = documentation();
    let mut found = 0;
    for shape in SHAPES {
        for owner in [struct_of(shape.name, "").0, "Rules"] {
            if owner == "Rules" && shape.name != "SetNamespace" {
                continue;
            }
            for (field, _) in docs.get(owner).into_iter().flatten().filter(|(name, _)| name != "0") {
                let there = shape.rows.iter().any(|row| {
                    let own = row.field == field || row.field.split('.').any(|part| part == field);
                    own || row.meaning.contains(&format!("`{field}`"))
                });
                assert!(there, "the table {} has no {field}", shape.name);
                found += 1;
            }
        }
    }
    assert!(found > 60, "{found} fields were found");
}

fn commands() -> String {
    let mut out =
        String::from("| number | command | asked for by | since level | meaning |\n|---|---|---|---|---|\n");
    for number in CommandNumber::ALL {
        let by = match number.origin() {
            Origin::Client => "clients",
            Origin::Node => "nodes only",
        };
        let (name, since, meaning) = (number.name(), number.since().0, layout::plain(number.caption()));
        let _ = writeln!(out, "| {} | {name} | {by} | {since} | {meaning} |", number.tag());
    }
    for (number, name) in CommandNumber::RETIRED {
        let _ = writeln!(out, "| C{number} | ~~{name}~~ | | | retired |");
    }
    out
}

fn extensions() -> String {
    let mut out = String::from("| tag | extension | since level | value |\n|---|---|---|---|\n");
    for extension in Extension::ALL {
        let (name, since) = (extension.name(), extension.since().0);
        let _ = writeln!(
            out,
            "| {} | {name} | {since} | {} |",
            extension.tag(),
            layout::plain(extension.caption())
        );
    }
    out
}

/// A number with a space between thousands, or the word for the highest there is.
fn grouped(number: u64) -> String {
    if number == u64::MAX {
        return "no bound".to_owned();
    }
    let digits = number.to_string();
    let head = digits.len() % 3;
    let groups = digits.as_bytes()[head..].chunks(3).map(|group| String::from_utf8_lossy(group).into_owned());
    let all = Some(digits[..head].to_owned()).filter(|head| !head.is_empty()).into_iter().chain(groups);
    all.collect::<Vec<_>>().join(",")
}

/// Every limit that no setting moves, with the reason that stands beside it in the code.
fn limits() -> String {
    let values: [(&str, &str, u64); 17] = [
        ("keys", "DEPTH_MAX", keys::DEPTH_MAX.into()),
        ("keys", "OPERATIONS_MAX", keys::OPERATIONS_MAX as u64),
        ("request", "REASON_BYTES_MAX", request::REASON_BYTES_MAX as u64),
        ("extension", "EXTENSIONS_MAX", extension::EXTENSIONS_MAX as u64),
        ("envelope", "ACTOR_BYTES_MAX", envelope::ACTOR_BYTES_MAX as u64),
        ("envelope", "CLOCK_STEP_MAX_MS", envelope::CLOCK_STEP_MAX_MS),
        ("namespaces", "NAME_BYTES_MAX", namespaces::NAME_BYTES_MAX as u64),
        ("namespaces", "DESCRIPTION_BYTES_MAX", namespaces::DESCRIPTION_BYTES_MAX as u64),
        ("namespaces", "OWNERS_MAX", namespaces::OWNERS_MAX as u64),
        ("namespaces", "OWNER_BYTES_MAX", namespaces::OWNER_BYTES_MAX as u64),
        ("sessions", "KEPT_MAX", sessions::KEPT_MAX as u64),
        ("settings", "CHANGES_MAX", settings::CHANGES_MAX as u64),
        ("audit", "LISTED_MAX", audit::LISTED_MAX.into()),
        ("query", "ITEMS_MAX", query::ITEMS_MAX.into()),
        ("leases", "RENEWED_MAX", leases::RENEWED_MAX as u64),
        ("locks", "NAME_BYTES_MAX", locks::NAME_BYTES_MAX as u64),
        ("locks", "VALUE_BYTES_MAX", locks::VALUE_BYTES_MAX as u64),
    ];
    let mut out = String::from("| limit | value | what it limits, and why |\n|---|---|---|\n");
    for (module, name, value) in values {
        let file = symbols::of_file(&format!("command/src/{module}.rs"));
        let constant = file.constants.iter().find(|constant| constant.name == name);
        let constant = constant.unwrap_or_else(|| panic!("command/src/{module}.rs has no {name}"));
        let _ = writeln!(out, "| `{name}` | {} | {} |", grouped(value), layout::plain(&constant.doc));
    }
    out
}

#[test]
fn every_limit_of_a_command_is_on_its_page() {
    let page = workspace::read("docs/command-format.md");
    let sources = workspace::files(".rs");
    let mut found = 0;
    for path in sources.iter().filter(|path| path.starts_with("command/src/")) {
        for constant in symbols::of_file(path).constants.iter().filter(|constant| constant.public) {
            assert!(page.contains(&format!("| `{}` |", constant.name)), "{path}: {}", constant.name);
            found += 1;
        }
    }
    assert!(found >= 12, "{found} constants were found");
}

/// The text of each refusal, by the name of its code, as it stands in the source.
fn messages() -> BTreeMap<String, String> {
    let source = workspace::read("command/src/refusal.rs");
    let mut messages = BTreeMap::new();
    let mut text = None;
    for line in source.lines().map(str::trim) {
        if let Some(rest) = line.strip_prefix("#[error(\"") {
            let (message, arguments) = rest.rsplit_once('"').expect("a text");
            // `{}` and the arguments behind the text, which are fields of fields.
            let fields = arguments.trim_end_matches(")]").split(", ").skip(1);
            let whole = fields.fold(message.to_owned(), |message, field| {
                message.replacen("{}", &format!("{{{}}}", field.trim_end_matches(".0")), 1)
            });
            text = Some(whole);
        } else if let Some(text) = text.take() {
            let name = line.split([' ', ',']).next().unwrap_or_default();
            messages.insert(name.to_owned(), text);
        }
    }
    messages
}

fn error(code: Code, messages: &BTreeMap<String, String>) -> String {
    let was = match code.effect() {
        Effect::Applied => "**applied**",
        Effect::NotApplied => "not applied",
        Effect::Unknown => "**unknown**",
    };
    let about = if code.is_of_copy() { "this copy" } else { "the request" };
    let later = match (code.is_retryable(), code.effect()) {
        (false, _) => "no",
        (true, Effect::Unknown) => "yes, with a request key",
        (true, Effect::Applied | Effect::NotApplied) => "yes",
    };
    let message = messages.get(code.name()).unwrap_or_else(|| panic!("{code} has no text"));
    assert!(!message.contains("{}"), "{code}: {message}");
    let (tag, name, explanation) = (code.tag(), code.name(), layout::plain(code.caption()));
    format!("| {tag} | {name} | {was} | {about} | {later} | {message} | {explanation} |\n")
}

/// One write as it stands in the log, taken apart by the tables of the page.
fn hexdump() -> String {
    let entry = Entry {
        envelope: Envelope {
            stamp: 0x0199_2f1c_8a40_0003,
            clock: 86_400_000,
            actor: Actor::Named("ada".into()),
            auth_revision: 0,
            address: Some(([10, 0, 0, 9].into(), 51_034)),
        },
        request: Request {
            key: RequestKey::Session { session: SessionId(4711), sequence: 3, low: 2 },
            reason: "raise the timeout".into(),
            command: Command::Put(Put {
                key: "billing/timeout".into(),
                value: "30s".into(),
                return_previous: true,
                ..Put::default()
            }),
            extensions: Extensions::not_after(86_405_000),
        },
    };
    let bytes = entry.encode();
    let pieces = take_apart("Entry", &bytes).expect("the tables account for the sample");
    for (name, content) in
        [("actor", "ada"), ("request.body.key", "billing/timeout"), ("request.body.value", "30s")]
    {
        let at: usize = pieces.iter().take_while(|(_, text)| text != name).map(|(count, _)| count).sum();
        assert_eq!(&bytes[at..at + content.len()], content.as_bytes(), "{name}");
    }
    format!("```text\n{}```", layout::hexdump(&bytes, &pieces))
}

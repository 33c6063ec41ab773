//! The tables themselves; see [`fields`](crate::fields) for what they are for.

use crate::fields::{Row, Shape, Type};

const U8: Type = Type::Number("u8");
const U16: Type = Type::Number("u16");
const U32: Type = Type::Number("u32");
const U64: Type = Type::Number("u64");
const I64: Type = Type::Number("i64");

/// A line whose field says what it means.
const fn row(field: &'static str, kind: Type) -> Row {
    said(field, kind, "")
}

/// A line that says so itself.
const fn said(field: &'static str, kind: Type, meaning: &'static str) -> Row {
    Row { field, kind, when: None, meaning }
}

/// A line that is there only sometimes.
const fn only(row: Row, field: &'static str, values: &'static [u64]) -> Row {
    Row { when: Some((field, values)), ..row }
}

const RETURN_PREVIOUS: Row = said("flags", U8, "Bit 0: `return_previous`.");

/// All of them.
pub const SHAPES: &[Shape] = &[
    Shape {
        name: "Entry",
        rows: &[
            said("layout", U8, "1."),
            said("actor kind", U8, "0: nobody has proved who it is; 1: named; 2: the cluster itself."),
            said("address kind", U8, "0: no address; 4: IPv4; 6: IPv6."),
            said("name length", U8, "Of the actor; 0 unless it is named."),
            said("port", U16, "Of the client; 0 without an address."),
            said("reserved", U16, "0."),
            row("stamp", U64),
            row("clock", U64),
            row("auth_revision", U64),
            only(said("address", Type::Bytes(4), "IPv4, as on the network."), "address kind", &[4]),
            only(said("address", Type::Bytes(16), "IPv6, as on the network."), "address kind", &[6]),
            said("actor", Type::Sized("name length"), "Name of the actor, UTF-8."),
            said("request", Type::Shape("Request"), "As the client sent it, to the end of the entry."),
        ],
    },
    Shape {
        name: "Request",
        rows: &[
            said("number", U16, "Of the command."),
            said(
                "key kind",
                U8,
                "Of the request key, `key`. 0: none; 1: session and sequence; 2: idempotency key.",
            ),
            said("reserved", U8, "0."),
            said("body length", U32, "In bytes."),
            said("reason length", U16, "In bytes; 0 for no reason."),
            only(said("session", U64, "Which session."), "key kind", &[1]),
            only(said("sequence", U64, "Which request of it, from 1."), "key kind", &[1]),
            only(said("low", U64, "The lowest sequence that the client still waits for."), "key kind", &[1]),
            only(said("key hash", Type::Bytes(32), "Hash of the actor and the key."), "key kind", &[2]),
            only(said("request hash", Type::Bytes(32), "Hash of what is asked for."), "key kind", &[2]),
            said("reason", Type::Sized("reason length"), "Why, in the caller's words, UTF-8."),
            said("body", Type::Body("body length"), "Of the `command`; see below."),
            said("extensions", Type::ToEnd("Extension"), "What later versions added; tags ascend."),
        ],
    },
    Shape {
        name: "Extension",
        rows: &[
            said("tag", U16, "Which; unknown ones are refused."),
            said("value", Type::Section, "Of the shape that the tag has."),
        ],
    },
    Shape {
        name: "Put",
        rows: &[
            said("flags", U8, "Bit 0: `return_previous`; bit 1: `keep_value`; bit 2: `keep_lease`."),
            row("lease", I64),
            row("key", Type::Section),
            row("value", Type::Section),
        ],
    },
    Shape {
        name: "Span",
        rows: &[
            said("kind", U8, "1: one key; 2: from a start to an end; 3: all from a start on."),
            only(said("key", Type::Section, "The key."), "kind", &[1]),
            only(said("start", Type::Section, "The first that belongs to it."), "kind", &[2, 3]),
            only(said("end", Type::Section, "The first that does not belong to it any more."), "kind", &[2]),
        ],
    },
    Shape { name: "Delete", rows: &[RETURN_PREVIOUS, row("span", Type::Shape("Span"))] },
    Shape {
        name: "Transaction",
        rows: &[
            row("compares", Type::List("Compare")),
            row("then", Type::List("Operation")),
            row("otherwise", Type::List("Operation")),
        ],
    },
    Shape {
        name: "Compare",
        rows: &[
            row("relation", U8),
            said("subject", U8, "What of the key is compared."),
            said(
                "against",
                Type::Against,
                "To what: a number, for the value a section, for the lease an i64.",
            ),
            row("span", Type::Shape("Span")),
        ],
    },
    Shape {
        name: "Operation",
        rows: &[
            said("number", U8, "Which operation."),
            said("body", Type::Operation, "Laid out as the command of the same name."),
        ],
    },
    Shape {
        name: "Range",
        rows: &[
            row("sort_by", U8),
            row("content", U8),
            said("flags", U8, "Bit 0: `descending`; bit 1: `count`."),
            row("revision", U64),
            row("limit", U64),
            row("page_bytes", U32),
            said("mod_revision.min", U64, "Only keys that were last written at this revision or later."),
            said("mod_revision.max", U64, "And at this or earlier; 0 for no bound."),
            said("create_revision.min", U64, "Only keys that were created at this revision or later."),
            said("create_revision.max", U64, "And at this or earlier; 0 for no bound."),
            row("span", Type::Shape("Span")),
            row("continuation", Type::Section),
        ],
    },
    Shape { name: "Restore", rows: &[RETURN_PREVIOUS, row("revision", U64), row("key", Type::Section)] },
    Shape { name: "Compact", rows: &[row("revision", U64)] },
    Shape {
        name: "SetNamespace",
        rows: &[
            row("name", Type::Text),
            row("rules.quota_keys", U64),
            row("rules.quota_bytes", U64),
            row("rules.value_bytes", U64),
            row("rules.description", Type::Text),
            row("rules.owners", Type::List("Owner")),
        ],
    },
    Shape { name: "Owner", rows: &[said("name", Type::Text, "Who is to be asked.")] },
    Shape { name: "DeleteNamespace", rows: &[row("name", Type::Text)] },
    Shape { name: "ChangeSettings", rows: &[row("changes", Type::List("Change"))] },
    Shape {
        name: "Change",
        rows: &[said("number", U16, "Which setting."), said("value", U64, "What it becomes.")],
    },
    Shape { name: "RaiseFeatureLevel", rows: &[row("level", U16)] },
    Shape { name: "OpenSession", rows: &[row("ttl_ms", U64)] },
    Shape { name: "KeepSessions", rows: &[row("kept", Type::List("Kept"))] },
    Shape {
        name: "Kept",
        rows: &[
            row("session", U64),
            said("actor kind", U8, "As in the entry."),
            said("name length", U8, "Of the actor."),
            row("actor", Type::Sized("name length")),
        ],
    },
    Shape { name: "CloseSession", rows: &[row("session", U64)] },
    Shape { name: "Tick", rows: &[] },
    Shape { name: "GrantLease", rows: &[row("lease", I64), row("ttl_ms", U64)] },
    Shape { name: "RenewLeases", rows: &[row("kept", Type::List("Renewed"))] },
    Shape {
        name: "Renewed",
        rows: &[
            row("lease", I64),
            said("actor kind", U8, "As in the entry."),
            said("name length", U8, "Of the actor."),
            row("actor", Type::Sized("name length")),
        ],
    },
    Shape { name: "RevokeLease", rows: &[row("lease", I64)] },
    Shape { name: "ExpireLease", rows: &[row("lease", I64), row("counter", U64)] },
    Shape {
        name: "Acquire",
        rows: &[
            said("flags", U8, "Bit 0: `wait`, queue up if somebody else holds it."),
            row("lease", I64),
            row("name", Type::Section),
            row("value", Type::Section),
        ],
    },
    Shape { name: "Release", rows: &[row("lease", I64), row("name", Type::Section)] },
    Shape {
        name: "Campaign",
        rows: &[row("lease", I64), row("name", Type::Section), row("value", Type::Section)],
    },
    Shape {
        name: "Proclaim",
        rows: &[
            row("lease", I64),
            row("token", U64),
            row("name", Type::Section),
            row("value", Type::Section),
        ],
    },
    Shape { name: "Resign", rows: &[row("lease", I64), row("name", Type::Section)] },
    Shape {
        name: "Outcome",
        rows: &[
            said("number", U16, "Of the reply; 0: the request was refused."),
            said("body", Type::Reply, "The reply, or a `Refusal`."),
        ],
    },
    Shape {
        name: "Refusal",
        rows: &[
            said("code", U16, "Which code; see [errors.md](errors.md)."),
            said("first", U64, "The first particular that the code has, or 0."),
            said("second", U64, "The second, or 0."),
        ],
    },
    Shape {
        name: "Query",
        rows: &[
            said("number", U16, "Which query."),
            only(said("lease", I64, "Which lease."), "number", &[1]),
            only(said("after", I64, "Leases behind this one; 0 for the first."), "number", &[2]),
            only(said("kind", U8, "Of a lock or of an election."), "number", &[3, 4]),
            only(said("when", Type::Shape("When"), "When it is answered."), "number", &[3]),
            only(said("name", Type::Section, "Of the queue."), "number", &[3]),
            only(said("before", U64, "Versions of revisions below this; 0 for all."), "number", &[5]),
            only(said("session", U64, "Sessions behind this one; 0 for the first."), "number", &[9]),
            only(said("limit", U32, "At most so many; 0 for as many as may be."), "number", &[2, 4, 5, 7, 9]),
            only(
                said("behind", Type::Section, "Queues or namespaces behind this name; empty for the first."),
                "number",
                &[4, 7],
            ),
            only(said("key", Type::Section, "Of which key."), "number", &[5]),
            only(said("audit", Type::Shape("AuditQuery"), "Which records."), "number", &[6]),
        ],
    },
    Shape {
        name: "When",
        rows: &[
            said(
                "kind",
                U8,
                "1: at once; 2: once the lease does not wait any more; 3: once the last change is another.",
            ),
            only(said("lease", I64, "Which lease."), "kind", &[2]),
            only(
                said("index", U64, "Of the last change that is known; 0 for a queue that nobody holds."),
                "kind",
                &[3],
            ),
        ],
    },
    Shape {
        name: "Answer",
        rows: &[
            said("number", U16, "Of the query, or 0: refused."),
            only(said("refusal", Type::Shape("Refusal"), "Why there is no answer."), "number", &[0]),
            only(said("oldest", U64, "The oldest revision that is kept."), "number", &[5]),
            only(said("more", U8, "1 if more come behind these."), "number", &[2, 4, 5, 7, 9]),
            only(said("outside", Type::Shape("Holding"), "What no namespace holds."), "number", &[8]),
            only(said("info", Type::Shape("LeaseInfo"), "The lease."), "number", &[1]),
            only(said("keys", Type::List("Named"), "Its keys."), "number", &[1]),
            only(said("leases", Type::List("LeaseInfo"), "In the order of their numbers."), "number", &[2]),
            only(said("queue", Type::Shape("QueueInfo"), "Who holds and who waits."), "number", &[3]),
            only(said("queues", Type::List("NamedQueue"), "In the order of their names."), "number", &[4]),
            only(said("versions", Type::List("VersionInfo"), "Newest first."), "number", &[5]),
            only(said("page", Type::Shape("AuditPage"), "Some records."), "number", &[6]),
            only(
                said("namespaces", Type::List("NamespaceInfo"), "In the order of their names."),
                "number",
                &[7],
            ),
            only(said("settings", Type::List("SettingValue"), "All of them."), "number", &[8]),
            only(
                said("sessions", Type::List("SessionInfo"), "In the order of their numbers."),
                "number",
                &[9],
            ),
        ],
    },
    Shape {
        name: "AuditQuery",
        rows: &[
            row("from", U64),
            row("since", U64),
            row("until", U64),
            row("limit", U32),
            row("prefix", Type::Section),
            row("actor", Type::Optional("Name")),
        ],
    },
    Shape {
        name: "AuditPage",
        rows: &[
            row("complete_from", U64),
            row("through", U64),
            row("next", U64),
            row("records", Type::List("Record")),
            row("missing", Type::List("MissingRecords")),
        ],
    },
    Shape { name: "Record", rows: &[said("record", Type::Section, "An audit record.")] },
    Shape { name: "Name", rows: &[said("name", Type::Text, "Of an actor; empty for those who have none.")] },
    Shape {
        name: "MissingRecords",
        rows: &[row("first", U64), row("last", U64), said("why", U8, "A `MissingReason`.")],
    },
    Shape { name: "Holding", rows: &[row("keys", U64), row("bytes", U64)] },
    Shape {
        name: "NamespaceInfo",
        rows: &[
            said(
                "namespace",
                Type::Shape("SetNamespace"),
                "Name and rules, as the command that sets it has them.",
            ),
            row("holds", Type::Shape("Holding")),
        ],
    },
    Shape {
        name: "SettingValue",
        rows: &[said("number", U16, "Of the setting."), said("value", U64, "What it is set to.")],
    },
    Shape {
        name: "SessionInfo",
        rows: &[
            row("session", U64),
            row("ttl_ms", U64),
            row("left_ms", U64),
            row("low", U64),
            row("answers", U64),
            row("bytes", U64),
            row("actor", Type::Shape("By")),
        ],
    },
    Shape { name: "Named", rows: &[said("name", Type::Section, "A key.")] },
    Shape {
        name: "NamedQueue",
        rows: &[
            said("name", Type::Section, "Of the queue."),
            said("queue", Type::Shape("QueueInfo"), "Who holds it; nobody of those who wait."),
        ],
    },
    Shape {
        name: "By",
        rows: &[
            said("actor kind", U8, "As in the entry."),
            said("name length", U8, "Of the actor."),
            said("actor", Type::Sized("name length"), "Name of the actor, UTF-8."),
        ],
    },
    Shape {
        name: "LeaseInfo",
        rows: &[
            row("lease", I64),
            row("ttl_ms", U64),
            row("left_ms", U64),
            row("granted_at", U64),
            row("keys", U64),
            row("actor", Type::Shape("By")),
        ],
    },
    Shape {
        name: "PlaceInfo",
        rows: &[row("lease", I64), row("token", U64), row("since", U64), row("value", Type::Section)],
    },
    Shape {
        name: "QueueInfo",
        rows: &[
            row("changed_at", U64),
            row("waiting", U64),
            row("holder", Type::Optional("PlaceInfo")),
            row("places", Type::List("PlaceInfo")),
        ],
    },
    Shape {
        name: "VersionInfo",
        rows: &[
            said("flags", U8, "Bit 0: `deleted`."),
            row("entry", Type::Shape("KeyValue")),
            row("actor", Type::Shape("By")),
            row("reason", Type::Text),
        ],
    },
    Shape {
        name: "KeyValue",
        rows: &[
            row("create_revision", U64),
            row("mod_revision", U64),
            row("version", U64),
            row("lease", I64),
            row("stamp", U64),
            row("key", Type::Section),
            row("value", Type::Section),
        ],
    },
    Shape { name: "Reply::Put", rows: &[row("revision", U64), row("previous", Type::Optional("KeyValue"))] },
    Shape {
        name: "Reply::Deleted",
        rows: &[row("revision", U64), row("count", U64), row("previous", Type::List("KeyValue"))],
    },
    Shape {
        name: "Reply::Transacted",
        rows: &[
            row("revision", U64),
            said("succeeded", U8, "1: all comparisons held; 0: not all."),
            row("results", Type::List("Result")),
        ],
    },
    Shape {
        name: "Reply::Restored",
        rows: &[
            row("revision", U64),
            said("exists", U8, "1: the key was there at that revision, and so it is now; 0: it was not."),
            row("previous", Type::Optional("KeyValue")),
        ],
    },
    Shape {
        name: "Result",
        rows: &[
            said("number", U16, "Of the reply; never 0."),
            said("body", Type::Reply, "The reply of one operation."),
        ],
    },
    Shape { name: "Reply::Compacted", rows: &[row("oldest", U64)] },
    Shape {
        name: "RangePage",
        rows: &[
            said("flags", U8, "Bit 0: `more`; bit 1: a count follows."),
            row("revision", U64),
            only(row("count", U64), "flags", &[1]),
            row("entries", Type::List("KeyValue")),
            row("continuation", Type::Section),
        ],
    },
    Shape { name: "Reply::NamespaceSet", rows: &[] },
    Shape { name: "Reply::NamespaceDeleted", rows: &[] },
    Shape { name: "Reply::SettingsChanged", rows: &[] },
    Shape { name: "Reply::LevelRaised", rows: &[row("level", U16)] },
    Shape { name: "Reply::SessionOpened", rows: &[row("session", U64)] },
    Shape { name: "Reply::SessionsKept", rows: &[row("unknown", Type::List("Session"))] },
    Shape { name: "Session", rows: &[said("session", U64, "Its number.")] },
    Shape { name: "Reply::SessionClosed", rows: &[] },
    Shape { name: "Reply::Ticked", rows: &[] },
    Shape { name: "Reply::LeaseGranted", rows: &[row("lease", I64), row("ttl_ms", U64)] },
    Shape { name: "Reply::LeasesRenewed", rows: &[row("unknown", Type::List("Lease"))] },
    Shape { name: "Lease", rows: &[said("lease", I64, "Its number.")] },
    Shape { name: "Reply::LeaseRevoked", rows: &[row("revision", U64), row("keys", U64)] },
    Shape {
        name: "Reply::LeaseExpired",
        rows: &[
            said("expired", U8, "1: the lease has ended by this; 0: nothing was done."),
            row("revision", U64),
            row("keys", U64),
        ],
    },
    Shape { name: "Reply::LockGranted", rows: &[row("token", U64)] },
    Shape { name: "Reply::LockQueued", rows: &[row("ahead", U64)] },
    Shape { name: "Reply::LockReleased", rows: &[said("held", U8, "1: it was held; 0: it was waited for.")] },
    Shape { name: "Reply::Elected", rows: &[row("token", U64)] },
    Shape { name: "Reply::Campaigning", rows: &[row("ahead", U64)] },
    Shape { name: "Reply::Proclaimed", rows: &[] },
    Shape {
        name: "Reply::Resigned",
        rows: &[said("held", U8, "1: it was in office; 0: it was a candidate.")],
    },
];

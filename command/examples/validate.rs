//! What the largest transactions cost: decoding and validating them, in nanoseconds an operation, for awkward shapes and growing
//! sizes. A column that grew with the size would be a search that is not n log n.
//!
//! ```text
//! cargo run --release -p holdfast-command --example validate
//! ```

use std::time::Instant;

use bytes::Bytes;
use holdfast_command::keys::{Delete, OPERATIONS_MAX, Operation, Put, Span, Transaction};
use holdfast_command::{Command, Limits, Request, Setting, Settings, validate};

fn key(at: usize) -> Bytes {
    format!("config/service/{at:08}").into()
}

fn put(at: usize) -> Operation {
    Operation::Put(Put { key: key(at), value: Bytes::from_static(b"value"), ..Put::default() })
}

fn delete(span: Span) -> Operation {
    Operation::Delete(Delete { span, return_previous: false })
}

/// A transaction of about `count` operations of this shape.
type Make = fn(usize) -> Transaction;

const SHAPES: [(&str, Make); 4] = [
    ("puts", |count| Transaction { then: (0..count).map(put).collect(), ..Transaction::default() }),
    ("puts and deletions in turn", |count| {
        let pair = |at| [put(2 * at), delete(Span::Key(key(2 * at + 1)))];
        Transaction { then: (0..count / 2).flat_map(pair).collect(), ..Transaction::default() }
    }),
    ("spans within spans", |count| {
        let around = |at| delete(Span::Between { start: key(at), end: key(2 * count - at) });
        Transaction { then: (0..count).map(around).collect(), ..Transaction::default() }
    }),
    // Allowed, since only one of the two lists is done: each span lies over each put behind its start.
    ("puts in one list under spans in the other", |count| {
        let spans = (0..count / 2).map(|at| delete(Span::From(key(at))));
        let then = (0..count / 2).map(put).collect();
        let inner = Transaction { compares: vec![], then, otherwise: spans.collect() };
        Transaction { then: vec![Operation::Transaction(inner)], ..Transaction::default() }
    }),
];

fn main() {
    let mut settings = Settings::default();
    settings.set(Setting::Operations, OPERATIONS_MAX as u64);
    let limits = Limits { request_bytes: u64::MAX, ..Limits::from(&settings) };
    println!("{:<44}{:>8}{:>14}{:>16}", "shape", "count", "decode ns/op", "validate ns/op");
    for (name, make) in SHAPES {
        for count in [1_024, 4_096, OPERATIONS_MAX - 1] {
            let request = Request::from(Command::Transact(make(count)));
            let bytes = request.encode();
            let rounds = 200_000 / count;
            let decode = nanos(rounds * count, || {
                for _ in 0..rounds {
                    assert!(Request::decode(std::hint::black_box(bytes.clone())).is_ok());
                }
            });
            let check = nanos(rounds * count, || {
                for _ in 0..rounds {
                    let request = std::hint::black_box(&request);
                    assert!(validate(request, bytes.len(), &limits).is_ok());
                }
            });
            println!("{name:<44}{count:>8}{decode:>14.0}{check:>16.0}");
        }
    }
}

fn nanos(operations: usize, run: impl FnOnce()) -> f64 {
    let start = Instant::now();
    run();
    start.elapsed().as_nanos() as f64 / operations as f64
}

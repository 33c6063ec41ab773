//! A store through a snapshot.

use bytes::Bytes;
use holdfast_store::snapshot::{Decoder, Encoder, Source};
use holdfast_store::{Plant, Store};

/// The bytes of a snapshot of a store.
pub(crate) fn taken<P: Plant>(store: &Store<P>) -> Vec<u8> {
    let source = Source { cluster: [7; 16], epoch: 3, membership: Bytes::from_static(b"members") };
    Encoder::new(store.clone(), source).expect("no halt").flatten().collect()
}

/// What a snapshot holds.
pub(crate) fn restored<P: Plant>(bytes: &[u8]) -> Result<Store<P>, String> {
    let mut decoder = Decoder::<P>::new();
    decoder.push(bytes).map_err(|error| error.to_string())?;
    let decoded = decoder.finish().map_err(|error| error.to_string())?;
    assert_eq!(decoded.membership, "members");
    Ok(decoded.store)
}

/// The store as a node has it that was started from a snapshot of this one.
pub(crate) fn through<P: Plant>(store: &Store<P>) -> Result<Store<P>, String> {
    let bytes = taken(store);
    let restored =
        restored(&bytes).map_err(|error| format!("a snapshot of {:?}: {error}", store.applied()))?;
    if taken(&restored) != bytes {
        return Err(format!("a snapshot of {:?} and one of what it holds differ", store.applied()));
    }
    Ok(restored)
}

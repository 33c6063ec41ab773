//! Requests that a browser makes because some page told it to.
//!
//! A node on loopback is thought to be safe, but any page that a developer opens can make the browser send requests there: a POST of
//! plain text needs nobody's leave, and a name that is made to lead to 127.0.0.1 makes even the answers readable. Browsers
//! say where a request comes from; so what comes from elsewhere is refused, and on loopback what is asked under a foreign name.

use std::net::IpAddr;

use axum::http::uri::Authority;
use axum::http::{HeaderMap, Uri, header};
use holdfast_command::Refusal;

use super::problem::Problem;

/// Why a request is refused for where it comes from, if it is.
pub(super) fn refused(headers: &HeaderMap, uri: &Uri, is_local: bool) -> Option<Problem> {
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    let host = uri.authority().map(Authority::as_str).or_else(|| text(header::HOST)).unwrap_or_default();
    if let Some(origin) = text(header::ORIGIN)
        && origin.strip_prefix("http://") != Some(host)
    {
        let why =
            format!("a page of {origin:?} made this request, and only programs and pages of this node may");
        return Some(Problem::of(Refusal::ForeignOrigin).because(why));
    }
    if is_local && !is_own(host) {
        let why = format!(
            "this node listens on loopback, and {host:?} is another name: use its address, or localhost"
        );
        return Some(Problem::of(Refusal::ForeignOrigin).because(why));
    }
    None
}

/// Whether a host is an address or this machine by its own name. None at all is what old programs say.
fn is_own(host: &str) -> bool {
    let Ok(authority) = host.parse::<Authority>() else { return host.is_empty() };
    let name = authority.host().trim_start_matches('[').trim_end_matches(']');
    name == "localhost" || name.ends_with(".localhost") || name.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn asked(host: &str, origin: Option<&str>, is_local: bool) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_str(host).unwrap());
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, HeaderValue::from_str(origin).unwrap());
        }
        refused(&headers, &Uri::from_static("/v1/txn"), is_local).is_none()
    }

    #[test]
    fn what_a_page_of_somebody_else_asks_for_is_refused_and_so_is_a_foreign_name_on_loopback() {
        for host in ["127.0.0.1:7402", "localhost:7402", "[::1]:7402", "a.localhost"] {
            assert!(asked(host, None, true), "{host}");
        }
        assert!(asked("127.0.0.1:7402", Some("http://127.0.0.1:7402"), true));
        assert!(!asked("127.0.0.1:7402", Some("http://evil.example"), true));
        assert!(!asked("127.0.0.1:7402", Some("null"), true));
        assert!(!asked("evil.example", None, true));
        assert!(!asked("evil.example:7402", Some("http://evil.example:7402"), true));
        assert!(asked("node-1.internal:7402", None, false), "a name is fine where others reach the node");
        assert!(!asked("node-1.internal:7402", Some("http://evil.example"), false));
    }
}

//! Responses of JSON.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use serde::Serialize;

use crate::json;

/// A response of JSON that is text already.
pub(super) fn response(status: StatusCode, text: String) -> Response {
    let mut response = Response::new(Body::from(text + "\n"));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// A response of JSON, and that all is well.
pub(super) fn ok(value: &impl Serialize) -> Response {
    response(StatusCode::OK, json::text(value))
}

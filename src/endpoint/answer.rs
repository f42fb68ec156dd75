//! The answers exptap gives itself: what SDKs expect of LaunchDarkly, what Segment's libraries expect of Segment, and
//! plain sentences for everybody else.

use crate::segment::limits::Refusal;
use axum::body::Body;
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use std::net::SocketAddr;

/// The smallest GIF: one transparent pixel.
const PIXEL: &[u8] = b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff!\xf9\x04\x01\x00\x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;";
/// What browser SDKs send, for a preflight that does not say what it asks for.
const SDK_HEADERS: &str = "Cache-Control,Content-Type,Content-Length,Accept-Encoding,Authorization,X-LaunchDarkly-User-Agent,X-LaunchDarkly-Payload-ID,X-LaunchDarkly-Wrapper,X-LaunchDarkly-Event-Schema,X-LaunchDarkly-Tags";
const SDK_METHODS: &str = "GET, POST, OPTIONS, REPORT";

/// What of a request its answer depends on, beside the path: a page of any origin must be able to read it.
pub(super) struct Asked {
    origin: Option<HeaderValue>,
    headers: Option<HeaderValue>,
    method: Option<HeaderValue>,
    private_network: bool,
}

impl Asked {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        Self {
            origin: headers.get(ORIGIN).cloned(),
            headers: headers.get(ACCESS_CONTROL_REQUEST_HEADERS).cloned(),
            method: headers.get(ACCESS_CONTROL_REQUEST_METHOD).cloned(),
            private_network: headers.contains_key("access-control-request-private-network"),
        }
    }

    /// Events taken: the empty 202 of LaunchDarkly's own service. hyper adds the `Date` SDKs set their clock by.
    pub(super) fn accepted(&self) -> Response<Body> {
        self.response(StatusCode::ACCEPTED, None, Body::empty())
    }

    /// Events in the query of an image address, taken.
    pub(super) fn pixel(&self) -> Response<Body> {
        let mut response = self.response(StatusCode::OK, Some("image/gif"), Body::from(PIXEL));
        // A cached pixel would swallow the next events with the same address.
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }

    /// A request of Segment's libraries, taken.
    pub(super) fn segment_taken(&self) -> Response<Body> {
        self.response(StatusCode::OK, Some("application/json"), Body::from(r#"{"success":true}"#))
    }

    /// A request of Segment's libraries, refused as Segment would, with its words and more about it. Libraries that look
    /// at an answer look for `code` and `message`.
    pub(super) fn segment_refused(&self, refusal: &Refusal) -> Response<Body> {
        let body = serde_json::json!({
            "success": false,
            "code": "invalid_request",
            "message": refusal.words(),
            "detail": refusal.to_string(),
        });
        self.response(StatusCode::BAD_REQUEST, Some("application/json"), Body::from(body.to_string()))
    }

    /// The settings of a source. They name the address they were asked for at, so no cache may hand them on.
    pub(super) fn segment_settings(&self, settings: String) -> Response<Body> {
        let mut response = self.response(StatusCode::OK, Some("application/json"), Body::from(settings));
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }

    /// A webhook, received.
    pub(super) fn received(&self) -> Response<Body> {
        self.response(StatusCode::OK, None, Body::empty())
    }

    /// No click or page view goals.
    pub(super) fn no_goals(&self) -> Response<Body> {
        self.response(StatusCode::OK, Some("application/json"), Body::from("[]"))
    }

    /// A preflight, granted.
    pub(super) fn preflight(&self) -> Response<Body> {
        let mut response = self.response(StatusCode::NO_CONTENT, None, Body::empty());
        let headers = response.headers_mut();
        let methods = self.method.clone().unwrap_or(HeaderValue::from_static(SDK_METHODS));
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, methods);
        headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("300"));
        if self.private_network {
            headers.insert("access-control-allow-private-network", HeaderValue::from_static("true"));
        }
        response
    }

    /// A sentence, with a status.
    pub(super) fn sentence(&self, status: StatusCode, text: String) -> Response<Body> {
        self.response(status, Some("text/plain; charset=utf-8"), Body::from(text + "\n"))
    }

    /// A sentence, after which the connection is closed: where the next request begins is not known.
    pub(super) fn last_sentence(&self, status: StatusCode, text: &str) -> Response<Body> {
        let mut response = self.sentence(status, text.to_owned());
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        response
    }

    fn response(&self, status: StatusCode, content_type: Option<&'static str>, body: Body) -> Response<Body> {
        let mut response = Response::new(body);
        *response.status_mut() = status;
        let headers = response.headers_mut();
        if let Some(content_type) = content_type {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        }
        let origin = self.origin.clone().unwrap_or(HeaderValue::from_static("*"));
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("false"));
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("Date"));
        let allowed = self.headers.clone().unwrap_or(HeaderValue::from_static(SDK_HEADERS));
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, allowed);
        headers.insert(VARY, HeaderValue::from_static("Origin, Access-Control-Request-Headers"));
        response
    }
}

/// The page at `/`.
pub(super) fn home(addresses: &[SocketAddr], secure: bool) -> String {
    let scheme = if secure { "https" } else { "http" };
    let address = addresses.first().map_or_else(String::new, |address| format!("{scheme}://{address}"));
    format!(
        "exptap is listening for LaunchDarkly events.\n\n\
         Set the events URI of an SDK on this machine to {address} and leave its base and stream URIs as they are:\n\
         events arrive here, flag data still comes from LaunchDarkly.\n\n\
         Server SDKs post to /bulk, mobile SDKs to /mobile, browser SDKs to /events/bulk/{{client-side id}}; any prefix is fine.\n\n\
         Segment's libraries may send here as well: {address} is the host of a server library and the cdnURL of\n\
         analytics.js, and {address}/webhook takes what Segment's webhooks post.\n\n\
         What arrives is shown in the terminal exptap runs in.\n"
    )
}

/// What is said to somebody who looks at one of Segment's doors without sending anything.
pub(super) fn segment_door() -> String {
    "exptap listens here for what Segment's libraries and webhooks post.".to_owned()
}

/// What is said to a request on a path that carries no events.
pub(super) fn not_here(hint: &str) -> String {
    format!(
        "exptap takes events of LaunchDarkly and of Segment only: {hint}. LaunchDarkly's event paths are /bulk, /diagnostic, \
         /mobile, /mobile/events/bulk, /mobile/events/diagnostic, /events/bulk/{{id}}, /events/diagnostic/{{id}} and \
         /a/{{id}}.gif; Segment's are /v1/track, /v1/batch and the other calls, and /webhook; all with any prefix."
    )
}

//! [`Route`]: what a request asks for, by its method and path.

use hyper::{Method, StatusCode};

use crate::pool_api::{LEASES, METRICS_PATH, P95_PATH};
use crate::serve::refusal::Refusal;

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Route<'a> {
    Health,
    Metrics,
    OpenApi,
    Create,
    List,
    Get(&'a str),
    Renew(&'a str),
    Release(&'a str),
    P95,
    PostMetrics,
}

impl<'a> Route<'a> {
    /// The route of a request.
    ///
    /// # Errors
    /// 404 for a path that is none, 405 for a method that it does not have.
    pub(super) fn of(method: &Method, path: &'a str) -> Result<Self, Refusal> {
        let routes: &[(Method, Self)] = match path {
            "/health" => &[(Method::GET, Self::Health)],
            "/metrics" => &[(Method::GET, Self::Metrics)],
            "/openapi.json" => &[(Method::GET, Self::OpenApi)],
            P95_PATH => &[(Method::GET, Self::P95)],
            METRICS_PATH => &[(Method::POST, Self::PostMetrics)],
            LEASES => &[(Method::POST, Self::Create), (Method::GET, Self::List)],
            _ => return Self::of_lease(method, path),
        };
        pick(method, routes)
    }

    fn of_lease(method: &Method, path: &'a str) -> Result<Self, Refusal> {
        let rest = path.strip_prefix(LEASES).and_then(|rest| rest.strip_prefix('/')).ok_or_else(no_path)?;
        match rest.split_once('/') {
            None if !rest.is_empty() => {
                pick(method, &[(Method::GET, Route::Get(rest)), (Method::DELETE, Route::Release(rest))])
            }
            Some((lease, "renew")) if !lease.is_empty() => pick(method, &[(Method::POST, Route::Renew(lease))]),
            _ => Err(no_path()),
        }
    }

    /// The word for it in metrics and the audit log.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Health => "health",
            Self::Metrics => "metrics",
            Self::OpenApi => "openapi",
            Self::Create => "create",
            Self::List => "list",
            Self::Get(_) => "get",
            Self::Renew(_) => "renew",
            Self::Release(_) => "release",
            Self::P95 => "p95",
            Self::PostMetrics => "post_metrics",
        }
    }

    /// Whether it needs no token: it names nobody and nothing.
    pub(super) const fn is_open(self) -> bool {
        matches!(self, Self::Health | Self::Metrics | Self::OpenApi)
    }

    /// Whether it changes something, or is about one lease: that is for the audit log.
    pub(super) const fn is_audited(self) -> bool {
        matches!(self, Self::Create | Self::Renew(_) | Self::Release(_) | Self::PostMetrics)
    }
}

fn pick<'a>(method: &Method, routes: &[(Method, Route<'a>)]) -> Result<Route<'a>, Refusal> {
    let found = routes.iter().find(|(known, _)| known == method).map(|(_, route)| *route);
    found.ok_or_else(|| {
        Refusal::invalid("this path does not have that method").with_status(StatusCode::METHOD_NOT_ALLOWED.as_u16())
    })
}

fn no_path() -> Refusal {
    Refusal::invalid("there is no such path").with_status(StatusCode::NOT_FOUND.as_u16())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_methods_have_routes() {
        for (method, path, route) in [
            (Method::POST, "/api/v1/vm-pool", Route::Create),
            (Method::GET, "/api/v1/vm-pool", Route::List),
            (Method::GET, "/api/v1/vm-pool/lb-1", Route::Get("lb-1")),
            (Method::DELETE, "/api/v1/vm-pool/lb-1", Route::Release("lb-1")),
            (Method::POST, "/api/v1/vm-pool/lb-1/renew", Route::Renew("lb-1")),
            (Method::GET, "/api/v1/p95", Route::P95),
            (Method::POST, "/api/v1/metrics", Route::PostMetrics),
            (Method::GET, "/metrics", Route::Metrics),
        ] {
            assert_eq!(Route::of(&method, path), Ok(route), "{method} {path}");
        }
        for (method, path, status) in [
            (Method::GET, "/", 404),
            (Method::GET, "/api/v1/vm-pool/", 404),
            (Method::GET, "/api/v1/vm-pool/a/b", 404),
            (Method::GET, "/api/v1/vm-pool//renew", 404),
            (Method::GET, "/api/v1/vm-poolx", 404),
            (Method::PUT, "/api/v1/vm-pool", 405),
            (Method::GET, "/api/v1/vm-pool/lb-1/renew", 405),
            (Method::POST, "/health", 405),
        ] {
            assert_eq!(Route::of(&method, path).unwrap_err().status(), status, "{method} {path}");
        }
    }
}

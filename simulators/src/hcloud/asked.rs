//! [`Asked`]: what a call brings: its query, its body, and the faults that strike it.

use axum::Json;
use axum::extract::{FromRequest, Request};
use axum::http::HeaderValue;
use axum::response::IntoResponse as _;
use http_body_util::BodyExt as _;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::answer::{Answer, ApiError, invalid, no_json};
use super::selector::Selector;
use crate::faults::Struck;

/// The largest page that is given.
const MAX_PAGE: usize = 50;
const DEFAULT_PAGE: usize = 25;

/// What a call brings.
#[derive(Debug)]
pub(super) struct Asked {
    path: String,
    query: Vec<(String, String)>,
    body: Vec<u8>,
    pub(super) struck: Struck,
}

impl<S: Send + Sync> FromRequest<S> for Asked {
    type Rejection = ApiError;

    async fn from_request(request: Request, _state: &S) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        let query = axum::extract::Query::<Vec<(String, String)>>::try_from_uri(&parts.uri)
            .map_err(|error| invalid("query", error.to_string()))?
            .0;
        let body = body.collect().await.map_err(|_| no_json())?.to_bytes().to_vec();
        let struck = parts.extensions.get::<Struck>().cloned().unwrap_or_default();
        Ok(Self { path: parts.uri.path().to_owned(), query, body, struck })
    }
}

impl Asked {
    /// The first value of a parameter; an empty one says nothing.
    pub(super) fn value(&self, name: &str) -> Option<&str> {
        let found = self.query.iter().find(|(key, value)| key == name && !value.is_empty());
        found.map(|(_, value)| value.as_str())
    }

    /// All values of a parameter.
    pub(super) fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.query.iter().filter(move |(key, value)| key == name && !value.is_empty()).map(|(_, value)| value.as_str())
    }

    /// Refuses parameters that the call does not have, beside those of every list.
    pub(super) fn only(&self, known: &[&str]) -> Result<(), ApiError> {
        const EVERYWHERE: [&str; 3] = ["page", "per_page", "sort"];
        match self.query.iter().find(|(key, _)| !known.contains(&key.as_str()) && !EVERYWHERE.contains(&key.as_str())) {
            Some((key, _)) => Err(invalid(key, "unknown parameter")),
            None => Ok(()),
        }
    }

    /// Which labels are asked for.
    pub(super) fn selector(&self) -> Result<Selector, ApiError> {
        let text = self.value("label_selector").unwrap_or_default();
        text.parse().map_err(|why: String| invalid("label_selector", why))
    }

    /// The body as JSON, where every field must be known.
    pub(super) fn body<T: DeserializeOwned>(&self) -> Result<T, ApiError> {
        let value: Value = serde_json::from_slice(&self.body).map_err(|_| no_json())?;
        serde_json::from_value(value).map_err(|error| {
            let text = error.to_string();
            // serde names the field between the first two back-quotes.
            let field = text.split('`').nth(1).unwrap_or("body").to_owned();
            invalid(&field, text)
        })
    }

    /// One page of `items` under `key`, with what is said about the others.
    pub(super) fn page(&self, key: &str, mut items: Vec<Value>) -> Answer {
        self.sort(&mut items)?;
        let number = |name: &str, default: usize, most: usize| match self.value(name) {
            None => Ok(default),
            Some(text) => match text.parse::<usize>() {
                Ok(number) if (1..=most).contains(&number) => Ok(number),
                _ => Err(invalid(name, format!("must be a number from 1 to {most}"))),
            },
        };
        let page = number("page", 1, usize::MAX)?;
        let asked = number("per_page", DEFAULT_PAGE, MAX_PAGE)?;
        let size = self.struck.page_size().map_or(asked, |most| asked.min(most.max(1)));
        let total = items.len();
        let last = total.div_ceil(size).max(1);
        let shown: Vec<Value> = items.into_iter().skip((page - 1).saturating_mul(size)).take(size).collect();
        let next = (page < last).then_some(page + 1);
        let pagination = json!({
            "page": page,
            "per_page": size,
            "previous_page": (page > 1).then(|| page - 1),
            "next_page": next,
            "last_page": last,
            "total_entries": total,
        });
        let mut body = Map::new();
        body.insert(key.to_owned(), Value::Array(shown));
        body.insert("meta".to_owned(), json!({ "pagination": pagination }));
        let mut response = Json(Value::Object(body)).into_response();
        if let Some(next) = next {
            let link = format!("<{}?page={next}>; rel=next", self.path);
            if let Ok(link) = HeaderValue::try_from(link) {
                response.headers_mut().insert("Link", link);
            }
        }
        Ok(response)
    }

    /// In the order that is asked for; by id unless said.
    fn sort(&self, items: &mut [Value]) -> Result<(), ApiError> {
        let wishes: Vec<&str> = self.values("sort").collect();
        for wish in wishes.into_iter().rev() {
            let (field, order) = wish.split_once(':').unwrap_or((wish, "asc"));
            if !["id", "name", "created", "started", "finished", "command", "status"].contains(&field)
                || !["asc", "desc"].contains(&order)
            {
                return Err(invalid("sort", format!("`{wish}` is not an order")));
            }
            let key = |item: &Value| (item[field].as_u64(), item[field].as_str().map(str::to_owned));
            items.sort_by_key(key);
            if order == "desc" {
                items.reverse();
            }
        }
        Ok(())
    }
}

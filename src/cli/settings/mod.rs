//! Turns flags, directives and environment into a [`BuildRequest`](crate::inputs::request::BuildRequest).
//!
//! A flag and the directives may both speak, but not differ; both go before the environment, and that before defaults. Who
//! won is written down for every value, for `plan`. Each file has the values of one topic.

mod built;
mod cache;
mod caller;
mod events;
mod image;
mod resolve;
mod runner;
mod sources;
mod steps;

pub(super) use resolve::resolve;
pub(super) use sources::text_or_env;

//! HTTP: connections, which are bounded in number, time and size; routes; and who may ask.

mod app;
mod body;
mod connections;
mod reply;
mod route;
mod tls;

pub(super) use app::App;
pub(super) use connections::listen;
pub use tls::Tls;

//! The ops page and its API over real HTTP, on a real ledger: access, content, and what must never happen.

mod api;
mod harness;
mod openapi;
mod replays;
mod routes;
mod safety;
mod scripts;
mod unavailable;

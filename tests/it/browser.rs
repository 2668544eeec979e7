//! The ops page in a real Chromium: what operators do with it, and what holds on every page.
//!
//! `WebDriver` is JSON over HTTP to a chromedriver on this machine (`chromium`). Every test waits for what the page shows,
//! and at its end nothing may have been logged to the console or requested from elsewhere.

mod access;
mod appearance;
mod axe;
mod chromium;
mod content;
mod hostile;
mod keyboard;
mod pausing;
mod refresh;
mod replaying;
mod scriptless;
mod stage;

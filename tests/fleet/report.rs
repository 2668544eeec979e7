//! The output of a run.

use std::fmt::Write;

use serde_json::Value;

pub(crate) struct Report {
    /// A JSON object.
    pub(crate) figures: Value,
    /// The bound that was violated, if any.
    pub(crate) violation: Option<String>,
}

impl Report {
    /// Returns one line per figure; series of figures appear only in JSON.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        write_figures(&mut text, "", &self.figures);
        text
    }
}

fn write_figures(text: &mut String, prefix: &str, figures: &Value) {
    for (name, value) in figures.as_object().unwrap() {
        match value {
            Value::Object(_) => write_figures(text, &format!("{prefix}{name}."), value),
            Value::Array(_) => {}
            Value::Null => writeln!(text, "{:<30} none", format!("{prefix}{name}")).unwrap(),
            _ => writeln!(text, "{:<30} {value}", format!("{prefix}{name}")).unwrap(),
        }
    }
}

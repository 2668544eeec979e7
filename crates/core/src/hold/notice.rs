//! Explains a hold to an operator: one sentence that says what is held, and the command that fixes it.
//!
//! Every output that names a hold uses a notice (commands, logs, `/readyz`), so that all of them agree. Names come from
//! certificates, so nothing in a notice can control a terminal, and a name is truncated to 256 characters. Pure: no
//! I/O.

use super::{HoldKey, HoldKind};
use crate::format::printable;
use crate::job::DEFAULT_TARGET;

/// Maximum number of characters in a name.
const NAME_MAX: usize = 256;

/// The description of one hold.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Notice {
    /// What is held, as one sentence without a full stop.
    pub title: String,
    /// The command that fixes it; `None` if the hold is released by itself.
    pub fix: Option<String>,
}

impl Notice {
    /// Describes a hold; `subject` is the name of the CA, for a hold on an issuer.
    pub fn of(hold: &HoldKey, subject: Option<&str>) -> Self {
        let key = shown(hold.as_str());
        let rest = key.split_once(':').map_or("", |(_, rest)| rest);
        // Names may contain colons; operations and hashes do not.
        let (target, last) = rest.rsplit_once(':').unwrap_or((rest, ""));
        let (title, fix) = match hold.kind() {
            Some(HoldKind::Issuer) => (issuer_title(target, subject), Some(register_command(target))),
            Some(HoldKind::Batch) => (
                format!("batch `{rest}`: nearly all of its certificates fail for one reason"),
                Some(format!("muster holds release {key}")),
            ),
            Some(HoldKind::Target) => {
                (format!("target `{target}`: AWS denies or fails every {last} call"), Some("muster doctor".to_owned()))
            }
            Some(HoldKind::Busy) => (format!("target `{target}` has more {last} jobs than it can start"), None),
            Some(HoldKind::Pause) => (pause_title(rest), Some(format!("muster resume {}", rest.replacen(':', " ", 1)))),
            Some(HoldKind::Replay) => (format!("replay {rest} is resending its jobs"), None),
            None => (format!("`{key}` is held by another version of Muster"), None),
        };
        Self { title, fix }
    }
}

/// Names a CA by its subject, in quotes.
fn issuer_title(target: &str, subject: Option<&str>) -> String {
    let ca = subject.map_or_else(|| "a CA of unknown name".to_owned(), |name| format!("CA \"{}\"", shown(name)));
    format!("{ca} is not registered or not active (target {target})")
}

fn register_command(target: &str) -> String {
    let target = if target == DEFAULT_TARGET { String::new() } else { format!(" --target {target}") };
    format!("muster ca register CA.pem --key CA.key --activate{target}")
}

fn pause_title(what: &str) -> String {
    match what.split_once(':') {
        Some((kind, name)) => format!("{kind} `{name}` is paused"),
        None => "everything is paused".to_owned(),
    }
}

/// Makes a text safe to show anywhere, and truncates it.
fn shown(text: &str) -> String {
    printable(text).chars().take(NAME_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notice(hold: &str, subject: Option<&str>) -> (String, Option<String>) {
        let Notice { title, fix } = Notice::of(&HoldKey::read(hold.to_owned()), subject);
        (title, fix)
    }

    #[test]
    fn each_kind_says_what_is_held_and_what_fixes_it() {
        let issuer = "muster ca register CA.pem --key CA.key --activate";
        for (hold, subject, title, fix) in [
            (
                "issuer:default:ab12",
                Some("CN=Plant 3 CA"),
                "CA \"CN=Plant 3 CA\" is not registered or not active (target default)",
                Some(issuer),
            ),
            (
                "issuer:plant:3:ab12",
                None,
                "a CA of unknown name is not registered or not active (target plant:3)",
                Some("muster ca register CA.pem --key CA.key --activate --target plant:3"),
            ),
            (
                "batch:line:7",
                None,
                "batch `line:7`: nearly all of its certificates fail for one reason",
                Some("muster holds release batch:line:7"),
            ),
            (
                "target:eu:RegisterCertificate",
                None,
                "target `eu`: AWS denies or fails every RegisterCertificate call",
                Some("muster doctor"),
            ),
            (
                "busy:eu:RegisterCertificate",
                None,
                "target `eu` has more RegisterCertificate jobs than it can start",
                None,
            ),
            ("pause:all", None, "everything is paused", Some("muster resume all")),
            ("pause:target:a:b", None, "target `a:b` is paused", Some("muster resume target a:b")),
            ("pause:batch:line7", None, "batch `line7` is paused", Some("muster resume batch line7")),
            ("replay:7", None, "replay 7 is resending its jobs", None),
            ("moon:7", None, "`moon:7` is held by another version of Muster", None),
        ] {
            assert_eq!(notice(hold, subject), (title.to_owned(), fix.map(str::to_owned)), "{hold}");
        }
    }

    #[test]
    fn a_hostile_name_is_sanitised_and_truncated() {
        let name = format!("CN=\u{1b}[2J\nerror: none\u{202e}{}", "x".repeat(10_000));
        let (title, _) = notice("issuer:default:ab12", Some(&name));
        assert!(title.starts_with("CA \"CN=\u{fffd}[2J\u{fffd}error: none\u{fffd}xxx"), "{title}");
        assert!(title.chars().count() < NAME_MAX + 100 && !title.contains(char::is_control), "{title}");
    }
}

//! Writes CSV lines (RFC 4180) without anything that a spreadsheet would take for a formula.

use std::io::{self, Write};

/// Writes a line.
pub(super) fn write_line<T: AsRef<str>>(out: &mut impl Write, cells: impl IntoIterator<Item = T>) -> io::Result<()> {
    for (i, cell) in cells.into_iter().enumerate() {
        if i > 0 {
            out.write_all(b",")?;
        }
        write_cell(out, cell.as_ref())?;
    }
    out.write_all(b"\r\n")
}

fn write_cell(out: &mut impl Write, text: &str) -> io::Result<()> {
    // A spreadsheet treats a cell that begins with an apostrophe as text.
    let apostrophe = if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { "'" } else { "" };
    if text.contains(['"', ',', '\r', '\n']) {
        write!(out, "\"{apostrophe}{}\"", text.replace('"', "\"\""))
    } else {
        write!(out, "{apostrophe}{text}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(cells: &[&str]) -> String {
        let mut line = Vec::new();
        write_line(&mut line, cells).unwrap();
        String::from_utf8(line).unwrap()
    }

    #[test]
    fn cells_are_quoted_only_if_needed() {
        let wanted = "a,,\"b,c\",\"say \"\"x\"\"\",\"two\nlines\"\r\n";
        assert_eq!(line(&["a", "", "b,c", "say \"x\"", "two\nlines"]), wanted);
    }

    #[test]
    fn no_text_becomes_a_formula() {
        for text in ["=1+1", "+1", "-1", "@sum(a)", "\tx"] {
            assert_eq!(line(&[text]), format!("'{text}\r\n"));
        }
        assert_eq!(line(&["\rx"]), "\"'\rx\"\r\n");
        assert_eq!(line(&["=cmd|' /c calc',\"x\""]), "\"'=cmd|' /c calc',\"\"x\"\"\"\r\n");
        assert_eq!(line(&["a=b", "1-2"]), "a=b,1-2\r\n");
    }
}

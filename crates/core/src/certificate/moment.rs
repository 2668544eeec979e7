//! Validity dates, in every form that tools write.
//!
//! RFC 5280 (4.1.2.5) allows one form of each type: with seconds and a `Z`. Other forms are valid ASN.1 and also denote
//! one instant: an offset from UTC, no seconds, a fraction of a second.

use time::{Date, Duration, Month, OffsetDateTime, Time, UtcOffset};

use super::der::{Element, tag};

/// An instant, and whether it is written in the form that RFC 5280 requires.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Moment {
    pub(super) at: OffsetDateTime,
    pub(super) is_usual: bool,
}

/// Reads a `UTCTime` or a `GeneralizedTime`.
pub(super) fn read(element: Element<'_>) -> Option<Moment> {
    let text = str::from_utf8(element.content).ok()?;
    let (year, rest, n_usual) = match element.tag {
        tag::UTC_TIME => {
            let (year, rest) = number(text, 2)?;
            (if year < 50 { 2000 + year } else { 1900 + year }, rest, "YYMMDDHHMMSSZ".len())
        }
        tag::GENERALIZED_TIME => {
            let (year, rest) = number(text, 4)?;
            (year, rest, "YYYYMMDDHHMMSSZ".len())
        }
        _ => return None,
    };
    let (month, rest) = number(rest, 2)?;
    let (day, rest) = number(rest, 2)?;
    let (hour, rest) = number(rest, 2)?;
    let (minute, rest) = optional(rest)?;
    let (second, rest) = optional(rest)?;
    let offset = offset(without_fraction(rest))?;
    let date =
        Date::from_calendar_date(year, Month::try_from(u8::try_from(month).ok()?).ok()?, u8::try_from(day).ok()?);
    // A leap second becomes the first second of the next minute, because `Time` cannot represent it.
    let is_leap = second == 60;
    let [hour, minute, second] = [hour, minute, if is_leap { 59 } else { second }].map(u8::try_from);
    let time = Time::from_hms(hour.ok()?, minute.ok()?, second.ok()?).ok()?;
    let local = date.ok()?.with_time(time).assume_offset(offset).checked_add(Duration::seconds(is_leap.into()))?;
    // Years before 0 cannot be written as RFC 3339 and are refused by Postgres.
    let at = local.checked_to_offset(UtcOffset::UTC).filter(|at| at.year() >= 0)?;
    Some(Moment { at, is_usual: text.len() == n_usual && text.ends_with('Z') && !is_leap })
}

/// Splits off a number of `n` digits.
fn number(text: &str, n: usize) -> Option<(i32, &str)> {
    let (digits, rest) = text.split_at_checked(n)?;
    let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().ok()).flatten().map(|number| (number, rest))
}

/// Splits off two digits, if there are any; returns 0 otherwise.
fn optional(text: &str) -> Option<(i32, &str)> {
    if text.starts_with(|c: char| c.is_ascii_digit()) { number(text, 2) } else { Some((0, text)) }
}

fn without_fraction(text: &str) -> &str {
    match text.strip_prefix(['.', ',']) {
        Some(fraction) => fraction.trim_start_matches(|c: char| c.is_ascii_digit()),
        None => text,
    }
}

/// Reads `Z` or an offset. By the standard, a time without either is local, and its time zone is unknown.
fn offset(text: &str) -> Option<UtcOffset> {
    let (sign, digits) = match text.split_at_checked(1)? {
        ("Z", "") => return Some(UtcOffset::UTC),
        ("+", digits) => (1, digits),
        ("-", digits) => (-1, digits),
        _ => return None,
    };
    let (hours, rest) = number(digits, 2)?;
    let (minutes, rest) = optional(rest)?;
    let is_complete = rest.is_empty() && minutes < 60;
    is_complete.then(|| UtcOffset::from_whole_seconds(sign * (hours * 3600 + minutes * 60)).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    fn moment(tag: u8, text: &str) -> Option<(OffsetDateTime, bool)> {
        let element = Element { tag, content: text.as_bytes(), raw: &[] };
        read(element).map(|moment| (moment.at, moment.is_usual))
    }

    #[test]
    fn usual_and_unusual_forms_are_the_same_instant() {
        let at = datetime!(2031-02-03 04:05:06 UTC);
        for (tag, text, is_usual) in [
            (tag::UTC_TIME, "310203040506Z", true),
            (tag::UTC_TIME, "310203050506+0100", false),
            (tag::GENERALIZED_TIME, "20310203040506Z", true),
            (tag::GENERALIZED_TIME, "20310203040506.789Z", false),
            (tag::GENERALIZED_TIME, "20310203093506+0530", false),
            (tag::GENERALIZED_TIME, "20310202230506-05", false),
        ] {
            assert_eq!(moment(tag, text), Some((at, is_usual)), "{text}");
        }
        assert_eq!(moment(tag::UTC_TIME, "3102030405Z"), Some((datetime!(2031-02-03 04:05 UTC), false)));
        assert_eq!(moment(tag::UTC_TIME, "500101000000Z"), Some((datetime!(1950-01-01 0:00 UTC), true)));
        assert_eq!(moment(tag::UTC_TIME, "161231235960Z"), Some((datetime!(2017-01-01 0:00 UTC), false)));
    }

    #[test]
    fn invalid_dates_are_none() {
        for text in
            ["", "2031", "20311303040506Z", "20310203040506", "20310203040506+1", "20310203040506Zx", "é0310203"]
        {
            assert_eq!(moment(tag::GENERALIZED_TIME, text), None, "{text}");
        }
        assert_eq!(moment(tag::SEQUENCE, "20310203040506Z"), None);
        // Before the first and after the last year that can be represented.
        for far in ["00000101000000+1400", "99991231235959-1400"] {
            assert_eq!(moment(tag::GENERALIZED_TIME, far), None, "{far}");
        }
    }
}

//! Parses statuses and codes on the command line.

use clap::builder::{PossibleValuesParser, TypedValueParser};
use strum::VariantArray;

use muster_core::outcome::{Code, Status};

/// Parses the statuses for which `is_allowed` returns true.
pub(super) fn statuses(is_allowed: impl Fn(Status) -> bool) -> impl TypedValueParser<Value = Status> {
    let words = Status::VARIANTS.iter().filter(|&&status| is_allowed(status)).map(|&status| <&str>::from(status));
    PossibleValuesParser::new(words.collect::<Vec<_>>())
        .map(|word| word.parse().expect("clap accepts only the possible values"))
}

/// Parses the codes of the statuses for which `is_allowed` returns true.
pub(super) fn codes(is_allowed: impl Fn(Status) -> bool) -> impl TypedValueParser<Value = Code> {
    let words = Code::VARIANTS.iter().filter(|code| is_allowed(code.status())).map(|code| code.as_str());
    PossibleValuesParser::new(words.collect::<Vec<_>>())
        .map(|word| word.parse().expect("clap accepts only the possible values"))
}

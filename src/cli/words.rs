//! Statuses and codes as command line arguments.

use clap::builder::{PossibleValuesParser, TypedValueParser};
use strum::VariantArray;

use muster_core::outcome::{Code, Status};

/// Parses the statuses for which `is_of_use` returns true.
pub(super) fn statuses(is_of_use: impl Fn(Status) -> bool) -> impl TypedValueParser<Value = Status> {
    let words = Status::VARIANTS.iter().filter(|&&status| is_of_use(status)).map(|&status| <&str>::from(status));
    PossibleValuesParser::new(words.collect::<Vec<_>>())
        .map(|word| word.parse().expect("clap accepts only the possible values"))
}

/// Parses the codes of these statuses.
pub(super) fn codes(is_of_use: impl Fn(Status) -> bool) -> impl TypedValueParser<Value = Code> {
    let words = Code::VARIANTS.iter().filter(|code| is_of_use(code.status())).map(|code| code.as_str());
    PossibleValuesParser::new(words.collect::<Vec<_>>())
        .map(|word| word.parse().expect("clap accepts only the possible values"))
}

//! Suggestions for a misspelt name.

/// Maximum number of suggestions.
const SUGGESTED_MAX: usize = 3;

/// Minimum Jaro-Winkler similarity (0 to 1) of a suggestion.
const ALIKE: f64 = 0.8;

/// Returns the names most similar to `name`, the most similar first.
pub fn similar(name: &str, names: &[String]) -> Vec<String> {
    let mut alike: Vec<_> = names.iter().map(|other| (strsim::jaro_winkler(name, other), other)).collect();
    alike.retain(|(likeness, _)| *likeness >= ALIKE);
    alike.sort_by(|(one, _), (other, _)| other.total_cmp(one));
    alike.into_iter().take(SUGGESTED_MAX).map(|(_, name)| name.clone()).collect()
}

//! Names that may have been meant.

/// How many batches are named to whoever asks for one that is not there.
const NAMED: usize = 3;

/// How alike two names are, from 0 to 1, where one may stand for the other.
const ALIKE: f64 = 0.8;

/// The names that are most like one, the most alike first.
pub fn similar(name: &str, names: &[String]) -> Vec<String> {
    let mut alike: Vec<_> = names.iter().map(|other| (strsim::jaro_winkler(name, other), other)).collect();
    alike.retain(|(likeness, _)| *likeness >= ALIKE);
    alike.sort_by(|(one, _), (other, _)| other.total_cmp(one));
    alike.into_iter().take(NAMED).map(|(_, name)| name.clone()).collect()
}

//! x
pub fn nearest<'a>(_g: &str, _n: &[&'a str]) -> Option<&'a str> { None }
